"""The loops of a control plane, on a clock that a test holds: what wakes them, and what does not end them."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gantry.app.platform import Platform as ControlPlane
from gantry.config.settings import Settings
from gantry.engines.database.postgres import PostgresDatabase
from gantry.engines.probes.protocol import ProbeResult
from gantry.engines.runtime.protocol import ProcessSpec, ProcessStatus
from gantry.features.deploys import store as deploys
from gantry.features.deploys.model import DeployState, Step
from gantry.features.instances.health import LIVE_INTERVAL_S
from gantry.features.releases.model import Commit
from gantry.kernel.errors import PermanentError, TransientError
from gantry.kernel.ids import SeededIds
from gantry.kernel.tasks import TaskSet
from gantry.reactor.loops import IDLE_INTERVAL_S, Loops, Periodic
from gantry.reactor.waker import Waker
from tests.fakes.clock import HeldClock
from tests.fakes.engines import fake_engines
from tests.fakes.machine import Machine
from tests.fakes.probes import Answer, FakeProber
from tests.fakes.runtime import FakeRuntime
from tests.fakes.sources import FakeSources
from tests.sim.platform import program


class WatchedRuntime(FakeRuntime):
    """Counts how often it was looked at: once in each round of the reconciler.

    Attributes:
        away: it cannot be looked at.
    """

    looks = 0
    away = False

    async def statuses(self) -> Mapping[str, ProcessStatus]:
        if self.away:
            raise TransientError("runtime.away", "it does not answer")
        self.looks += 1
        return await super().statuses()


class SlowProber(FakeProber):
    """Keeps health checks waiting while `free` is not set."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.free = asyncio.Event()
        self.free.set()
        self.waiting: set[str] = set()

    async def get(
        self,
        url: str,
        *,
        host: str = "",
        timeout_s: float = 5.0,
        headers: Mapping[str, str] | None = None,
    ) -> ProbeResult:
        if url.endswith("/health") and not self.free.is_set():
            self.waiting.add(url)
            await self.free.wait()
        return await super().get(url, host=host, timeout_s=timeout_s, headers=headers)


@dataclass
class Work:
    """Periodic work that notes when it was done, and raises what it is told to.

    Attributes:
        errors: of the next rounds, first in, first out; `None`: it goes well.
        free: while it is not set, the work does not end.
    """

    clock: HeldClock
    done_at_s: list[float] = field(default_factory=list)
    errors: list[Exception | None] = field(default_factory=list)
    free: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.free.set()

    async def once(self) -> None:
        self.done_at_s.append(self.clock.monotonic_s())
        await self.free.wait()
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error


class Running:
    """Loops over a platform on a machine of glass, with periodic work of the test's own."""

    def __init__(self, database: PostgresDatabase, home: Path) -> None:
        self.database, self.clock = database, HeldClock()
        self.machine = Machine(self.clock, random.Random(1))
        self.runtime, self.sources = WatchedRuntime(self.machine), FakeSources(self.machine)
        self.prober = SlowProber(self.machine.probe)
        engines = fake_engines(self.machine, SeededIds(1))
        self.plane = ControlPlane(
            Settings(home=home),
            replace(engines, runtime=self.runtime, prober=self.prober),
            database,
            TaskSet(),
        )
        self.machine_work, self.work = Work(self.clock), Work(self.clock)
        self.tidy = Waker()
        self.loops = Loops(
            reconciler=self.plane.reconciler,
            health=self.plane.health_check,
            runtime=self.runtime,
            waker=self.plane.waker,
            host_names=self.plane.host_names,
            clock=self.clock,
            periodic=(
                Periodic("work", 10.0, self.work.once, self.tidy),
                Periodic("machine", 30.0, self.machine_work.once, on_exits=True, everywhere=True),
            ),
        )
        self.count = 0

    async def begin(self) -> None:
        """Start all loops, and wait until each of them waits."""
        self.loops.start()
        self.loops.lead()
        self.count = 5  # exits, reconcile, health, and the two of the test's own
        await self.quiet()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let loops run until something is so; the clock stands still."""
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0)

    async def quiet(self) -> None:
        """Wait until every loop waits for time to pass, or to be woken."""
        await self.until(lambda: self.clock.sleepers == self.count)

    async def pass_time(self, seconds: float, *, step_s: float = 0.05) -> None:
        """Let time pass in small steps, and loops do what is due in each."""
        for _ in range(round(seconds / step_s)):
            self.machine.pass_time(step_s)
            await self.quiet()

    async def looks(self, seconds: float) -> int:
        """How often the reconciler looks while time passes."""
        before = self.runtime.looks
        await self.pass_time(seconds)
        return self.runtime.looks - before


@pytest.fixture
async def running(database: PostgresDatabase, tmp_path: Path) -> AsyncIterator[Running]:
    made = Running(database, tmp_path)
    yield made
    await made.loops.aclose()
    assert made.clock.sleepers == 0, "nothing waits on when it was closed"


async def test_nothing_to_do_is_looked_at_every_three_seconds(running: Running) -> None:
    await running.begin()
    assert await running.looks(IDLE_INTERVAL_S - 0.1) == 0
    assert await running.looks(0.2) == 1
    assert await running.looks(2 * IDLE_INTERVAL_S) == 2


async def test_whoever_wants_something_wakes_the_reconciler(running: Running) -> None:
    await running.begin()
    before = running.runtime.looks
    running.plane.waker.wake()
    await running.until(lambda: running.runtime.looks == before + 1)


async def test_a_deploy_that_waits_is_looked_at_ever_less_often(running: Running) -> None:
    await running.begin()
    await running.plane.asset_publisher.once()
    source = running.sources.put(program(build="hang"))
    deploy = await running.plane.deploys.deploy(
        "shop", "production", source_digest=source, commit=Commit(), by="ada"
    )
    running.plane.waker.wake()
    while not any(task_id.startswith("build-") for task_id in running.machine.processes):
        await running.pass_time(0.05)
    async with running.database.transaction() as session:
        assert (await deploys.get(session, deploy.id)).step is Step.BUILD
    await running.pass_time(2.0)
    assert await running.looks(2.0) == 4, "twice a second, and not more"
    running.plane.waker.wake()
    await running.quiet()
    assert await running.looks(0.4) == 3, "after 50, 150 and 350 ms"


async def test_an_exit_is_seen_at_once(running: Running) -> None:
    await running.begin()
    running.machine.spawn(ProcessSpec("engine", ("engine",), {}, "/"))
    await running.pass_time(1.0)
    before = running.runtime.looks
    rounds = len(running.machine_work.done_at_s), len(running.work.done_at_s)
    running.machine.kill("engine")
    await running.until(lambda: running.runtime.looks == before + 1)
    await running.until(lambda: len(running.machine_work.done_at_s) == rounds[0] + 1)
    await running.quiet()
    assert len(running.work.done_at_s) == rounds[1], "this one does not ask for exits"


async def test_work_is_done_at_its_own_pace_and_at_once_when_it_is_woken(running: Running) -> None:
    await running.begin()
    await running.pass_time(20.5, step_s=0.5)
    assert running.work.done_at_s == [0.0, 10.0, 20.0]
    running.tidy.wake()
    await running.until(lambda: running.work.done_at_s[3:] == [20.5])
    await running.quiet()
    await running.pass_time(10.0, step_s=0.5)
    assert running.work.done_at_s[4:] == [30.5], "its pace begins anew"


async def test_a_wake_while_the_work_is_done_is_not_lost(running: Running) -> None:
    await running.begin()
    running.work.free.clear()
    running.tidy.wake()
    await running.until(lambda: len(running.work.done_at_s) == 2)
    for _ in range(3):
        running.tidy.wake()
    running.work.free.set()
    await running.until(lambda: len(running.work.done_at_s) == 3)
    await running.quiet()
    assert running.work.done_at_s == [0.0] * 3, "once more, however often it was woken"


async def test_a_defect_in_one_round_does_not_end_the_loop(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    running.work.errors = [ZeroDivisionError("a defect"), None]
    await running.begin()
    assert "work: a defect of Gantry" in caplog.text
    await running.pass_time(4.5, step_s=0.5)
    assert running.work.done_at_s == [0.0], "it is given a pause"
    await running.pass_time(0.5, step_s=0.5)
    assert running.work.done_at_s == [0.0, 5.0]


async def test_a_fault_is_tried_again_soon_and_told_once(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    one = TransientError("disk.full", "the disk is full")
    another = PermanentError("disk.gone", "the disk is gone")
    running.work.errors = [one, one, one, another, None, another, None]
    with caplog.at_level(logging.WARNING, "gantry.reactor.loops"):
        await running.begin()
        await running.pass_time(4.0, step_s=0.5)
        assert running.work.done_at_s == [0.0, 1.0, 2.0, 3.0, 4.0]
        await running.pass_time(11.0, step_s=0.5)
    assert [record.getMessage() for record in caplog.records] == [
        "work: [disk.full] the disk is full",
        "work: [disk.gone] the disk is gone",
        "work: [disk.gone] the disk is gone",
    ], "once for a row of equal ones"


async def test_what_cannot_be_looked_at_for_a_while_does_not_end_the_reconciler(
    running: Running,
) -> None:
    await running.begin()
    running.runtime.away = True
    running.plane.waker.wake()
    await running.quiet()
    await running.pass_time(3.0, step_s=0.5)
    running.runtime.away = False
    assert await running.looks(1.0) == 1


async def test_only_who_leads_acts_and_the_machine_s_own_work_goes_on(running: Running) -> None:
    running.loops.start()
    running.count = 2  # exits, and the machine's own
    await running.quiet()
    await running.pass_time(30.0, step_s=0.5)
    assert running.machine_work.done_at_s == [0.0, 30.0]
    assert (running.work.done_at_s, running.runtime.looks) == ([], 0)
    running.loops.lead()
    running.count = 5
    await running.quiet()
    assert (running.work.done_at_s, running.runtime.looks) == ([30.0], 1)
    await running.loops.follow()
    running.count = 2
    await running.quiet()
    await running.pass_time(30.0, step_s=0.5)
    assert running.machine_work.done_at_s == [0.0, 30.0, 60.0]
    assert (running.work.done_at_s, running.runtime.looks) == ([30.0], 1)
    running.loops.lead()
    running.count = 5
    await running.quiet()
    assert running.work.done_at_s == [30.0, 60.0]


async def test_closing_waits_for_nothing(running: Running) -> None:
    """Whether a loop waits for its time, pauses after a defect, or is in the middle of its work."""
    running.machine_work.errors = [ZeroDivisionError("a defect")]
    running.work.free.clear()
    running.loops.start()
    running.loops.lead()
    await running.until(lambda: running.clock.sleepers == 4 and len(running.work.done_at_s) == 1)
    async with asyncio.timeout(1):
        await running.loops.aclose()
    assert running.clock.monotonic_s() == 0.0


async def test_an_instance_that_appears_while_others_are_probed_is_probed_at_once(
    running: Running,
) -> None:
    """The first instance takes long to answer; another one is started meanwhile."""
    await running.begin()
    await running.plane.asset_publisher.once()

    async def deploy(environment: str) -> str:
        source = running.sources.put(program(environment))
        queued = await running.plane.deploys.deploy(
            "shop", environment, source_digest=source, commit=Commit(), by="ada"
        )
        running.plane.waker.wake()
        return queued.id

    async def state_of(deploy_id: str) -> DeployState:
        async with running.database.transaction() as session:
            return (await deploys.get(session, deploy_id)).state

    first = await deploy("production")
    while await state_of(first) is not DeployState.SUCCEEDED:
        await running.pass_time(0.05)
    running.prober.free.clear()
    running.count -= 1  # the loop of health checks does not wait for time
    running.machine.pass_time(LIVE_INTERVAL_S)
    await running.until(lambda: len(running.prober.waiting) == 2)
    await deploy("staging")
    known = set(running.machine.running_instances())
    while not set(running.machine.running_instances()) - known:
        await running.pass_time(0.05)
    await running.pass_time(1.0)
    running.prober.asked.clear()
    running.count += 1
    running.prober.free.set()
    (new,) = set(running.machine.running_instances()) - known
    port = running.machine.processes[new].spec.env["PORT"]
    await running.until(lambda: any(f":{port}/" in asked.url for asked in running.prober.asked))
