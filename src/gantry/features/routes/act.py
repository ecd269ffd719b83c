"""Makes the edge do what the database implies."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from gantry.engines.edge.protocol import CACHE, Edge, EdgeConfig, EdgeStatus
from gantry.engines.edge_cache.protocol import EdgeCache
from gantry.features.certificates import rules as certificates
from gantry.features.certificates.act import CertificateIssuer
from gantry.features.certificates.model import Attempt, StoredCertificate
from gantry.features.certificates.rules import Issue, Names, Policy
from gantry.features.routes.render import (
    Claim,
    Routes,
    domains,
    hosts,
    lasting_hosts,
    refused,
    render,
)
from gantry.kernel.backoff import Backoff
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError
from gantry.kernel.tasks import TaskSet

_log = logging.getLogger(__name__)

# The edge's first requests should find the cache, which starts in a moment; one that hangs holds nothing up.
_CACHE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class WantedEdge:
    """What one look wants of the edge, derived once.

    Attributes:
        certificates: those of the stored ones that it gets.
        issues: those to ask an authority for now.
        digest: of `config`, as the edge reports it when it has acknowledged it.
        current: the edge acknowledged it before this look.
    """

    routes: Routes
    certificates: tuple[StoredCertificate, ...]
    issues: tuple[Issue, ...]
    config: EdgeConfig
    digest: str
    current: bool


@dataclass(slots=True)
class EdgeExecutor:
    """Renders, applies, and lets the cache run where a site has use for it."""

    edge: Edge
    edge_cache: EdgeCache
    issuer: CertificateIssuer
    tasks: TaskSet
    backoff: Backoff
    clock: Clock
    policy: Policy
    # Not known at first: an earlier control plane may have left one that runs.
    _cache_runs: bool | None = None
    _cache_moves: bool = False
    _seen: WantedEdge | None = None
    _refused: tuple[Claim, ...] = ()

    def wanted(
        self,
        routes: Routes,
        stored: tuple[StoredCertificate, ...],
        attempts: Mapping[str, Attempt],
        status: EdgeStatus,
        now: datetime,
    ) -> WantedEdge:
        """What the edge should have now, and whether it has it."""
        names = Names(hosts(routes), lasting_hosts(routes), domains(routes))
        wanted = certificates.wanted(names, self.policy)
        served = certificates.served(wanted, stored, now)
        config = self._config(routes, served)
        digest = self.edge.digest(config)
        issues = certificates.decide(wanted, stored, attempts, now)
        self._seen = WantedEdge(
            routes, served, issues, config, digest, current=status.applied == digest
        )
        return self._seen

    async def settle(self, wanted: WantedEdge, *, running: bool) -> bool:
        """Issue certificates that are missing, then apply what differs; whether anything was done.

        Raises:
            TransientError, PermanentError: the edge does not take it.
        """

        self._report(refused(wanted.routes))
        if await self.issuer.issue(wanted.issues, self._publish):
            return True  # the next look sees the new certificate
        if not running:
            await self.edge.start()
        await self._settle_cache(wanted.config)
        if wanted.current:
            return False
        await self.edge.apply(wanted.config)
        return True

    async def _publish(self) -> None:
        """Make the edge answer the present challenges. An authority asks for it at any moment: with what was seen last."""
        seen = self._seen
        assert seen is not None, "an authority is asked after a look"
        await self.edge.apply(self._config(seen.routes, seen.certificates))

    def _report(self, claims: tuple[Claim, ...]) -> None:
        if claims != self._refused:
            self._refused = claims
            for claim in claims:
                _log.warning(
                    "the project %r does not get the address %r: it is another's, or cannot be one",
                    claim.project,
                    claim.host,
                )

    def _config(self, routes: Routes, stored: Iterable[StoredCertificate]) -> EdgeConfig:
        return render(routes, self.issuer.opened(stored), dict(self.issuer.challenges))

    async def _settle_cache(self, config: EdgeConfig) -> None:
        """It runs where a site has use for it. One that does not start costs speed only: the edge asks the instances."""
        used = any(backend.name == CACHE for backend in config.backends)
        due = self.backoff.may_try(CACHE, self.clock.monotonic_s())
        if used == self._cache_runs or self._cache_moves or not due:
            return
        self._cache_moves = True
        moving = self.tasks.spawn(self._move_cache(used=used), name=CACHE)
        await asyncio.wait({moving}, timeout=_CACHE_TIMEOUT_S)

    async def _move_cache(self, *, used: bool) -> None:
        try:
            await (self.edge_cache.start() if used else self.edge_cache.stop())
            self.backoff.succeeded(CACHE)
            self._cache_runs = used
        except GantryError as error:
            delay_s = self.backoff.set_back(CACHE, self.clock.monotonic_s(), error.message)
            _log.warning("cache: [%s] %s; next try in %.1f s", error.code, error, delay_s)
        finally:
            self._cache_moves = False
