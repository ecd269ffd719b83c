"""Puts the rooms together, once: from engines to services, executors and loops.

The process, the simulation and the tests of the web room are this platform with other engines.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from gantry.app.parts import PartsView
from gantry.config.settings import Settings
from gantry.engines.assets.protocol import AssetServer
from gantry.engines.builders.protocol import Workshop
from gantry.engines.cache.protocol import EdgeCache
from gantry.engines.certificates.protocol import Authority
from gantry.engines.database.protocol import State
from gantry.engines.edge.protocol import Edge
from gantry.engines.postgres.protocol import DatabaseServer
from gantry.engines.probes.protocol import Prober
from gantry.engines.redis.protocol import CacheServers
from gantry.engines.reserve.protocol import Reserve
from gantry.engines.runtime.protocol import Runtime
from gantry.engines.secrets.protocol import SecretBox
from gantry.engines.sources.protocol import SourceStore
from gantry.features.accounts.service import AccountService
from gantry.features.deploys.preparing import Preparer
from gantry.features.deploys.service import DeployService
from gantry.features.instances.launching import Launcher
from gantry.features.instances.ports import PortPicker
from gantry.features.probes.public import PublicProbe
from gantry.features.projects.naming import Naming
from gantry.features.projects.service import ProjectService
from gantry.features.rollouts.act import INTERVAL_S as INTERVAL_ROLLOUTS_S, RolloutLoop
from gantry.features.rollouts.evidence import EvidenceCollector
from gantry.features.rollouts.service import RolloutService
from gantry.features.rollouts.traffic import SyntheticTraffic
from gantry.features.routes.purging import PurgeService
from gantry.features.services.provide import ServiceProvider
from gantry.features.variables.service import VariableService
from gantry.kernel.clock import Clock, SystemClock
from gantry.kernel.ids import IdSource
from gantry.kernel.tasks import TaskSet
from gantry.reactor.assets import EVERY_S as ASSETS_EVERY_S, AssetKeeping
from gantry.reactor.deploy_acts import DeployActs
from gantry.reactor.destroy import Destroyer
from gantry.reactor.edge_acts import EdgeActs
from gantry.reactor.health import HealthCheck
from gantry.reactor.instance_acts import InstanceActs
from gantry.reactor.keep import EVERY_S as KEEP_EVERY_S, Keeper
from gantry.reactor.loops import Loops, Periodic
from gantry.reactor.memory import Memory
from gantry.reactor.plan import Planner
from gantry.reactor.reconcile import Acts, Reconciler
from gantry.reactor.release_acts import ReleaseActs
from gantry.reactor.reserve import EVERY_S as RESERVE_EVERY_S, ReserveKeeper
from gantry.reactor.retain import Retention
from gantry.reactor.schedule import Schedule
from gantry.reactor.seeing import Sockets
from gantry.reactor.waker import Waker
from gantry.reactor.world import observe
from gantry.web.services import Services

_RETAIN_EVERY_S = 60.0
_SCHEDULE_EVERY_S = 5.0
_KEEP_CLOCK_EVERY_S = 60.0


class Revivable(Protocol):
    """An engine that the platform keeps running."""

    async def revive(self) -> None:
        """Start it again if it has ended; nothing otherwise."""
        ...


@dataclass(frozen=True, slots=True)
class Engines:
    """Everything that touches the world.

    Attributes:
        system: the cluster of the control plane's own database.
        databases: the cluster of the projects' databases.
        is_engine: whether a process, by its id, is part of the platform itself.
        keep_clock: writes down what the next control plane needs of the clock.
    """

    runtime: Runtime
    edge: Edge
    system: Revivable
    databases: DatabaseServer
    caches: CacheServers
    assets: AssetServer
    cache: EdgeCache
    workshop: Workshop
    sources: SourceStore
    reserve: Reserve
    authorities: Mapping[str, Authority]
    prober: Prober
    box: SecretBox
    ports: PortPicker
    clock: Clock
    ids: IdSource
    is_engine: Callable[[str], bool]
    keep_clock: Callable[[], None]


class Platform:
    """A control plane's rooms over its engines. Each is made when it is first asked for; nothing is started.

    Parameters:
        database: the control plane's own.
        tasks: where work goes that nothing waits for; the caller ends it.
        shutdown: ends the platform; returns at once.
        closing: whether the platform is ending.
    """

    def __init__(
        self,
        settings: Settings,
        engines: Engines,
        database: State,
        tasks: TaskSet,
        *,
        shutdown: Callable[[], None] = lambda: None,
        closing: Callable[[], bool] = lambda: False,
    ) -> None:
        self.settings = settings
        self.engines = engines
        self.database = database
        self.tasks = tasks
        self.shutdown = shutdown
        self.closing = closing
        self.clock, self.ids = engines.clock, engines.ids
        self.owner = f"{os.uname().nodename}:{os.getpid()}"
        self.memory = Memory()
        self.waker, self.tidy, self.assets_due = Waker(), Waker(), Waker()
        self.naming = Naming(settings.domain, settings.https_port)

    # -- what people and programs may ask for

    @cached_property
    def accounts(self) -> AccountService:
        return AccountService(self.database, self.clock, self.ids)

    @cached_property
    def projects(self) -> ProjectService:
        return ProjectService(self.engines.box, self.clock, self.ids)

    @cached_property
    def variables(self) -> VariableService:
        return VariableService(self.database, self.projects, self.engines.box, self.clock)

    @cached_property
    def deploys(self) -> DeployService:
        return DeployService(
            self.database,
            self.engines.sources,
            self.projects,
            self.clock,
            self.ids,
            self.waker.wake,
        )

    @cached_property
    def rollouts(self) -> RolloutService:
        return RolloutService(self.database, self.clock, self.waker.wake)

    @cached_property
    def purging(self) -> PurgeService:
        return PurgeService(self.database, self.engines.cache, self.clock)

    @cached_property
    def destroyer(self) -> Destroyer:
        return Destroyer(
            self.database, self.engines.runtime, self.provider, self.clock, self.waker.wake
        )

    @cached_property
    def planner(self) -> Planner:
        return Planner(
            self.database,
            self.preparer,
            self.engines.workshop,
            self.variables,
            self.naming,
            self.clock,
        )

    @cached_property
    def services(self) -> Services:
        """What the web room may call."""
        engines = self.engines
        return Services(
            state=self.database,
            deploys=self.deploys,
            rollouts=self.rollouts,
            purging=self.purging,
            variables=self.variables,
            accounts=self.accounts,
            sources=engines.sources,
            runtime=engines.runtime,
            edge=engines.edge,
            cache=engines.cache,
            prober=engines.prober,
            settings=self.settings,
            clock=self.clock,
            shutdown=self.shutdown,
            parts=PartsView(engines.runtime, engines.is_engine).parts,
            destroy=self.destroyer.destroy,
            plan=self.planner.plan,
            closing=self.closing,
            health=lambda: self.memory.health,
            waits=lambda: {key: wait.words for key, wait in self.memory.waits.items()},
            ids=self.ids,
        )

    # -- what executors share

    @cached_property
    def provider(self) -> ServiceProvider:
        engines = self.engines
        return ServiceProvider(
            self.database, engines.databases, engines.caches, engines.box, self.clock, self.ids
        )

    @cached_property
    def launcher(self) -> Launcher:
        return Launcher(
            self.database, self.engines.workshop, self.provider, self.variables, self.naming
        )

    @cached_property
    def preparer(self) -> Preparer:
        engines = self.engines
        return Preparer(
            self.database,
            engines.sources,
            engines.workshop,
            self.variables,
            engines.box,
            self.naming,
            self.clock,
            self.ids,
        )

    @cached_property
    def probe(self) -> PublicProbe:
        return PublicProbe(self.engines.prober, self.naming)

    @cached_property
    def sockets(self) -> Sockets:
        """Where parts of the platform listen that the edge asks."""
        return Sockets(
            console=str(self.settings.paths.api_socket),
            assets=str(self.engines.assets.socket),
            cache=str(self.engines.cache.socket),
        )

    # -- what decides and acts

    @cached_property
    def acts(self) -> Acts:
        engines = self.engines
        return Acts(
            instances=InstanceActs(
                self.database,
                engines.runtime,
                self.launcher,
                engines.ports,
                self.memory,
                self.clock,
                self.ids,
            ),
            releases=ReleaseActs(self.database, self.memory, self.clock),
            edge=EdgeActs(
                self.database,
                engines.edge,
                engines.authorities,
                engines.box,
                self.tasks,
                engines.cache,
                self.memory,
                self.clock,
            ),
            deploys=DeployActs(
                state=self.database,
                runtime=engines.runtime,
                workshop=engines.workshop,
                preparer=self.preparer,
                launcher=self.launcher,
                variables=self.variables,
                probe=self.probe,
                memory=self.memory,
                clock=self.clock,
                ids=self.ids,
                owner=self.owner,
                tidy=self.tidy.wake,
                released=self.assets_due.wake,
            ),
        )

    @cached_property
    def reconciler(self) -> Reconciler:
        return Reconciler(
            lambda: observe(self.database, self.engines.runtime, self.engines.edge, self.clock),
            self.acts,
            self.memory,
            self.clock,
            self.waker.wake,
            self.naming,
            self.sockets,
        )

    @cached_property
    def health(self) -> HealthCheck:
        return HealthCheck(self.engines.prober, self.memory, self.clock)

    @cached_property
    def asset_keeping(self) -> AssetKeeping:
        engines = self.engines
        return AssetKeeping(
            self.database,
            engines.assets,
            engines.workshop,
            self.memory,
            self.clock,
            self.waker.wake,
        )

    @cached_property
    def retention(self) -> Retention:
        engines = self.engines
        return Retention(
            self.database,
            engines.runtime,
            engines.workshop,
            engines.sources,
            self.clock,
            self.settings.home,
        )

    @cached_property
    def rollout_loop(self) -> RolloutLoop:
        engines = self.engines
        evidence = EvidenceCollector(
            self.database, engines.edge, engines.runtime, self.variables, self.clock
        )
        traffic = SyntheticTraffic(self.database, self.probe, self.tasks, self.clock)
        return RolloutLoop(
            self.database,
            engines.edge,
            traffic,
            self.memory,
            evidence,
            self.clock,
            self.waker.wake,
        )

    @cached_property
    def schedule(self) -> Schedule:
        # Crons go by the clock that people see.
        return Schedule(
            self.database,
            self.engines.runtime,
            self.launcher,
            self.probe,
            self.tasks,
            SystemClock(),
        )

    @cached_property
    def keeper(self) -> Keeper:
        engines = self.engines
        revivals: dict[str, Callable[[], Awaitable[None]]] = {
            "edge": engines.edge.start,
            "system database": engines.system.revive,
            "data database": engines.databases.revive,
            "caches": engines.caches.revive,
            "assets": engines.assets.revive,
            "cache": engines.cache.revive,
        }
        return Keeper(engines.runtime, engines.is_engine, revivals)

    @cached_property
    def reserve_keeper(self) -> ReserveKeeper:
        return ReserveKeeper(self.engines.reserve)

    @cached_property
    def periodic(self) -> tuple[Periodic, ...]:
        """What is done again and again, each at its own pace."""
        return (
            Periodic("retention", _RETAIN_EVERY_S, self.retention.once, self.tidy),
            Periodic("schedule", _SCHEDULE_EVERY_S, self.schedule.once),
            Periodic("assets", ASSETS_EVERY_S, self.asset_keeping.once, self.assets_due),
            Periodic("rollouts", INTERVAL_ROLLOUTS_S, self.rollout_loop.once),
            Periodic("clock", _KEEP_CLOCK_EVERY_S, self._keep_clock),
            Periodic("engines", KEEP_EVERY_S, self.keeper.once, on_exits=True),
            Periodic("reserve", RESERVE_EVERY_S, self.reserve_keeper.once),
        )

    @cached_property
    def loops(self) -> Loops:
        return Loops(
            reconciler=self.reconciler,
            health=self.health,
            runtime=self.engines.runtime,
            state=self.database,
            waker=self.waker,
            naming=self.naming,
            clock=self.clock,
            owner=self.owner,
            periodic=self.periodic,
        )

    async def _keep_clock(self) -> None:
        await asyncio.to_thread(self.engines.keep_clock)
