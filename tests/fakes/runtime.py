"""A runtime without processes: programs follow scripts on the machine's clock."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from gantry.engines.runtime.protocol import (
    Attachment,
    Listener,
    LogChunk,
    ProcessSpec,
    ProcessStatus,
    Runtime,
    Window,
)
from gantry.kernel.clock import ManualClock, wait_for
from gantry.kernel.errors import UserError
from tests.fakes.attached import FakeAttachment
from tests.fakes.machine import Machine, Process
from tests.fakes.programs import SIGKILL

_CODE = "runtime.start-failed"


class FakeRuntime:
    """Starts and ends the processes of a machine.

    Attributes:
        held: what was started attached, by process.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.held: dict[str, FakeAttachment] = {}
        self._noticed: set[tuple[str, float]] = set()

    async def start(self, spec: ProcessSpec) -> ProcessStatus:
        """See `Runtime.start`."""
        self.machine.may_refuse(_CODE, "start")
        if not self.machine.script_of(spec).exists:
            raise UserError(
                "runtime.no-program", f"there is no program {spec.argv[0]!r}", hint="check PATH"
            )
        process = self.machine.processes.get(spec.id)
        if process is None or not process.runs(self.machine.now_s):
            process = self.machine.spawn(spec)
        self.machine.may_lose_reply(_CODE, "start")
        return process.status(self.machine.now_s)

    async def start_attached(self, spec: ProcessSpec, window: Window | None) -> Attachment:
        """See `Runtime.start_attached`."""
        process = self.machine.processes.get(spec.id)
        if process is not None and process.runs(self.machine.now_s):
            raise UserError("runtime.already-runs", f"a process {spec.id} runs already")
        await self.start(spec)
        held = FakeAttachment(self.machine, self.machine.processes[spec.id], window)
        self.held[spec.id] = held
        return held

    async def signal(self, process_id: str, *, kill: bool = False) -> None:
        """See `Runtime.signal`."""
        process, now_s = self.machine.processes.get(process_id), self.machine.now_s
        if process is None or not process.runs(now_s):
            return
        if kill:
            self.machine.end(process, now_s, SIGKILL, "signal")
        elif (after_s := process.script.stops_after_s) is not None:
            code = process.script.stop_exit_code
            self.machine.end(process, now_s + after_s, code, "signal")
        self.machine.may_lose_reply(_CODE, "signal")

    async def restart_when_killed(self, process_id: str, *, wanted: bool) -> None:
        """See `Runtime.restart_when_killed`."""
        if process_id in self.machine.processes:
            self.machine.processes[process_id].comes_back = wanted
        self.machine.may_lose_reply(_CODE, "restart_when_killed")

    async def statuses(self) -> Mapping[str, ProcessStatus]:
        """See `Runtime.statuses`."""
        now_s = self.machine.now_s
        return {name: process.status(now_s) for name, process in self.machine.processes.items()}

    async def remove(self, process_id: str) -> None:
        """See `Runtime.remove`."""
        process = self.machine.processes.pop(process_id, None)
        if process is not None:
            self.machine.end(process, self.machine.now_s, SIGKILL, "signal")
        self.machine.may_lose_reply(_CODE, "remove")

    async def read_log(
        self, process_id: str, *, offset: int = 0, limit_bytes: int = 65_536
    ) -> LogChunk:
        """See `Runtime.read_log`."""
        process = self.machine.processes.get(process_id)
        if process is None:
            return LogChunk("", 0)
        end = process.log_base + len(process.log)
        wanted = end + offset if offset < 0 else offset
        start = min(max(wanted, process.log_base), end)
        if start > process.log_base and process.log[start - process.log_base - 1] != ord("\n"):
            found = process.log.find(b"\n", start - process.log_base)
            start = end if found < 0 else process.log_base + found + 1
        data = bytes(process.log[start - process.log_base :][:limit_bytes])
        if start + len(data) < end:
            data = data[: data.rfind(b"\n") + 1] or data
        text = data.decode("utf-8", "replace").replace("\0", "\ufffd")
        return LogChunk(text, start + len(data), self._times(process, data, start))

    async def mark_logs(self) -> None:
        """See `Runtime.mark_logs`."""
        for process in self.machine.processes.values():
            size = process.log_base + len(process.log)
            if size > (process.log_marks[-1][1] if process.log_marks else 0):
                process.log_marks.append((self.machine.clock.now(), size))

    async def find_in_log(self, process_id: str, moment: datetime) -> int:
        """See `Runtime.find_in_log`."""
        process = self.machine.processes.get(process_id)
        marks = process.log_marks if process is not None else []
        earlier = [size for at, size in marks if at < moment]
        return max(earlier, default=0)

    async def listeners(self, process_id: str) -> tuple[Listener, ...]:
        """See `Runtime.listeners`."""
        return self.machine.listeners(process_id)

    async def rotate_logs(self, *, keep_bytes: int) -> None:
        """See `Runtime.rotate_logs`."""
        for process in self.machine.processes.values():
            extra = len(process.log) - keep_bytes
            if extra > 0:
                cut = process.log.find(b"\n", extra - 1) + 1 or len(process.log)
                del process.log[:cut]
                process.log_base += cut

    async def wait_for_exit(self, timeout_s: float) -> None:
        """See `Runtime.wait_for_exit`."""
        machine = self.machine
        until_s = machine.now_s + timeout_s
        while machine.now_s < until_s:
            machine.changed.clear()
            ends_s, name = self._next_end()
            if ends_s <= machine.now_s:
                self._noticed.add((name, ends_s))
                return
            await wait_for(machine.changed, min(ends_s, until_s) - machine.now_s, machine.clock)

    def _times(self, process: Process, data: bytes, start: int) -> tuple[datetime, ...]:
        times, offset = [], start
        now = process.status(self.machine.now_s).ended_at or self.machine.clock.now()
        for line in data.removesuffix(b"\n").split(b"\n") if data else ():
            later = (at for at, size in process.log_marks if size > offset)
            times.append(next(later, now))
            offset += len(line) + 1
        return tuple(times)

    def _next_end(self) -> tuple[float, str]:
        """The first end that nobody was told of: when, and whose."""
        ends = (
            (process.ends_s, name)
            for name, process in self.machine.processes.items()
            if process.ends_s is not None and (name, process.ends_s) not in self._noticed
        )
        return min(ends, default=(math.inf, ""))


if TYPE_CHECKING:
    _guard: Runtime = FakeRuntime(Machine(ManualClock()))
