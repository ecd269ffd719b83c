"""What the web room needs of the floors below. The platform fills it in."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Protocol

from fastapi import Depends
from starlette.requests import HTTPConnection

from gantry.config.settings import Settings
from gantry.engines.builders.protocol import Workshop
from gantry.engines.database.protocol import Database
from gantry.engines.edge.protocol import Edge
from gantry.engines.edge_cache.protocol import EdgeCache
from gantry.engines.postgres.protocol import DatabaseServer
from gantry.engines.runtime.protocol import Runtime
from gantry.engines.sources.protocol import SourceStore
from gantry.features.accounts.service import AccountService
from gantry.features.crons.service import CronService
from gantry.features.deploys.bodies import PlanBody
from gantry.features.deploys.pipeline import steps_of
from gantry.features.deploys.service import DeployService
from gantry.features.domains.service import DomainService
from gantry.features.instances.model import Health
from gantry.features.platform.bodies import PartBody
from gantry.features.platform.model import Context
from gantry.features.probes.public import PublicProbe
from gantry.features.projects.host_names import HostNames
from gantry.features.removals.service import RemovalService
from gantry.features.rollouts.service import RolloutService
from gantry.features.routes.purging import PurgeService
from gantry.features.runs.service import RunService
from gantry.features.traffic import TrafficCounter
from gantry.features.variables.service import VariableService
from gantry.kernel.clock import Clock
from gantry.kernel.ids import IdSource, SystemIds


class Plan(Protocol):
    """What a deploy of a snapshot would do."""

    async def __call__(
        self,
        project: str,
        environment: str,
        source_digest: str,
        *,
        branch: str = "",
        use_cache: bool = True,
    ) -> PlanBody:
        """See `Planner.plan`."""
        ...


def _never() -> bool:
    return False


def _nothing_known() -> Mapping[str, Health]:
    return {}


def _nobody_asked() -> Mapping[str, datetime]:
    return {}


def _nothing_waits() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that handlers may call.

    Attributes:
        wake: called when there is something new for the reactor to carry out.
        closed_by: queries of the nouns that close environments to visitors, see `closed_query`.
        shutdown: ends the platform; returns at once.
        parts: what runs of the platform itself.
        plan: see `Plan`.
        closing: whether the platform is ending; open event streams then end within 0.2 s.
        health: instance -> what its last probes said, as the reactor remembers it.
        waits: deploy -> what its present step waits for, in words, where it met a fault that may pass.
        asked_at: release -> when a request was last seen to go to it.
    """

    database: Database
    deploys: DeployService
    rollouts: RolloutService
    purging: PurgeService
    runs: RunService
    variables: VariableService
    accounts: AccountService
    domains: DomainService
    traffic: TrafficCounter
    sources: SourceStore
    workshop: Workshop
    databases: DatabaseServer
    runtime: Runtime
    edge: Edge
    edge_cache: EdgeCache
    probe: PublicProbe
    settings: Settings
    clock: Clock
    wake: Callable[[], None]
    closed_by: tuple[str, ...]
    shutdown: Callable[[], None]
    parts: Callable[[], Awaitable[tuple[PartBody, ...]]]
    removals: RemovalService
    crons: CronService
    plan: Plan
    closing: Callable[[], bool] = _never
    health: Callable[[], Mapping[str, Health]] = _nothing_known
    waits: Callable[[], Mapping[str, str]] = _nothing_waits
    asked_at: Callable[[], Mapping[str, datetime]] = _nobody_asked
    ids: IdSource = field(default_factory=SystemIds)

    @property
    def host_names(self) -> HostNames:
        """How host names and URLs are formed here."""
        return HostNames(self.settings.domain, self.settings.https_port)

    async def context(self) -> Context:
        """What bodies are made with: what the runtime, the cache, the edge and the reactor say just now."""
        processes, cache, limited = await asyncio.gather(
            self.runtime.statuses(), self.edge_cache.status(), self.edge.limited()
        )
        return Context(
            now=self.clock.now(),
            host_names=self.host_names,
            steps_of=steps_of,
            processes=processes,
            health=self.health(),
            cache=cache,
            limited=limited,
            waits=self.waits(),
            asked_at=self.asked_at(),
        )


def of_request(request: HTTPConnection) -> Services:
    """The services of the application that serves `request`."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


Has = Annotated[Services, Depends(of_request)]
"""Type of a handler's parameter that receives the services."""
