"""What was started is stopped in the reverse order, however far the start came."""

import logging
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)


class Cleanups:
    """A stack of named cleanups; one that fails is logged and does not keep the others from running."""

    def __init__(self) -> None:
        self._stack: list[tuple[str, Callable[[], Awaitable[None]]]] = []

    def push(self, name: str, cleanup: Callable[[], Awaitable[None]]) -> None:
        """Remember to do `cleanup`."""
        self._stack.append((name, cleanup))

    async def aclose(self) -> None:
        """Do them all, last first. Safe to call twice."""
        while self._stack:
            name, cleanup = self._stack.pop()
            try:
                await cleanup()
            except Exception:  # noqa: BLE001 -- the others must still run
                _log.exception("stopping %s failed", name)
