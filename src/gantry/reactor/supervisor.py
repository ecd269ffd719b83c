"""Starts engines again that have ended. It asks no database: one of them is the control plane's own."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from gantry.engines.runtime.protocol import ProcessState, Runtime
from gantry.kernel.errors import GantryError

_log = logging.getLogger(__name__)

# Ends are announced; this is for those that nobody announced, and for another try.
INTERVAL_S = 5.0


@dataclass(slots=True)
class EngineSupervisor:
    """Keeps the edge, the databases and the caches running, and tells of those that their shims have run again.

    Attributes:
        is_engine: whether a process is part of the platform itself.
        revivals: by name, what starts an engine again if it has ended, and does nothing otherwise.
    """

    runtime: Runtime
    is_engine: Callable[[str], bool]
    revivals: Mapping[str, Callable[[], Awaitable[None]]]
    _restarts: dict[str, int] = field(default_factory=dict)

    async def once(self) -> None:
        """One look; where everything runs, that is all."""
        statuses = await self.runtime.statuses()
        engines = {key: status for key, status in statuses.items() if self.is_engine(key)}
        self._tell_of_restarts({key: one.restarts for key, one in engines.items()})
        ended = [key for key, one in engines.items() if one.state is not ProcessState.RUNNING]
        if ended:
            _log.warning("ended by themselves: %s", ", ".join(sorted(ended)))
            await asyncio.gather(*(self._revive(name) for name in self.revivals))

    def _tell_of_restarts(self, restarts: dict[str, int]) -> None:
        for key, count in restarts.items():
            if count > self._restarts.get(key, 0):
                _log.warning(
                    "%s was killed, and its shim ran it again; restarts so far: %d", key, count
                )
        self._restarts = restarts

    async def _revive(self, name: str) -> None:
        try:
            await self.revivals[name]()
        except GantryError as error:
            _log.warning("%s: [%s] %s", name, error.code, error)
