"""Wakes a loop early, and says how long it may sleep otherwise."""

import asyncio

from gantry.kernel.clock import Clock, wait_for


class Waker:
    """An event that several places may set and one loop waits for."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Let the loop look again now. Cheap; may be called any number of times."""
        self._event.set()

    async def wait(self, timeout_s: float, clock: Clock) -> bool:
        """Sleep until woken, at most `timeout_s` of the clock's time; whether it was woken.

        Wakes between two waits are not lost.
        """
        try:
            return await wait_for(self._event, timeout_s, clock)
        finally:
            self._event.clear()
