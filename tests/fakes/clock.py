"""A clock on which sleepers wait."""

import asyncio
from datetime import UTC, datetime
from heapq import heappop, heappush

from gantry.kernel.clock import ManualClock


class HeldClock(ManualClock):
    """Stands still until it is moved, and who sleeps on it sleeps until then: several loops can share it."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        super().__init__(start)
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    @property
    def sleepers(self) -> int:
        """How many sleep now."""
        return sum(not sleeper.done() for _, _, sleeper in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        self._count += 1
        sleeper = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (self.monotonic_s() + seconds, self._count, sleeper))
        await sleeper

    def advance(self, seconds: float) -> None:
        """Let time pass; who has slept long enough wakes up."""
        super().advance(seconds)
        # A sum of many small steps is a little less than the whole.
        now_s = self.monotonic_s() + 1e-6
        while self._sleepers and self._sleepers[0][0] <= now_s:
            sleeper = heappop(self._sleepers)[2]
            if not sleeper.done():
                sleeper.set_result(None)
