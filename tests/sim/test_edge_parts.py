"""The edge and what runs beside it on a machine of glass: nothing waits for what is slow."""

import asyncio
import random
from itertools import pairwise

import pytest

from gantry.engines.database.postgres import PostgresDatabase
from gantry.engines.runtime.protocol import ProcessSpec, ProcessStatus
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import TransientError
from gantry.kernel.ids import SeededIds
from tests.fakes.edge_cache import FakeEdgeCache
from tests.fakes.machine import Machine
from tests.fakes.programs import Program
from tests.fakes.runtime import FakeRuntime
from tests.sim.platform import HOST, MANIFEST, Platform, program

CACHED = Program(manifest=f'{MANIFEST}[routes]\ncache = ["/news/:slug*"]\n')


class Reluctant(FakeEdgeCache):
    """Refuses its first starts, and notes when it was asked."""

    def __init__(self, clock: ManualClock, refusals: int) -> None:
        super().__init__()
        self.clock = clock
        self.refusals = refusals
        self.tried_at_s: list[float] = []

    async def start(self) -> None:
        self.tried_at_s.append(self.clock.monotonic_s())
        if len(self.tried_at_s) <= self.refusals:
            raise TransientError("cache.start-failed", "the disk is full (simulated)")
        await super().start()


async def test_a_cache_that_does_not_start_is_tried_again_ever_less_often(
    database: PostgresDatabase,
) -> None:
    machine = Machine(ManualClock(), random.Random(1))
    cache = Reluctant(machine.clock, refusals=5)
    platform = Platform(database, machine, SeededIds(1), cache)
    deploy = await platform.finish((await platform.request(platform.sources.put(CACHED))).id)
    assert machine.visit(HOST) == (200, deploy.release), "nobody waits for it"
    for _ in range(300):
        await platform.tick()
    assert (await cache.status()).running
    assert len(cache.tried_at_s) == 6, "one that runs is left alone"
    waits_s = [later - before for before, later in pairwise(cache.tried_at_s)]
    assert waits_s == sorted(waits_s)
    assert waits_s[0] < 1.0 < 6.0 < waits_s[-1]


async def test_a_cache_that_an_earlier_control_plane_left_is_ended(
    database: PostgresDatabase,
) -> None:
    machine = Machine(ManualClock(), random.Random(1))
    cache = FakeEdgeCache()
    await cache.start()
    platform = Platform(database, machine, SeededIds(1), cache)
    await platform.finish((await platform.request(platform.sources.put(program()))).id)
    assert not (await cache.status()).running, "no site has use for it"


async def test_visitors_are_taken_back_while_an_instance_takes_long_to_start(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(ManualClock(), random.Random(1))
    platform = Platform(database, machine)
    first, second = [
        await platform.finish((await platform.request(platform.sources.put(program(note)))).id)
        for note in ("1", "2")
    ]
    assert machine.visit(HOST) == (200, second.release)
    machine.kill(machine.running_instances()[-1])
    await platform.plane.reconciler.once()  # sees that it ended
    async with database.transaction() as session:  # as a rollback's step does it
        await session.execute(
            "UPDATE environments SET live_release = %(id)s", {"id": first.release}
        )
    may_start, start = asyncio.Event(), FakeRuntime.start

    async def slowly(runtime: FakeRuntime, spec: ProcessSpec) -> ProcessStatus:
        await may_start.wait()
        return await start(runtime, spec)

    monkeypatch.setattr(FakeRuntime, "start", slowly)
    looking = asyncio.create_task(platform.plane.reconciler.once())
    async with asyncio.timeout(5):
        while machine.visit(HOST) != (200, first.release):
            await asyncio.sleep(0.01)
    assert not looking.done(), "the instance is still being started"
    may_start.set()
    await looking
