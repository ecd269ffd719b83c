"""What became of a process: read from its folder, from /proc and from its control groups, each time anew."""

import contextlib
import os
import signal
from collections.abc import Iterable

from gantry.engines.runtime import limits, procfs
from gantry.engines.runtime.folder import Ending, ProcessFolder, Record
from gantry.engines.runtime.procfs import Identity, Machine
from gantry.engines.runtime.protocol import ProcessState, ProcessStatus
from gantry.engines.runtime.watchdog import Watchdog

# The mark of an ending, and what was read of it.
_Ended = tuple[tuple[int, int], ProcessStatus]


class Look:
    """Sees processes and clears away what is left of them. Everything here blocks: call it in a worker thread.

    Attributes:
        life: whose end is the end of a process, as last seen: its shim, or the program when the shim was killed.
        unguarded: processes with limits that no control group enforces, as last seen.
    """

    def __init__(self) -> None:
        self.life: dict[str, Identity] = {}
        self.unguarded: set[str] = set()
        # The program of a sandbox is found by a walk through /proc; its shim tells one run from the next.
        self._programs: dict[Identity, Identity] = {}
        # Hundreds of ended processes are kept for their logs, and nothing changes of them: their endings are read once.
        self._ended: dict[str, _Ended] = {}

    def look_at_all(self, folders: Iterable[ProcessFolder]) -> dict[str, ProcessStatus]:
        """The statuses of these and no other processes; a folder without a record has none."""
        machine = Machine()
        found: dict[str, ProcessStatus] = {}
        ended: dict[str, _Ended] = {}
        for folder in folders:
            name, mark = folder.path.name, folder.ending_mark()
            known = self._ended.get(name)
            if known is not None and known[0] == mark:
                found[name] = known[1]
                ended[name] = known
                continue
            record = folder.record()
            if record is None:
                continue
            status = found[name] = self.look(folder, record, machine)
            settled = not any(group.exists() for group in record.groups)
            if status.state is ProcessState.EXITED and mark is not None and settled:
                ended[name] = mark, status
        # In one go: looks happen in several threads.
        self._ended = ended
        return found

    def settled_mark(self, name: str) -> tuple[int, int] | None:
        """The mark of an ending that was read, after which nothing changes; `None` of a process that may still change."""
        known = self._ended.get(name)
        return known[0] if known is not None else None

    def forget(self, name: str) -> None:
        """It is started anew."""
        self._ended.pop(name, None)

    def look(
        self,
        folder: ProcessFolder,
        record: Record,
        machine: Machine | None = None,
        *,
        held: bool = False,
    ) -> ProcessStatus:
        """The status of one process.

        Parameters:
            machine: what is known of all processes, for a look at many.
            held: the caller holds the folder's lock.
        """
        program = self.running(folder, record)
        if program is not None:
            return self._running_status(folder, record, program, machine or Machine())
        if held:
            return self._ended_status(folder, record)
        if folder.ending() is not None:
            self._settle(folder, record)
            ending = folder.ending()
            if ending is not None:
                return _exited(record, ending)
        # Lost, or in the middle of a start: a start holds the folder until the shim has said who it is.
        with folder.locked(wait=False) as mine:
            now = folder.record()
            if not mine or now is None:
                return ProcessStatus(
                    record.id, ProcessState.RUNNING, None, record.started_at, labels=record.labels
                )
            return self.look(folder, now, machine, held=True)

    def _running_status(
        self, folder: ProcessFolder, record: Record, program: Identity, machine: Machine
    ) -> ProcessStatus:
        if Watchdog.needed(record):
            self.unguarded.add(record.id)
        return ProcessStatus(
            id=record.id,
            state=ProcessState.RUNNING,
            pid=program.pid or None,
            started_at=record.started_at,
            memory_limit_bytes=record.memory_bytes,
            terminate_s=record.terminate_s,
            memory_bytes=self._memory_bytes(folder, record, machine),
            restarts=folder.restarts(),
            labels=record.labels,
        )

    def _ended_status(self, folder: ProcessFolder, record: Record) -> ProcessStatus:
        if any(group.exists() for group in record.groups):
            self.clear_away(folder, record)
        ending = folder.ending()
        if ending is None:
            return ProcessStatus(
                record.id, ProcessState.LOST, None, record.started_at, labels=record.labels
            )
        return _exited(record, ending)

    def running(self, folder: ProcessFolder, record: Record) -> Identity | None:
        """The program if it runs; `Identity(0, 0)` while only its shim is seen."""
        shim = folder.shim()
        if shim is not None and shim.alive():
            self.life[record.id] = shim
            return self._program(folder, record, shim) or Identity(0, 0)
        if record.sandboxed:
            return None  # it dies with its shim
        program = folder.program()
        if program is None or not program.alive():
            program = folder.keeper()
        if program is None or not program.alive():
            return None
        # The shim was killed and the program was not: it still does its work.
        self.life[record.id] = program
        return program

    def _settle(self, folder: ProcessFolder, record: Record) -> None:
        """Once after its end: keep what the control group knows, then let go of it."""
        if not any(group.exists() for group in record.groups):
            return
        # Without waiting: whoever holds the folder is starting it anew in the same group, and clears away itself.
        with folder.locked(wait=False) as held:
            if held and folder.record() == record and self.running(folder, record) is None:
                self.clear_away(folder, record)

    def clear_away(self, folder: ProcessFolder, record: Record | None) -> None:
        """What is left of a run that ended: stray processes of its tree, its control groups."""
        if record is None:
            return
        if limits.was_out_of_memory(record.groups):
            folder.mark_out_of_memory()
        self.kill(folder, record)
        limits.remove(record.groups)
        shim = folder.shim()
        if shim is not None:
            self._programs.pop(shim, None)

    def kill(self, folder: ProcessFolder, record: Record) -> None:
        """SIGKILL to the whole tree but the shim and the pump, which report it."""
        limits.kill(record.groups)
        init = folder.namespace_init()
        if init is not None:
            send(init, signal.SIGKILL)
        if not record.sandboxed:
            for identity in self.tree(folder, record):
                send(identity, signal.SIGKILL)

    def terminate(self, folder: ProcessFolder, record: Record) -> None:
        """SIGTERM to every process of the tree. Its keeper is first, which then waits for all others."""
        began_ticks = procfs.now_ticks()
        sent: set[Identity] = set()
        # Twice: a process may have made another one while the tree was looked through. What was made since then is the
        # work of somebody who ends well.
        for _ in range(2):
            for identity in self.tree(folder, record):
                if identity not in sent and identity.start_ticks <= began_ticks:
                    send(identity, signal.SIGTERM)
                    sent.add(identity)

    def tree(self, folder: ProcessFolder, record: Record) -> list[Identity]:
        """What runs of a product, without the shim, the pump and bubblewrap. The oldest first: a shell that outlives its
        child by a moment would begin the next one, or end well.
        """
        machine, root = Machine(), self._root(folder)
        found = set(machine.tree(root.pid)) if root is not None else set()
        if record.sandboxed:
            found = {seen for seen in found if root is not None and seen.pid != root.pid}
        else:
            # What has left the session is still in the group.
            members = limits.members(record.groups)
            found |= {machine.processes[pid] for pid in members if pid in machine.processes}
        return [
            seen.identity for seen in sorted(found, key=lambda seen: (seen.start_ticks, seen.pid))
        ]

    def _program(self, folder: ProcessFolder, record: Record, shim: Identity) -> Identity | None:
        known = self._programs.get(shim)
        if known is not None and known.alive():
            return known
        found = folder.sandboxed_program() if record.sandboxed else folder.program()
        if found is not None:
            self._programs[shim] = found
        return found

    def _memory_bytes(self, folder: ProcessFolder, record: Record, machine: Machine) -> int:
        counted = limits.memory_bytes(record.groups)
        if counted is not None:
            return counted
        root = self._root(folder)
        return procfs.total_bytes(machine.tree(root.pid)) if root is not None else 0

    def _root(self, folder: ProcessFolder) -> Identity | None:
        """What stands above all others that run of it."""
        return next(
            (
                identity
                for identity in (folder.namespace_init(), folder.keeper(), folder.program())
                if identity is not None and identity.alive()
            ),
            None,
        )


def _exited(record: Record, ending: Ending) -> ProcessStatus:
    return ProcessStatus(
        id=record.id,
        state=ProcessState.EXITED,
        pid=None,
        started_at=record.started_at,
        ended_at=ending.ended_at,
        exit_code=ending.exit_code,
        out_of_memory=ending.out_of_memory,
        timed_out=ending.timed_out,
        told_to_end=ending.told,
        memory_limit_bytes=record.memory_bytes,
        labels=record.labels,
    )


def send(identity: Identity, number: signal.Signals) -> None:
    """Signal exactly this process, never a later one with its number."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(identity.pid)
        try:
            if identity.alive():
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)
