"""The control plane on a machine of glass: made, crashed, and made again over the same database."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gantry.engines.cache.fake import FakeCache
from gantry.engines.cache.protocol import EdgeCache
from gantry.engines.database.protocol import Session, State
from gantry.features.deploys import store as deploy_queries
from gantry.features.deploys.model import Deploy, StepRecord
from gantry.features.deploys.preparing import Preparer
from gantry.features.deploys.service import DeployService
from gantry.features.instances.launching import Launcher
from gantry.features.projects.naming import Naming
from gantry.features.projects.service import ProjectService
from gantry.features.releases import store as release_queries
from gantry.features.releases.model import Commit, Release
from gantry.features.services.provide import ServiceProvider
from gantry.features.variables.service import VariableService
from gantry.kernel.ids import SeededIds
from gantry.kernel.tasks import TaskSet
from gantry.reactor.asking import Asking
from gantry.reactor.assets import AssetKeeping
from gantry.reactor.deploy_acts import DeployActs
from gantry.reactor.edge_acts import EdgeActs
from gantry.reactor.evidence import EvidenceKeeper
from gantry.reactor.health import HealthCheck
from gantry.reactor.instance_acts import InstanceActs
from gantry.reactor.loops import health_targets
from gantry.reactor.memory import Memory
from gantry.reactor.outside import Outside
from gantry.reactor.reconcile import Acts, Reconciler
from gantry.reactor.release_acts import ReleaseActs
from gantry.reactor.rollouts import Rollouts
from gantry.reactor.seeing import Sockets
from gantry.reactor.world import observe
from tests.sim.machine import (
    Machine,
    SimAuthority,
    SimBox,
    SimCaches,
    SimDatabases,
    SimEdge,
    SimProber,
    SimRuntime,
    SimSources,
    SimWorkshop,
)

NAMING = Naming("localhost", 8443)


class CrashError(BaseException):
    """The control plane dies here. Not an `Exception`: no handler may survive it."""


@dataclass(slots=True)
class Crasher:
    """A state whose control plane dies before or after its n-th commit, and counts commits."""

    state: State
    at: int | None = None
    after: bool = False
    commits: int = 0
    crashed: bool = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        if self.crashed:
            raise CrashError
        async with self.state.transaction() as session:
            counted = _Counting(session)
            yield counted
            if counted.changed:
                self.commits += 1
            here = counted.changed and self.commits == self.at
            if here and not self.after:
                self.crashed = True
                raise CrashError
        if here:
            self.crashed = True
            raise CrashError


@dataclass(slots=True)
class _Counting:
    session: Session
    changed: bool = False

    async def rows(self, sql: str, parameters: object = None) -> list[dict[str, object]]:
        return await self.session.rows(sql, parameters)  # type: ignore[arg-type]

    async def one(self, sql: str, parameters: object = None) -> dict[str, object] | None:
        self.changed = self.changed or "UPDATE" in sql or "DELETE" in sql
        return await self.session.one(sql, parameters)  # type: ignore[arg-type]

    async def execute(self, sql: str, parameters: object = None) -> int:
        self.changed = True
        return await self.session.execute(sql, parameters)  # type: ignore[arg-type]


class Ports:
    """Ports of the machine of glass."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def pick(self) -> int:
        return self._chance.randrange(20_000, 32_000)


@dataclass
class Platform:
    """A control plane and the machine that it runs."""

    state: State
    machine: Machine
    ids: SeededIds = field(default_factory=SeededIds)
    cache: EdgeCache = field(default_factory=FakeCache)
    _assets_due: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.boot(self.state)

    def boot(self, state: State) -> None:
        """Start a control plane: all that it knew is what the database knows."""
        machine, clock = self.machine, self.machine.clock
        self.memory = Memory()
        self.runtime, self.edge = SimRuntime(machine), SimEdge(machine)
        self.sources, self.workshop = SimSources(machine), SimWorkshop(machine)
        box = SimBox()
        projects = ProjectService(box, clock, self.ids)
        self.variables = VariableService(state, projects, box, clock)
        provider = ServiceProvider(state, SimDatabases(machine), SimCaches(), box, clock, self.ids)
        launcher = Launcher(state, self.workshop, provider, self.variables, NAMING)
        self.launcher = launcher
        preparer = Preparer(
            state, self.sources, self.workshop, self.variables, box, NAMING, clock, self.ids
        )
        prober = SimProber(machine)
        ports = Ports(machine.chance)
        acts = Acts(
            instances=InstanceActs(
                state, self.runtime, launcher, ports, self.memory, clock, self.ids
            ),
            releases=ReleaseActs(state, self.memory, clock),
            edge=EdgeActs(
                state,
                self.edge,
                {"local": SimAuthority(machine)},
                box,
                TaskSet(),
                self.cache,
                self.memory,
                clock,
            ),
            deploys=DeployActs(
                state,
                self.runtime,
                self.workshop,
                preparer,
                launcher,
                self.variables,
                Outside(prober, NAMING),
                self.memory,
                clock,
                self.ids,
                "plane",
                tidy=lambda: None,
                released=self._assets_due.set,
            ),
        )
        self.tasks = TaskSet()
        self.rollouts = Rollouts(
            state,
            self.edge,
            Asking(state, Outside(prober, NAMING), self.tasks, clock),
            self.memory,
            EvidenceKeeper(state, self.edge, self.runtime, self.variables, clock),
            clock,
            lambda: None,
        )
        self.health = HealthCheck(prober, self.memory, clock)
        self.deploys = DeployService(state, self.sources, projects, clock, self.ids)
        self.reconciler = Reconciler(
            lambda: observe(state, self.runtime, self.edge, clock),
            acts,
            self.memory,
            clock,
            lambda: None,
            NAMING,
            Sockets("/run/api.sock", str(machine.assets.socket), "/run/cache.sock"),
        )
        self.assets = AssetKeeping(
            state, machine.assets, self.workshop, self.memory, clock, lambda: None
        )

    async def tick(self, seconds: float = 0.1) -> None:
        """One look, its steps, its probes; then time passes."""
        if self.memory.assets is None or self._assets_due.is_set():
            self._assets_due.clear()
            await self.assets.once()
        world = await self.reconciler.once()
        await self.reconciler.settle()
        await self.rollouts.once()
        await self.tasks.join()
        await self.health.probe_due(health_targets(world, NAMING))
        self.machine.pass_time(seconds)

    async def finish(self, deploy_id: str, *, ticks: int = 2_000) -> Deploy:
        """Go on until the deploy has ended."""
        for _ in range(ticks):
            await self.tick()
            if (found := await self.get(deploy_id)).state.ended:
                return found
        found = await self.get(deploy_id)
        raise AssertionError(f"{deploy_id} is stuck at {found.step}")

    async def get(self, deploy_id: str) -> Deploy:
        """A deploy as the database has it."""
        async with self.state.transaction() as session:
            return await deploy_queries.get(session, deploy_id)

    async def release(self, release_id: str) -> Release:
        """A release as the database has it."""
        async with self.state.transaction() as session:
            return await release_queries.get(session, release_id)

    async def steps(self, deploy_id: str) -> tuple[StepRecord, ...]:
        """Its steps as the database has them."""
        async with self.state.transaction() as session:
            return await deploy_queries.list_steps(session, deploy_id)

    async def request(self, source: str, environment: str = "production") -> Deploy:
        """Ask for a deploy."""
        return await self.deploys.deploy(
            "shop", environment, source_digest=source, commit=Commit(), by="ada"
        )
