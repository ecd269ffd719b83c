"""Engines that end are started again, each on its own."""

import pytest

from gantry.engines.runtime.protocol import ProcessSpec
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import TransientError
from gantry.reactor.supervisor import EngineSupervisor
from tests.fakes.machine import Machine
from tests.fakes.postgres import FakeDatabaseServer
from tests.fakes.runtime import FakeRuntime


def spec(name: str) -> ProcessSpec:
    return ProcessSpec(id=name, argv=("/bin/true",), env={}, cwd="/")


class Kept:
    """A machine with an edge and a database, and what was asked of them."""

    def __init__(self) -> None:
        self.machine = Machine(ManualClock())
        self.runtime = FakeRuntime(self.machine)
        self.database = FakeDatabaseServer(self.machine)
        self.asked: list[str] = []
        self.keeper = EngineSupervisor(
            self.runtime,
            lambda name: name in ("edge", "postgres"),
            {"edge": self.edge, "database": self.revive},
        )

    async def edge(self) -> None:
        self.asked.append("edge")
        raise TransientError("edge.start-failed", "not now")

    async def revive(self) -> None:
        self.asked.append("database")
        await self.database.revive()


@pytest.fixture
def kept() -> Kept:
    return Kept()


async def test_nothing_is_asked_while_everything_runs(kept: Kept) -> None:
    for name in ("edge", "postgres", "i-1"):
        await kept.runtime.start(spec(name))
    await kept.keeper.once()
    assert kept.asked == []


async def test_an_instance_that_ended_is_somebody_elses(kept: Kept) -> None:
    await kept.runtime.start(spec("i-1"))
    await kept.runtime.signal("i-1", kill=True)
    await kept.keeper.once()
    assert kept.asked == []


async def test_one_that_does_not_start_keeps_no_other_from_it(kept: Kept) -> None:
    await kept.database.start()
    kept.machine.kill("postgres-data")
    await kept.runtime.start(spec("edge"))
    await kept.runtime.signal("edge", kill=True)
    await kept.keeper.once()
    assert sorted(kept.asked) == ["database", "edge"]
    assert (await kept.database.status()).running


async def test_what_its_shim_ran_again_is_told_once(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    await kept.runtime.start(spec("edge"))
    await kept.runtime.restart_when_killed("edge", wanted=True)
    kept.machine.pass_time(2.0)
    kept.machine.crash("edge")
    for _ in range(2):
        await kept.keeper.once()
    assert kept.asked == []
    assert [record.getMessage() for record in caplog.records] == [
        "edge was killed, and its shim ran it again; restarts so far: 1"
    ]
