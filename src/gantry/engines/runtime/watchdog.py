"""Limits from outside, for machines that permit no control groups: looks once a second, kills what is above."""

import os
import signal
from collections.abc import Callable

from gantry.engines.runtime import procfs
from gantry.engines.runtime.folder import ProcessFolder, Record
from gantry.engines.runtime.procfs import Machine
from gantry.kernel.clock import Clock

_INTERVAL_S = 1.0


class Watchdog:
    """Enforces memory and number of processes; works only while a control plane runs.

    Parameters:
        folder_of: the folder of a process.
    """

    def __init__(self, folder_of: Callable[[str], ProcessFolder], clock: Clock) -> None:
        self._folder_of = folder_of
        self._clock = clock
        self._guarded: set[str] = set()
        # Set by whoever starts `run`, before it has its first turn.
        self.running = False

    @staticmethod
    def needed(record: Record) -> bool:
        """The process has limits that no control group enforces."""
        limited = record.memory_bytes is not None or record.processes is not None
        return limited and not record.groups

    def guard(self, process_id: str) -> None:
        """Look at this process until it ends."""
        self._guarded.add(process_id)

    async def run(self) -> None:
        """Look until there is nothing left to look at."""
        try:
            while self._guarded:
                machine = Machine()
                for process_id in tuple(self._guarded):
                    self._inspect(process_id, machine)
                await self._clock.sleep(_INTERVAL_S)
        finally:
            self.running = False

    def _inspect(self, process_id: str, machine: Machine) -> None:
        folder = self._folder_of(process_id)
        record = folder.record()
        root = folder.namespace_init() or folder.keeper() or folder.program()
        if record is None or folder.ending() is not None or root is None or not root.alive():
            self._guarded.discard(process_id)
            return
        tree = machine.tree(root.pid)
        if record.memory_bytes is not None and procfs.total_bytes(tree) > record.memory_bytes:
            folder.mark_out_of_memory()
        elif record.processes is None or len(tree) <= record.processes:
            return
        for seen in tree:
            if seen.identity.alive():
                os.kill(seen.pid, signal.SIGKILL)
