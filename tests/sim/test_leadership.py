"""Two control planes on one database and one machine of glass: one acts, and the other takes over."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from gantry.app.platform import Platform as ControlPlane
from gantry.config.settings import Settings
from gantry.engines.database.leadership import hold_leadership
from gantry.engines.database.postgres import PostgresDatabase
from gantry.features.deploys import store as deploys
from gantry.features.deploys.model import Deploy, DeployState, Step
from gantry.features.releases.model import Commit
from gantry.kernel.clock import SystemClock
from gantry.kernel.ids import SeededIds
from gantry.kernel.tasks import TaskSet
from tests.fakes.clock import HeldClock
from tests.fakes.machine import Machine
from tests.sim.platform import Platform, program

TAKEOVER_TIMEOUT_S = 10.0
DEPLOY_TIMEOUT_S = 60.0


class Pair:
    """Two control planes that run, on one machine whose time passes by itself."""

    def __init__(self, database: PostgresDatabase, url: str, home: Path) -> None:
        self.database = database
        self.sim = Platform(database, Machine(HeldClock(), random.Random(1)), SeededIds(1))
        self.tasks = {"first": TaskSet(), "second": TaskSet()}
        hold = partial(hold_leadership, url, SystemClock(), every_s=0.05)
        self.planes = {
            name: ControlPlane(
                Settings(home=home), self.sim.plane.engines, database, tasks, hold_leadership=hold
            )
            for name, tasks in self.tasks.items()
        }
        self._time = TaskSet()

    def start(self, name: str) -> None:
        """Let a control plane run; the machine's own work is left out, so that nothing is written to a real disk."""
        self.tasks[name].spawn(self.planes[name].leader.run(), name=f"leader {name}")

    async def leads(self, name: str) -> None:
        """Wait until it acts, which must not take longer than people may wait for it."""
        async with asyncio.timeout(TAKEOVER_TIMEOUT_S):
            while not self.planes[name].leader.leads:
                await asyncio.sleep(0.01)

    async def kill(self, name: str) -> None:
        """End everything that it does, wherever it is."""
        await self.tasks[name].aclose()

    async def pass_time(self) -> None:
        """The machine's time goes on."""
        while True:
            self.sim.machine.pass_time(0.05)
            await asyncio.sleep(0.05)

    async def deploy(self, by: str) -> Deploy:
        """Ask one of them for a deploy."""
        source = self.sim.sources.put(program())
        return await self.planes[by].deploys.deploy(
            "shop", "production", source_digest=source, commit=Commit(), by="ada"
        )

    async def until(self, deploy_id: str, *steps: Step) -> Deploy:
        """The deploy once it has reached one of `steps`, or ended where none is named."""
        async with asyncio.timeout(DEPLOY_TIMEOUT_S):
            while True:
                async with self.database.transaction() as session:
                    found = await deploys.get(session, deploy_id)
                if found.state.ended or found.step in steps:
                    return found
                await asyncio.sleep(0.01)

    async def aclose(self) -> None:
        await self._time.aclose()
        for tasks in self.tasks.values():
            await tasks.aclose()


@pytest.fixture
async def pair(
    database: PostgresDatabase, postgres_url: str, tmp_path: Path
) -> AsyncIterator[Pair]:
    made = Pair(database, postgres_url, tmp_path)
    made._time.spawn(made.pass_time(), name="time")
    yield made
    await made.aclose()


@pytest.mark.parametrize("step", [Step.BUILD, Step.MIGRATE, Step.HEALTHY])
async def test_the_other_takes_over_and_nothing_is_done_twice(pair: Pair, step: Step) -> None:
    pair.start("first")
    await pair.leads("first")
    pair.start("second")
    # The one that does not lead takes requests all the same.
    deploy = await pair.deploy(by="second")
    reached = await pair.until(deploy.id, step)
    assert reached.step is step, reached.error
    assert not pair.planes["second"].leader.leads, "only one of them acts"
    await pair.kill("first")
    await pair.leads("second")
    ended = await pair.until(deploy.id)
    assert ended.state is DeployState.SUCCEEDED, ended.error
    machine = pair.sim.machine
    assert machine.builds_run == 1
    assert [key for key, count in Counter(machine.spawned).items() if count > 1] == []
    assert len(machine.running_instances()) == 2
    assert machine.visit("shop.localhost") == (200, ended.release)


async def test_a_leader_that_loses_its_session_stops_and_leads_again(
    pair: Pair, database: PostgresDatabase
) -> None:
    pair.start("first")
    first = await pair.until((await pair.deploy(by="first")).id)
    assert first.state is DeployState.SUCCEEDED
    async with database.transaction() as session:
        ended = await session.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        )
    assert len(ended) == 1
    second = await pair.until((await pair.deploy(by="first")).id)
    assert second.state is DeployState.SUCCEEDED
    assert pair.planes["first"].leader.leads
