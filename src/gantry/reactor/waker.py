"""Wakes a loop early, and says how long it may sleep otherwise."""

import asyncio


class Waker:
    """An event that several places may set and one loop waits for."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Let the loop look again now. Cheap; may be called any number of times."""
        self._event.set()

    async def wait(self, timeout_s: float) -> bool:
        """Sleep until woken, at most `timeout_s`; whether it was woken. Wakes between two waits are not lost."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        finally:
            self._event.clear()
        return True
