"""Where this machine is found: its addresses, and whether its public ports are open to others."""

import ipaddress
import socket

import psutil

from gantry.config.settings import Settings
from gantry.features.domains.rules import Machine


def own_addresses() -> tuple[str, ...]:
    """Every address of this machine's network cards but those that only it can reach, IPv4 first."""
    found = set()
    for cards in psutil.net_if_addrs().values():
        for card in cards:
            if card.family in (socket.AF_INET, socket.AF_INET6):
                address = ipaddress.ip_address(card.address.split("%")[0])
                if not (address.is_loopback or address.is_link_local):
                    found.add(address)
    return tuple(str(item) for item in sorted(found, key=lambda item: (item.version, int(item))))


def machine_of(settings: Settings) -> Machine:
    """Where this machine is found just now."""
    own = own_addresses()
    given = settings.public_address
    public = given or tuple(item for item in own if ipaddress.ip_address(item).is_global)
    closed = all(ipaddress.ip_address(address).is_loopback for address in settings.bind)
    return Machine(
        addresses=frozenset((*own, *given)),
        public=public,
        domain=settings.domain,
        open=not closed,
        is_local=settings.domain.split(".")[-1] == "localhost",
    )
