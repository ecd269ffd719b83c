"""The domain name system of a machine of glass."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gantry.engines.dns.protocol import DnsProvider, Records, Resolver
from gantry.kernel.errors import TransientError
from tests.fakes.machine import Machine


@dataclass
class FakeResolver:
    """Knows what its machine's zone has.

    Attributes:
        zone: name -> what is found there; a name that is missing has nothing.
        down: no server answers.
    """

    machine: Machine
    zone: dict[str, Records] = field(default_factory=dict)
    records: dict[str, set[str]] = field(default_factory=dict)
    down: bool = False
    asked: list[str] = field(default_factory=list)

    async def look(self, name: str, *, timeout_s: float = 5.0) -> Records:
        """See `Resolver.look`."""
        self.asked.append(name)
        if self.down:
            return Records(name, error=f"no DNS server answered within {timeout_s:g} s")
        return self.zone.get(name, Records(name))

    async def texts(self, name: str, *, timeout_s: float = 5.0) -> tuple[str, ...]:
        """See `Resolver.texts`."""
        return tuple(sorted(self.records.get(name, ())))


@dataclass
class FakeDnsProvider:
    """Makes records in the zone of a fake resolver."""

    resolver: FakeResolver

    async def publish(self, name: str, text: str) -> None:
        """See `DnsProvider.publish`."""
        if self.resolver.down:
            raise TransientError("dns.unreachable", "the provider does not answer")
        self.resolver.records.setdefault(name, set()).add(text)

    async def withdraw(self, name: str, text: str) -> None:
        """See `DnsProvider.withdraw`."""
        self.resolver.records.get(name, set()).discard(text)


if TYPE_CHECKING:

    def _guard(machine: Machine) -> tuple[Resolver, DnsProvider]:
        return FakeResolver(machine), FakeDnsProvider(FakeResolver(machine))
