"""Hears when processes end, without asking: one pidfd for each in the event loop."""

import asyncio
import os
from collections.abc import Mapping

from gantry.engines.runtime.procfs import Identity


class ExitWatch:
    """Wakes whoever waits when one of the watched processes ends. Belongs to one event loop."""

    def __init__(self) -> None:
        self._handles: dict[Identity, int] = {}
        self._ended = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def watch(self, identity: Identity) -> None:
        """Watch a process; one that has ended already wakes at once."""
        if identity in self._handles:
            return
        self._loop = asyncio.get_running_loop()
        try:
            handle = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            self._ended.set()
            return
        if not identity.alive():
            os.close(handle)
            self._ended.set()
            return
        self._handles[identity] = handle
        self._loop.add_reader(handle, self._on_end, identity)

    def watched(self) -> Mapping[Identity, int]:
        """Who is watched now."""
        return self._handles

    async def wait(self, timeout_s: float) -> None:
        """Return when one ended since the last return, or after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._ended.wait()
        except TimeoutError:
            return
        self._ended.clear()

    def close(self) -> None:
        """Forget all of them."""
        for identity in tuple(self._handles):
            self._forget(identity)

    def _on_end(self, identity: Identity) -> None:
        self._forget(identity)
        self._ended.set()

    def _forget(self, identity: Identity) -> None:
        handle = self._handles.pop(identity)
        assert self._loop is not None, "set when the first one was watched"
        self._loop.remove_reader(handle)
        os.close(handle)
