"""Act: the edge does what the database implies."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from gantry.engines.cache.protocol import EdgeCache
from gantry.engines.certificates.protocol import Authority
from gantry.engines.database.protocol import State
from gantry.engines.edge.protocol import CACHE, Certificate, Edge, EdgeConfig
from gantry.engines.secrets.protocol import SecretBox
from gantry.features.certificates import store
from gantry.features.certificates.model import StoredCertificate
from gantry.features.certificates.rules import Issue, decide
from gantry.features.routes.render import Routes, domains, hosts, render
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError, TransientError
from gantry.kernel.tasks import TaskSet
from gantry.reactor.memory import Memory
from gantry.reactor.world import World

_log = logging.getLogger(__name__)

# The edge's first requests should find the cache, which starts in a moment; one that hangs holds nothing up.
_CACHE_PATIENCE_S = 2.0


@dataclass(slots=True)
class EdgeActs:
    """Renders, issues certificates, applies.

    Attributes:
        authorities: `local`, and `acme` where real domains are possible.
    """

    state: State
    edge: Edge
    authorities: Mapping[str, Authority]
    box: SecretBox
    tasks: TaskSet
    cache: EdgeCache
    memory: Memory
    clock: Clock
    # Not known at first: an earlier control plane may have left one that runs.
    _cache_runs: bool | None = None
    _cache_moves: bool = False
    _challenges: dict[str, str] = field(default_factory=dict)
    _issuing: set[str] = field(default_factory=set)
    _opened: dict[tuple[str, object], Certificate] = field(default_factory=dict)

    def wanted(self, world: World, routes: Routes) -> EdgeConfig:
        """The configuration that the edge should have."""
        certificates = (self._open(stored) for stored in world.certificates)
        return render(routes, certificates, dict(self._challenges))

    def is_current(self, world: World, routes: Routes) -> bool:
        """Whether the edge acknowledged what it should do now."""
        return world.edge.applied == self.edge.digest(self.wanted(world, routes))

    async def settle(self, world: World, routes: Routes) -> bool:
        """Issue what is missing, then apply what differs; whether anything was done.

        Raises:
            TransientError, PermanentError: the edge does not take it.
        """
        issues = decide(hosts(routes), domains(routes), world.certificates, world.now)
        for issue in issues:
            if issue.authority == "local":
                await self._issue(issue, routes, world)
            elif issue.name not in self._issuing:
                # An authority on the internet may take minutes; nothing waits for it.
                self._issuing.add(issue.name)
                self.tasks.spawn(self._issue_domain(issue, routes, world), name=issue.name)
        if any(issue.authority == "local" for issue in issues):
            return True  # the next look sees the new certificate
        if not world.edge.running:
            await self.edge.start()
        await self._settle_cache(self.wanted(world, routes))
        if self.is_current(world, routes):
            return False
        await self.edge.apply(self.wanted(world, routes))
        return True

    async def _settle_cache(self, wanted: EdgeConfig) -> None:
        """It runs where a site has use for it. One that does not start costs speed only: the edge asks the instances."""
        used = any(one.name == CACHE for one in wanted.backends)
        due = self.memory.may_try(CACHE, self.clock.monotonic_s())
        if used == self._cache_runs or self._cache_moves or not due:
            return
        self._cache_moves = True
        moving = self.tasks.spawn(self._move_cache(used=used), name=CACHE)
        await asyncio.wait({moving}, timeout=_CACHE_PATIENCE_S)

    async def _move_cache(self, *, used: bool) -> None:
        try:
            await (self.cache.start() if used else self.cache.stop())
            self.memory.succeeded(CACHE)
            self._cache_runs = used
        except GantryError as error:
            delay_s = self.memory.set_back(CACHE, self.clock.monotonic_s(), error.message)
            _log.warning("cache: [%s] %s; next try in %.1f s", error.code, error, delay_s)
        finally:
            self._cache_moves = False

    async def _issue_domain(self, issue: Issue, routes: Routes, world: World) -> None:
        try:
            await self._issue(issue, routes, world)
        except GantryError as error:
            _log.warning("certificate for %s: [%s] %s", issue.name, error.code, error)
        finally:
            self._issuing.discard(issue.name)

    async def _issue(self, issue: Issue, routes: Routes, world: World) -> None:
        authority = self.authorities.get(issue.authority)
        if authority is None:
            raise TransientError(
                "certificate.no-authority", f"no authority for {', '.join(issue.hosts)}"
            )

        async def publish(challenges: Mapping[str, str]) -> None:
            self._challenges.update(challenges)
            await self.edge.apply(self.wanted(world, routes))

        issued = await authority.issue(issue.hosts, publish)
        stored = StoredCertificate(
            name=issue.name,
            hosts=issued.hosts,
            authority=issue.authority,
            chain_pem=issued.chain_pem,
            key_sealed=self.box.seal(issued.key_pem),
            not_before=issued.not_before,
            not_after=issued.not_after,
        )
        async with self.state.transaction() as session:
            await store.put(session, stored)
        _log.info(
            "certificate %s for %d names until %s", issue.name, len(issued.hosts), issued.not_after
        )

    def _open(self, stored: StoredCertificate) -> Certificate:
        key = (stored.name, stored.not_after)
        if key not in self._opened or self._opened[key].chain_pem != stored.chain_pem:
            self._opened[key] = Certificate(
                name=stored.name,
                hosts=stored.hosts,
                chain_pem=stored.chain_pem,
                key_pem=self.box.open(stored.key_sealed),
            )
        return self._opened[key]
