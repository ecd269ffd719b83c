"""What runs beside the edge on a machine of glass: a cache that does not start is started again, and not too often."""

import random
from itertools import pairwise

from gantry.engines.cache.fake import FakeCache
from gantry.engines.state.postgres import PostgresState
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import TransientError
from gantry.kernel.ids import SeededIds
from tests.sim.machine import Machine, Program
from tests.sim.platform import Platform
from tests.sim.test_stories import HOST, MANIFEST

CACHED = Program(manifest=f'{MANIFEST}[routes]\ncache = ["/news/:slug*"]\n')


class Reluctant(FakeCache):
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
    state: PostgresState,
) -> None:
    machine = Machine(ManualClock(), random.Random(1))
    cache = Reluctant(machine.clock, refusals=5)
    platform = Platform(state, machine, SeededIds(1), cache)
    deploy = await platform.finish((await platform.request(platform.sources.put(CACHED))).id)
    assert machine.visit(HOST) == (200, deploy.release), "nobody waits for it"
    for _ in range(300):
        await platform.tick()
    assert (await cache.status()).running
    assert len(cache.tried_at_s) == 6, "one that runs is left alone"
    waits_s = [later - before for before, later in pairwise(cache.tried_at_s)]
    assert waits_s == sorted(waits_s)
    assert waits_s[0] < 1.0 < 6.0 < waits_s[-1]
