"""Puts the rooms together, once: from engines to services, executors and loops.

The process, the simulation and the tests of the web room are this platform with other engines.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from gantry.app.network import machine_of
from gantry.app.parts import PartsView
from gantry.config.settings import Settings
from gantry.engines.assets.protocol import AssetServer
from gantry.engines.builders.protocol import Workshop
from gantry.engines.certificates.protocol import Authority
from gantry.engines.database.protocol import Database
from gantry.engines.dns.protocol import Resolver
from gantry.engines.edge.protocol import Edge
from gantry.engines.edge_cache.protocol import EdgeCache
from gantry.engines.postgres.protocol import DatabaseServer
from gantry.engines.probes.protocol import Prober
from gantry.engines.redis.protocol import CacheServers
from gantry.engines.runtime.protocol import Runtime
from gantry.engines.secrets.protocol import SecretBox
from gantry.engines.sources.protocol import SourceStore
from gantry.features import maintenance
from gantry.features.accounts.service import AccountService
from gantry.features.assets.act import INTERVAL_S as ASSETS_INTERVAL_S, AssetPublisher
from gantry.features.certificates.act import CertificateIssuer
from gantry.features.certificates.rules import Policy
from gantry.features.crons.act import CronScheduler
from gantry.features.crons.service import CronService
from gantry.features.deploys.act import Answers, Context
from gantry.features.deploys.checks import DeployChecks
from gantry.features.deploys.executor import DeployExecutor
from gantry.features.deploys.plan import Planner
from gantry.features.deploys.service import DeployService
from gantry.features.deploys.source import SourceReader
from gantry.features.domains.service import INTERVAL_S as DOMAINS_INTERVAL_S, DomainService
from gantry.features.instances.act import InstanceExecutor
from gantry.features.instances.health import HealthCheck
from gantry.features.instances.launching import Launcher
from gantry.features.instances.model import Health
from gantry.features.instances.ports import PortPicker
from gantry.features.probes.public import PublicProbe
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.service import ProjectService
from gantry.features.releases.act import ReleaseRetirer
from gantry.features.removals.act import RemovalExecutor
from gantry.features.removals.service import RemovalService
from gantry.features.retention.act import Retention
from gantry.features.rollouts.act import INTERVAL_S as ROLLOUTS_INTERVAL_S, RolloutLoop
from gantry.features.rollouts.evidence import EvidenceCollector
from gantry.features.rollouts.progress import EdgeProgress
from gantry.features.rollouts.service import RolloutService
from gantry.features.rollouts.traffic import SyntheticTraffic
from gantry.features.routes.act import EdgeExecutor
from gantry.features.routes.purging import PurgeService
from gantry.features.runs.act import INTERVAL_S as RUNS_INTERVAL_S, RunKeeper
from gantry.features.runs.launching import RunLauncher
from gantry.features.runs.service import RunService
from gantry.features.services.loans import INTERVAL_S as LOANS_INTERVAL_S, LoanService
from gantry.features.services.provide import ServiceProvider
from gantry.features.traffic import TrafficCounter
from gantry.features.variables.service import VariableService
from gantry.kernel.backoff import Backoff
from gantry.kernel.clock import Clock, SystemClock
from gantry.kernel.ids import IdSource
from gantry.kernel.tasks import TaskSet
from gantry.reactor.derive import Sockets
from gantry.reactor.leader import HoldLeadership, Leader, alone
from gantry.reactor.loops import Loops, Periodic
from gantry.reactor.reconcile import Executors, Reconciler
from gantry.reactor.reserve import INTERVAL_S as RESERVE_INTERVAL_S, DiskReserve
from gantry.reactor.supervisor import INTERVAL_S as SUPERVISOR_INTERVAL_S, EngineSupervisor
from gantry.reactor.waker import Waker
from gantry.reactor.world import observe
from gantry.web.services import Services

_RETENTION_INTERVAL_S = 60.0
_CRONS_INTERVAL_S = 5.0
_CLOCK_INTERVAL_S = 60.0
_LOG_TIMES_INTERVAL_S = 0.25
# Which environments are closed to visitors: a query of each noun that closes some, the first of which says why.
CLOSED_BY: tuple[str, ...] = (maintenance.CLOSED,)


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
        free_share: the free part of the platform's disk, 0 to 1.
    """

    runtime: Runtime
    edge: Edge
    system: Revivable
    databases: DatabaseServer
    caches: CacheServers
    assets: AssetServer
    edge_cache: EdgeCache
    workshop: Workshop
    sources: SourceStore
    authorities: Mapping[str, Authority]
    resolver: Resolver
    prober: Prober
    box: SecretBox
    ports: PortPicker
    clock: Clock
    ids: IdSource
    is_engine: Callable[[str], bool]
    keep_clock: Callable[[], None]
    free_share: Callable[[], float]


class Platform:
    """A control plane's rooms over its engines. Each is made when it is first asked for; nothing is started.

    Parameters:
        database: the control plane's own.
        tasks: where work goes that nothing waits for; the caller ends it.
        hold_leadership: how this control plane comes to act for the platform, where several share a database.
        shutdown: ends the platform; returns at once.
        closing: whether the platform is ending.
    """

    def __init__(
        self,
        settings: Settings,
        engines: Engines,
        database: Database,
        tasks: TaskSet,
        *,
        hold_leadership: HoldLeadership = alone,
        shutdown: Callable[[], None] = lambda: None,
        closing: Callable[[], bool] = lambda: False,
    ) -> None:
        self.settings = settings
        self.engines = engines
        self.database = database
        self.tasks = tasks
        self.hold_leadership = hold_leadership
        self.shutdown = shutdown
        self.closing = closing
        self.clock, self.ids = engines.clock, engines.ids
        self.backoff = Backoff()
        self.health: dict[str, Health] = {}
        self.answers = Answers()
        self.edge_progress = EdgeProgress(self.backoff)
        self.waker, self.tidy = Waker(), Waker()
        self.assets_due, self.crons_due, self.runs_due = Waker(), Waker(), Waker()
        self.host_names = HostNames(settings.domain, settings.https_port)

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
            self.deploy_checks,
            self.source_reader,
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
        return PurgeService(self.database, self.engines.edge_cache, self.clock)

    @cached_property
    def domains(self) -> DomainService:
        return DomainService(
            self.database,
            self.engines.resolver,
            self.clock,
            self.host_names,
            self.certificate_policy,
            lambda: machine_of(self.settings),
            self.waker.wake,
        )

    @cached_property
    def traffic(self) -> TrafficCounter:
        return TrafficCounter(self.engines.edge, self.clock)

    @cached_property
    def runs(self) -> RunService:
        engines = self.engines
        return RunService(
            self.database,
            engines.runtime,
            self.run_launcher,
            self.variables,
            self.clock,
            self.ids,
            self.runs_due.wake,
        )

    @cached_property
    def removals(self) -> RemovalService:
        return RemovalService(self.database, self.clock, self.waker.wake)

    @cached_property
    def planner(self) -> Planner:
        return Planner(
            self.database,
            self.source_reader,
            self.engines.workshop,
            self.variables,
            self.host_names,
            self.clock,
        )

    @cached_property
    def services(self) -> Services:
        """What the web room may call."""
        engines = self.engines
        return Services(
            database=self.database,
            deploys=self.deploys,
            rollouts=self.rollouts,
            purging=self.purging,
            runs=self.runs,
            variables=self.variables,
            accounts=self.accounts,
            domains=self.domains,
            traffic=self.traffic,
            sources=engines.sources,
            workshop=engines.workshop,
            databases=engines.databases,
            runtime=engines.runtime,
            edge=engines.edge,
            edge_cache=engines.edge_cache,
            probe=self.probe,
            settings=self.settings,
            clock=self.clock,
            wake=self.waker.wake,
            closed_by=CLOSED_BY,
            shutdown=self.shutdown,
            parts=PartsView(engines.runtime, engines.is_engine, lambda: self.leader.leads).parts,
            removals=self.removals,
            crons=self.crons,
            plan=self.planner.plan,
            closing=self.closing,
            health=lambda: self.health,
            asked_at=lambda: self.retirer.asked_at,
            waits=lambda: {
                **self.answers.waiting,
                **{key: wait.message for key, wait in self.backoff.waits.items()},
            },
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
            self.database, self.engines.workshop, self.provider, self.variables, self.host_names
        )

    @cached_property
    def run_launcher(self) -> RunLauncher:
        engines = self.engines
        return RunLauncher(
            self.launcher, engines.databases, engines.caches, self.variables, engines.box
        )

    @cached_property
    def deploy_checks(self) -> DeployChecks:
        return DeployChecks(
            self.database, self.engines.sources, self.host_names, self.variables, self.provider
        )

    @cached_property
    def source_reader(self) -> SourceReader:
        engines = self.engines
        return SourceReader(
            self.database,
            self.deploy_checks,
            engines.sources,
            engines.workshop,
            self.variables,
            engines.box,
            self.clock,
            self.ids,
        )

    @cached_property
    def probe(self) -> PublicProbe:
        return PublicProbe(self.engines.prober, self.host_names, self.settings.own_address)

    @cached_property
    def sockets(self) -> Sockets:
        """Where parts of the platform listen that the edge asks."""
        return Sockets(
            console=str(self.settings.paths.api_socket),
            assets=str(self.engines.assets.socket),
            edge_cache=str(self.engines.edge_cache.socket),
        )

    # -- what decides and acts

    @cached_property
    def instance_executor(self) -> InstanceExecutor:
        engines = self.engines
        return InstanceExecutor(
            self.database,
            engines.runtime,
            self.launcher,
            engines.ports,
            self.health,
            self.clock,
            self.ids,
        )

    @cached_property
    def edge_executor(self) -> EdgeExecutor:
        engines = self.engines
        issuer = CertificateIssuer(
            self.database,
            engines.authorities,
            engines.box,
            self.tasks,
            self.clock,
            self.waker.wake,
            engines.resolver,
        )
        return EdgeExecutor(
            engines.edge,
            engines.edge_cache,
            issuer,
            self.tasks,
            self.backoff,
            self.clock,
            self.certificate_policy,
        )

    @cached_property
    def certificate_policy(self) -> Policy:
        """Who signs for names below the platform's own domain."""
        settings = self.settings
        return Policy(settings.domain, settings.is_public, bool(settings.dns_provider))

    @cached_property
    def asset_publisher(self) -> AssetPublisher:
        engines = self.engines
        return AssetPublisher(
            self.database, engines.assets, engines.workshop, self.clock, self.waker.wake
        )

    @cached_property
    def deploy_executor(self) -> DeployExecutor:
        context = Context(
            database=self.database,
            runtime=self.engines.runtime,
            workshop=self.engines.workshop,
            source_reader=self.source_reader,
            launcher=self.launcher,
            variables=self.variables,
            probe=self.probe,
            answers=self.answers,
            clock=self.clock,
            ids=self.ids,
            released=self.assets_due.wake,
        )
        return DeployExecutor(context, self.tidy.wake)

    @cached_property
    def retirer(self) -> ReleaseRetirer:
        return ReleaseRetirer(self.database, self.clock)

    @cached_property
    def reconciler(self) -> Reconciler:
        engines = self.engines
        return Reconciler(
            lambda: observe(
                self.database, engines.runtime, engines.edge, self.clock, closed_by=CLOSED_BY
            ),
            Executors(
                instances=self.instance_executor,
                releases=self.retirer,
                edge=self.edge_executor,
                assets=self.asset_publisher,
                deploys=self.deploy_executor,
                removals=RemovalExecutor(
                    self.database, engines.runtime, engines.workshop, self.provider, self.clock
                ),
            ),
            self.edge_progress,
            self.clock,
            self.waker.wake,
            self.host_names,
            self.sockets,
        )

    @cached_property
    def health_check(self) -> HealthCheck:
        return HealthCheck(
            self.engines.prober, self.engines.runtime.listeners, self.health, self.clock
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
            engines.free_share,
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
            self.edge_progress,
            evidence,
            self.clock,
            self.waker.wake,
        )

    @cached_property
    def crons(self) -> CronService:
        return CronService(self.database, self.clock, self.crons_due.wake)

    @cached_property
    def cron_scheduler(self) -> CronScheduler:
        # Crons go by the clock that people see.
        return CronScheduler(
            self.database,
            self.engines.runtime,
            self.launcher,
            self.probe,
            self.tasks,
            SystemClock(),
        )

    @cached_property
    def loans(self) -> LoanService:
        return LoanService(self.database, self.engines.databases, self.clock, self.ids)

    @cached_property
    def run_keeper(self) -> RunKeeper:
        return RunKeeper(
            self.database, self.engines.runtime, self.run_launcher, self.runs, self.clock
        )

    @cached_property
    def supervisor(self) -> EngineSupervisor:
        engines = self.engines
        revivals: dict[str, Callable[[], Awaitable[None]]] = {
            "edge": engines.edge.start,
            "system database": engines.system.revive,
            "data database": engines.databases.revive,
            "caches": engines.caches.revive,
            "assets": engines.assets.revive,
            "cache": engines.edge_cache.revive,
        }
        return EngineSupervisor(engines.runtime, engines.is_engine, revivals)

    @cached_property
    def disk_reserve(self) -> DiskReserve:
        return DiskReserve(self.settings.paths.reserve)

    @cached_property
    def periodic(self) -> tuple[Periodic, ...]:
        """What is done again and again, each at its own pace."""
        return (
            Periodic("retention", _RETENTION_INTERVAL_S, self.retention.once, self.tidy),
            Periodic(
                "crons",
                _CRONS_INTERVAL_S,
                self.cron_scheduler.once,
                self.crons_due,
                on_exits=True,
            ),
            Periodic("runs", RUNS_INTERVAL_S, self.run_keeper.once, self.runs_due, on_exits=True),
            Periodic("log times", _LOG_TIMES_INTERVAL_S, self.engines.runtime.mark_logs),
            Periodic("assets", ASSETS_INTERVAL_S, self.asset_publisher.once, self.assets_due),
            Periodic("loans", LOANS_INTERVAL_S, self.loans.once),
            Periodic("rollouts", ROLLOUTS_INTERVAL_S, self.rollout_loop.once),
            Periodic("clock", _CLOCK_INTERVAL_S, self._keep_clock, everywhere=True),
            Periodic(
                "engines",
                SUPERVISOR_INTERVAL_S,
                self.supervisor.once,
                on_exits=True,
                everywhere=True,
            ),
            Periodic("domains", DOMAINS_INTERVAL_S, self.domains.once, everywhere=True),
            Periodic("reserve", RESERVE_INTERVAL_S, self.disk_reserve.once, everywhere=True),
        )

    @cached_property
    def loops(self) -> Loops:
        return Loops(
            reconciler=self.reconciler,
            health=self.health_check,
            runtime=self.engines.runtime,
            waker=self.waker,
            host_names=self.host_names,
            clock=self.clock,
            periodic=self.periodic,
        )

    @cached_property
    def leader(self) -> Leader:
        return Leader(self.hold_leadership, self.loops)

    async def _keep_clock(self) -> None:
        await asyncio.to_thread(self.engines.keep_clock)
