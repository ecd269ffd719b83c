"""What may be asked of names. The DNS is asked by a loop, and by whoever asks for it; pages read what was found."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gantry.engines.certificates.protocol import issuer_of
from gantry.engines.database.protocol import Database
from gantry.engines.dns.protocol import Resolver
from gantry.features.certificates import store as certificates
from gantry.features.certificates.model import LOCAL, Attempt, StoredCertificate
from gantry.features.certificates.rules import Policy, covers
from gantry.features.domains import store
from gantry.features.domains.bodies import DomainBody
from gantry.features.domains.model import DnsState, Look, Name, NameKind, Seen
from gantry.features.domains.rules import Machine, dns_state, is_due, judge
from gantry.features.projects.host_names import HostNames
from gantry.kernel.clock import Clock
from gantry.kernel.errors import NotFoundError

INTERVAL_S = 30.0
# A round of the loop ends in time for the next, also when no server answers.
_MAX_LOOKS = 40
_MAX_AT_ONCE = 8


@dataclass(slots=True)
class DomainService:
    """Names, their records and their certificates.

    Attributes:
        machine: where this machine is found, just now.
        wake: called when a certificate may be asked for again.
    """

    database: Database
    resolver: Resolver
    clock: Clock
    host_names: HostNames
    policy: Policy
    machine: Callable[[], Machine]
    wake: Callable[[], None]
    _looks: dict[str, Look] = field(default_factory=dict)

    async def list_all(self) -> tuple[DomainBody, ...]:
        """Every name, with what was last found out about it."""
        now, machine = self.clock.now(), self.machine()
        return tuple(
            DomainBody.of(seen, judge(seen, machine, now), now) for seen in await self._seen()
        )

    async def check(self, host: str) -> DomainBody:
        """Ask the DNS for a name now, and let its certificate be asked for again if it leads here.

        Raises:
            NotFoundError: `domain.unknown`.
        """
        async with self.database.transaction() as session:
            names = await store.list_names(session, self.host_names)
        name = next((item for item in names if item.host == host.lower().rstrip(".")), None)
        if name is None:
            raise NotFoundError(
                "domain.unknown",
                f"no environment has the name {host!r}",
                hint='gantry domains lists them; a product\'s own domains stand in gantry.toml: domains = ["…"]',
            )
        await self._look([name])
        return next(body for body in await self.list_all() if body.host == name.host)

    async def once(self) -> None:
        """Look up what is due."""
        async with self.database.transaction() as session:
            names = await store.list_names(session, self.host_names)
        known = {name.host for name in names}
        self._looks = {host: look for host, look in self._looks.items() if host in known}
        machine = self.machine()
        due = [name for name in names if self._is_due(name, machine)]
        # Those that were never asked for first.
        due.sort(key=lambda name: self._looked_at(name.host))
        await self._look(due[:_MAX_LOOKS])

    def _looked_at(self, host: str) -> datetime:
        look = self._looks.get(host)
        return look.at if look is not None else datetime.min.replace(tzinfo=UTC)

    def _is_due(self, name: Name, machine: Machine) -> bool:
        look = self._looks.get(name.host)
        return is_due(look, dns_state(name, look, machine), self.clock.now())

    async def _look(self, names: Iterable[Name]) -> None:
        machine, turns = self.machine(), asyncio.Semaphore(_MAX_AT_ONCE)

        async def look(name: Name) -> bool:
            """Whether it leads here, which it did not before."""
            before = dns_state(name, self._looks.get(name.host), machine)
            if before is DnsState.PRIVATE:
                return False
            async with turns:
                records = await self.resolver.look(name.host)
            self._looks[name.host] = found = Look(records, self.clock.now())
            return before is not DnsState.HERE and dns_state(name, found, machine) is DnsState.HERE

        listed = list(names)
        arrived = await asyncio.gather(*(look(name) for name in listed))
        hosts = [name.host for name, came in zip(listed, arrived, strict=True) if came]
        if hosts:
            # Why it was refused before is gone.
            async with self.database.transaction() as session:
                for host in hosts:
                    await certificates.forget_failure(session, host)
            self.wake()

    async def _seen(self) -> list[Seen]:
        async with self.database.transaction() as session:
            names = await store.list_names(session, self.host_names)
            stored = await certificates.list_all(session)
            attempts = {item.name: item for item in await certificates.list_attempts(session)}
        return [self._seen_of(name, stored, attempts) for name in names]

    def _seen_of(
        self, name: Name, stored: tuple[StoredCertificate, ...], attempts: dict[str, Attempt]
    ) -> Seen:
        own = name.kind is not NameKind.DOMAIN
        wildcard = f"wildcard.{self.policy.domain}"
        attempt = attempts.get(wildcard if own and self.policy.wildcard else name.host)
        fitting = [item for item in stored if any(covers(host, name.host) for host in item.hosts)]
        # As the edge does: what an authority signed goes before our own.
        fitting.sort(key=lambda item: (item.authority == LOCAL, item.name != name.host))
        have = fitting[0] if fitting else None
        return Seen(
            name=name,
            look=self._looks.get(name.host),
            certificate=have,
            trusted=not own or self.policy.public,
            attempt=attempt,
            issuer=issuer_of(have.chain_pem) if have else "",
        )
