"""Time as an input: the machine's clock, and one that tests and the simulation move by hand."""

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from gantry.kernel.timeline import Epoch, Timeline


class Clock(Protocol):
    """What Gantry's code may know of time."""

    def now(self) -> datetime:
        """Wall-clock time, always in UTC: what is recorded and shown. May jump."""
        ...

    def even(self, recorded: datetime) -> datetime:
        """A recorded moment as the present clock would have recorded it: now, less the time that has really passed.

        What waits compares `even(recorded)` with `now()`; where the clock was never set that is `recorded` itself.
        """
        ...

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary moment. Never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` of this clock's time pass."""
        ...


class SystemClock:
    """The machine's clock, for what waits no longer than its process lives."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def even(self, recorded: datetime) -> datetime:
        return recorded

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SteadyClock(SystemClock):
    """The control plane's clock: the machine's, with its steps remembered.

    Parameters:
        wall_s: the machine's clock, seconds since 1970; it may jump.
        since_boot_s: seconds since boot, time asleep included; it does not.
        kept: what a control plane before this one saw since the same boot.
    """

    def __init__(
        self,
        wall_s: Callable[[], float],
        since_boot_s: Callable[[], float],
        kept: Iterable[Epoch] = (),
    ) -> None:
        self._wall_s = wall_s
        self._since_boot_s = since_boot_s
        self._timeline = Timeline(kept)

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        """What the next control plane goes on with."""
        self.now()
        return self._timeline.epochs

    def now(self) -> datetime:
        """See `Clock.now`."""
        wall_s = self._wall_s()
        self._timeline.look(self._since_boot_s(), wall_s)
        return datetime.fromtimestamp(wall_s, UTC)

    def even(self, recorded: datetime) -> datetime:
        """See `Clock.even`."""
        now = self.now()
        if self._timeline.is_even:
            return recorded
        elapsed_s = self._timeline.elapsed_s(recorded.timestamp(), self._since_boot_s())
        return now - timedelta(seconds=elapsed_s)


class ManualClock:
    """A clock that stands still until it is moved. Sleeping moves it."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic_s = 0.0
        self._timeline = Timeline()
        self._timeline.look(0.0, start.timestamp())

    def now(self) -> datetime:
        return self._now

    def even(self, recorded: datetime) -> datetime:
        if self._timeline.is_even:
            return recorded
        elapsed_s = self._timeline.elapsed_s(recorded.timestamp(), self._monotonic_s)
        return self._now - timedelta(seconds=elapsed_s)

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds >= 0, "time does not go back; use jump()"
        self._now += timedelta(seconds=seconds)
        self._monotonic_s += seconds

    def jump(self, seconds: float) -> None:
        """Move the wall clock only, as an operator or NTP does; may be negative."""
        self._now += timedelta(seconds=seconds)
        self._timeline.look(self._monotonic_s, self._now.timestamp())

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)


async def wait_for(event: asyncio.Event, timeout_s: float, clock: Clock) -> bool:
    """Wait until `event` is set, at most `timeout_s` of the clock's time; whether it is set."""
    if event.is_set():
        return True
    waits = (asyncio.create_task(event.wait()), asyncio.create_task(clock.sleep(timeout_s)))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return event.is_set()


def range_fault(since: datetime | None, until: datetime | None) -> str | None:
    """What is wrong with the time between two moments, in words; `None` when there is some, or it has no bound."""
    if since is None or until is None or since < until:
        return None
    return f"nothing lies between {since:%Y-%m-%d %H:%M:%S} and {until:%Y-%m-%d %H:%M:%S}"
