"""What is said of a name, and which record to make. Pure."""

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from gantry.features.certificates.rules import next_try
from gantry.features.domains.model import (
    CertificateState,
    DnsState,
    Look,
    Name,
    NameKind,
    Seen,
    Verdict,
)
from gantry.kernel.units import format_until

# A record that was just made is looked for often, one that leads here now and then.
LOOK_INTERVAL = timedelta(minutes=1)
SETTLED_INTERVAL = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Machine:
    """Where this machine is found.

    Attributes:
        addresses: all of it, also those that only its own network knows.
        public: those that records are made with.
        domain: the platform's own.
        open: the public ports are open to other machines.
        is_local: the platform's own domain is one that only this machine knows.
    """

    addresses: Collection[str]
    public: tuple[str, ...]
    domain: str
    open: bool
    is_local: bool


def judge(seen: Seen, machine: Machine, now: datetime) -> Verdict:
    """What is said of a name."""
    dns = dns_state(seen.name, seen.look, machine)
    certificate = _certificate_state(seen, now)
    return Verdict(
        dns,
        certificate,
        (*_dns_advice(seen, dns, machine), *_other(seen, dns, certificate, machine, now)),
    )


def dns_state(name: Name, look: Look | None, machine: Machine) -> DnsState:
    """Whether a name leads to this machine."""
    if name.kind is not NameKind.DOMAIN and machine.is_local:
        return DnsState.PRIVATE
    if look is None or look.records.error:
        return DnsState.UNKNOWN
    found = set(look.records.addresses)
    if not found:
        return DnsState.MISSING
    here = found & set(machine.addresses)
    if here == found:
        return DnsState.HERE
    return DnsState.PARTLY if here else DnsState.ELSEWHERE


def is_due(look: Look | None, state: DnsState, now: datetime) -> bool:
    """Whether a name is to be looked up (again)."""
    if look is None:
        return state is not DnsState.PRIVATE
    interval = SETTLED_INTERVAL if state is DnsState.HERE else LOOK_INTERVAL
    return now - look.at >= interval


def _certificate_state(seen: Seen, now: datetime) -> CertificateState:
    have = seen.certificate
    if have is None or (seen.trusted and have.authority == "local"):
        return CertificateState.FAILED if seen.attempt else CertificateState.PENDING
    if now >= have.not_after:
        return CertificateState.EXPIRED
    if have.authority == "local":
        return CertificateState.LOCAL
    return CertificateState.RENEWAL_FAILED if seen.attempt else CertificateState.VALID


def record(name: Name, machine: Machine) -> str:
    """The records to make for a name, as DNS providers ask for them."""
    host = name.host if name.kind is NameKind.DOMAIN else f"*.{machine.domain}"
    if not machine.public:
        return f"{host}  A  (the address of this machine on the internet)"
    kinds = [(f"{host}  {_kind(address)}  {address}") for address in machine.public]
    return " and ".join(kinds)


def _kind(address: str) -> str:
    return "AAAA" if ipaddress.ip_address(address).version == 6 else "A"


def _dns_advice(seen: Seen, dns: DnsState, machine: Machine) -> tuple[str, ...]:
    host = seen.name.host
    if dns is DnsState.MISSING:
        return (f"{host} has no DNS record. Make this one: {record(seen.name, machine)}",)
    if dns is DnsState.UNKNOWN and seen.look is not None:
        return (f"{seen.look.records.error}; try: gantry domains check {host}",)
    if seen.look is None or dns not in (DnsState.PARTLY, DnsState.ELSEWHERE):
        return ()
    foreign = sorted(set(seen.look.records.addresses) - set(machine.addresses))
    alias = f", through its alias {seen.look.records.alias}" if seen.look.records.alias else ""
    leads = f"{host} leads to {', '.join(foreign)}{alias}, which is not an address of this machine."
    if not machine.public:
        behind = "If that is the router in front of it: gantry settings set public_address"
        return (
            f"{leads} {behind} {foreign[0]}. Else change the record: {record(seen.name, machine)}",
        )
    change = (
        "Remove that record"
        if dns is DnsState.PARTLY
        else f"Change it to: {record(seen.name, machine)}"
    )
    return (f"{leads} {change}",)


def _other(
    seen: Seen, dns: DnsState, certificate: CertificateState, machine: Machine, now: datetime
) -> tuple[str, ...]:
    found = []
    if dns is not DnsState.PRIVATE and not machine.open:
        found.append(
            "The public ports are closed to other machines: gantry settings set bind 0.0.0.0, then gantry up --restart"
        )
    attempt = seen.attempt
    if attempt is not None and dns is not DnsState.MISSING:
        at = next_try(attempt, now)
        when = format_until(at, now) if at > now else "within a minute"
        found.append(f"{attempt.message.rstrip('.')}. Next try {when}.")
    elif certificate is CertificateState.PENDING and dns is DnsState.HERE:
        found.append("The certificate comes by itself within a minute.")
    return tuple(found)
