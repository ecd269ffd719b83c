"""The control plane on a machine of glass: made, crashed, and made again over the same database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from gantry.app.platform import Platform as ControlPlane
from gantry.config.settings import Settings
from gantry.engines.database.protocol import Database, Session
from gantry.engines.edge_cache.protocol import EdgeCache
from gantry.features.deploys import store as deploy_store
from gantry.features.deploys.model import Deploy, StepRecord
from gantry.features.deploys.pipeline import PIPELINE
from gantry.features.releases import store as release_store
from gantry.features.releases.model import Commit, Release
from gantry.kernel.ids import SeededIds
from gantry.kernel.tasks import TaskSet
from gantry.reactor.loops import health_targets
from tests.fakes.assets import FakeAssets
from tests.fakes.edge import FakeEdge
from tests.fakes.edge_cache import FakeEdgeCache
from tests.fakes.engines import fake_engines
from tests.fakes.machine import Machine
from tests.fakes.programs import Program
from tests.fakes.runtime import FakeRuntime
from tests.fakes.sources import FakeSources

SETTINGS = Settings(home=Path("/sim"))
HOST = "shop.localhost"
MANIFEST = """
[project]
name = "shop"
[build]
timeout = "60s"
[test]
command = "npm test"
[release]
command = "npm run migrate"
timeout = "60s"
[processes.web]
instances = 2
health = { path = "/health", start_deadline = "10s" }
smoke = ["/"]
[services]
postgres = true
[environments.production]
[environments.staging]
processes.web.instances = 1
"""


def program(note: str = "", **how: str) -> Program:
    """A source of the shop; `note` makes it different from others."""
    return Program(manifest=f"{MANIFEST}# {note}\n", **how)


class CrashError(BaseException):
    """The control plane dies here. Not an `Exception`: no handler may survive it."""


@dataclass(slots=True)
class Crasher:
    """A database that counts commits, and whose control plane dies before or after its n-th, when `at` says so."""

    database: Database
    at: int | None = None
    after: bool = False
    commits: int = 0
    crashed: bool = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        if self.crashed:
            raise CrashError
        async with self.database.transaction() as session:
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


@dataclass
class Platform:
    """A control plane and the machine that it runs."""

    database: Database
    machine: Machine
    ids: SeededIds = field(default_factory=SeededIds)
    edge_cache: EdgeCache = field(default_factory=FakeEdgeCache)

    def __post_init__(self) -> None:
        self.runtime, self.edge = FakeRuntime(self.machine), FakeEdge(self.machine)
        self.sources, self.assets = FakeSources(self.machine), FakeAssets(self.machine)
        self.boot(self.database)

    def boot(self, database: Database) -> None:
        """Start a control plane: all that it knew is what the database knows."""
        engines = replace(fake_engines(self.machine, self.ids), edge_cache=self.edge_cache)
        self.counted = database if isinstance(database, Crasher) else Crasher(database)
        self.tasks = TaskSet()
        self.plane = ControlPlane(SETTINGS, engines, self.counted, self.tasks)

    async def tick(self, seconds: float = 0.1) -> None:
        """One look, its steps, its probes; then time passes."""
        plane = self.plane
        if plane.asset_publisher.served is None or await plane.assets_due.wait(0, plane.clock):
            await plane.asset_publisher.once()
        world = await plane.reconciler.once()
        await plane.reconciler.settle()
        await plane.rollout_loop.once()
        await self.tasks.join()
        await plane.health_check.probe_due(health_targets(world, plane.host_names))
        self.machine.pass_time(seconds)

    async def finish(self, deploy_id: str, *, ticks: int = 2_000, seconds: float = 0.1) -> Deploy:
        """Go on until the deploy has ended."""
        found = await self.get(deploy_id)
        for _ in range(ticks):
            if found.state.ended:
                return found
            before = self.counted.commits
            await self.tick(seconds)
            # Nothing ends without a commit, and most ticks have none.
            if self.counted.commits > before:
                found = await self.get(deploy_id)
        raise AssertionError(f"{deploy_id} is stuck at {found.step}")

    async def get(self, deploy_id: str) -> Deploy:
        """A deploy as the database has it."""
        async with self.database.transaction() as session:
            return await deploy_store.get(session, deploy_id)

    async def release(self, release_id: str) -> Release:
        """A release as the database has it."""
        async with self.database.transaction() as session:
            return await release_store.get(session, release_id)

    async def steps(self, deploy_id: str) -> tuple[StepRecord, ...]:
        """Its steps as the database has them."""
        async with self.database.transaction() as session:
            records = await deploy_store.list_steps(session, deploy_id)
        order = [row.step for row in PIPELINE]
        return tuple(sorted(records, key=lambda record: order.index(record.name)))

    async def request(self, source: str, environment: str = "production") -> Deploy:
        """Ask for a deploy."""
        return await self.plane.deploys.deploy(
            "shop", environment, source_digest=source, commit=Commit(), by="ada"
        )
