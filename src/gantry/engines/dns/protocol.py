"""The domain name system: what the world finds under a name, and records that prove whose a name is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

Credentials = Callable[[], Mapping[str, str]]
"""Reads what a provider asks for; raises a `UserError` where it cannot be read."""


@dataclass(frozen=True, slots=True)
class Records:
    """What is found under a name.

    Attributes:
        name: that was looked up.
        addresses: IPv4 and IPv6, at the end of all aliases; sorted.
        alias: the name that it is a CNAME of; empty when it is none.
        error: why nothing is known, in a sentence; empty where the answer is certain, also when it is "nothing".
    """

    name: str
    addresses: tuple[str, ...] = ()
    alias: str = ""
    error: str = ""


class Resolver(Protocol):
    """Asks the domain name system. Never raises for what is found there; every question ends within its time."""

    async def look(self, name: str, *, timeout_s: float = 5.0) -> Records:
        """The addresses of a name."""
        ...

    async def texts(self, name: str, *, timeout_s: float = 5.0) -> tuple[str, ...]:
        """The TXT records of a name, as the servers have them that its zone is hosted on: no cache is asked."""
        ...


class DnsProvider(Protocol):
    """Who hosts a zone: makes and removes records that prove whose a name is."""

    async def publish(self, name: str, text: str) -> None:
        """Make a TXT record; one that is there already is no error.

        Raises:
            UserError: `dns.refused` the provider says no (the message has its words), `dns.no-zone`.
            TransientError: `dns.unreachable`.
        """
        ...

    async def withdraw(self, name: str, text: str) -> None:
        """Remove this TXT record; one that is gone already is no error. Raises as `publish` does."""
        ...
