"""A runtime without processes: programs follow scripts on a clock that is passed in."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from gantry.engines.runtime.protocol import (
    LogChunk,
    ProcessSpec,
    ProcessState,
    ProcessStatus,
    Runtime,
)
from gantry.kernel.clock import Clock
from gantry.kernel.errors import TransientError, UserError
from gantry.kernel.redact import Redactor

_KILLED = 137
_RESIDENT_BYTES = 50_000_000


@dataclass(frozen=True, slots=True)
class Script:
    """How one program behaves.

    Attributes:
        exits_after_s: `None`: it lives until it is told to stop.
        listens_after_s: when it answers on its port; `None`: never.
        stops_after_s: how long it takes to end after SIGTERM; `None`: it ignores it.
        dies_per_hour: rate of crashes at random.
        exists: `False`: there is no such program.
    """

    exits_after_s: float | None = None
    exit_code: int = 0
    listens_after_s: float | None = 0.0
    stops_after_s: float | None = 0.0
    stop_exit_code: int = 143
    out_of_memory: bool = False
    dies_per_hour: float = 0.0
    output: str = ""
    exists: bool = True


@dataclass(slots=True)
class Faults:
    """How often the runtime itself misbehaves; chances from 0 to 1.

    Attributes:
        lose_reply: the effect happens, the caller gets a `TransientError`.
        refuse: nothing happens, the caller gets a `TransientError`.
    """

    lose_reply: float = 0.0
    refuse: float = 0.0


@dataclass(slots=True)
class _Process:
    spec: ProcessSpec
    script: Script
    started_at: datetime
    started_s: float
    ends_s: float | None
    exit_code: int
    pid: int
    ended_by: str = ""
    comes_back: bool = False
    restarts: int = 0
    log: bytearray = field(default_factory=bytearray)
    log_base: int = 0


class FakeRuntime:
    """Simulates processes.

    Parameters:
        scripts: what a program does, from its specification.
        rng: decides when programs crash and calls fail.
    """

    def __init__(
        self,
        clock: Clock,
        rng: random.Random | None = None,
        scripts: Callable[[ProcessSpec], Script] = lambda _: Script(),
    ) -> None:
        self._clock = clock
        self._rng = rng or random.Random(0)
        self._scripts = scripts
        self._processes: dict[str, _Process] = {}
        self._noticed: set[tuple[str, float]] = set()
        self._next_pid = 1000
        self.faults = Faults()
        self.starts: list[str] = []

    async def start(self, spec: ProcessSpec) -> ProcessStatus:
        """See `Runtime.start`."""
        self._may_refuse()
        script = self._scripts(spec)
        if not script.exists:
            raise UserError(
                "runtime.no-program", f"there is no program {spec.argv[0]!r}", hint="check PATH"
            )
        before = self._processes.get(spec.id)
        if before is None or not self._runs(before):
            self._processes[spec.id] = self._begin(spec, script, before)
            self.starts.append(spec.id)
        self._may_lose_reply()
        return self._status(self._processes[spec.id])

    async def signal(self, process_id: str, *, kill: bool = False) -> None:
        """See `Runtime.signal`."""
        self._may_refuse()
        process = self._processes.get(process_id)
        if process is not None and self._runs(process):
            after_s = 0.0 if kill else process.script.stops_after_s
            ends_s = None if after_s is None else self._clock.monotonic_s() + after_s
            if ends_s is not None and (process.ends_s is None or ends_s < process.ends_s):
                process.ends_s = ends_s
                process.exit_code = _KILLED if kill else process.script.stop_exit_code
                process.ended_by = "signal"
                process.comes_back = False
        self._may_lose_reply()

    async def restart_when_killed(self, process_id: str, *, wanted: bool) -> None:
        """See `Runtime.restart_when_killed`."""
        self._may_refuse()
        if process_id in self._processes:
            self._processes[process_id].comes_back = wanted
        self._may_lose_reply()

    async def statuses(self) -> Mapping[str, ProcessStatus]:
        """See `Runtime.statuses`."""
        self._may_refuse()
        return {name: self._status(process) for name, process in self._processes.items()}

    async def remove(self, process_id: str) -> None:
        """See `Runtime.remove`."""
        self._may_refuse()
        self._processes.pop(process_id, None)
        self._may_lose_reply()

    async def read_log(
        self, process_id: str, *, offset: int = 0, limit_bytes: int = 65_536
    ) -> LogChunk:
        """See `Runtime.read_log`."""
        process = self._processes.get(process_id)
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
        return LogChunk(data.decode("utf-8", "replace").replace("\0", "\ufffd"), start + len(data))

    async def rotate_logs(self, *, keep_bytes: int) -> None:
        """See `Runtime.rotate_logs`."""
        for process in self._processes.values():
            extra = len(process.log) - keep_bytes
            if extra > 0:
                cut = process.log.find(b"\n", extra - 1) + 1 or len(process.log)
                del process.log[:cut]
                process.log_base += cut

    async def wait_for_exit(self, timeout_s: float) -> None:
        """See `Runtime.wait_for_exit`."""
        now_s = self._clock.monotonic_s()
        ends = [
            (process.ends_s, process.spec.id)
            for process in self._processes.values()
            if process.ends_s is not None and (process.spec.id, process.ends_s) not in self._noticed
        ]
        first_s, name = min(ends, default=(now_s + timeout_s, ""))
        if first_s <= now_s + timeout_s and name:
            self._noticed.add((name, first_s))
        await self._clock.sleep(max(0.0, min(first_s - now_s, timeout_s)))

    def listens(self, process_id: str) -> bool:
        """Whether the program answers on its port: what a fake probe or edge asks."""
        process = self._processes.get(process_id)
        if process is None or not self._runs(process) or process.script.listens_after_s is None:
            return False
        return self._clock.monotonic_s() >= process.started_s + process.script.listens_after_s

    def crash(self, process_id: str, *, exit_code: int = 139) -> None:
        """End one process now, as a segmentation fault does."""
        process = self._processes[process_id]
        if not self._runs(process):
            return
        now_s = self._clock.monotonic_s()
        if process.comes_back and now_s - process.started_s >= 1:
            self._next_pid += 1
            process.pid, process.started_s = self._next_pid, now_s
            process.restarts += 1
        else:
            process.ends_s, process.exit_code, process.ended_by = now_s, exit_code, "crash"

    def kill_all(self) -> None:
        """The machine is restarted: everything that ran is lost."""
        for process in self._processes.values():
            if self._runs(process):
                process.ends_s, process.ended_by = self._clock.monotonic_s(), "reboot"

    def say(self, process_id: str, text: str) -> None:
        """Let a program write to its log."""
        process = self._processes[process_id]
        process.log += Redactor(process.spec.redact)(text).encode()

    def _begin(self, spec: ProcessSpec, script: Script, before: _Process | None) -> _Process:
        self._next_pid += 1
        process = _Process(
            spec=spec,
            script=script,
            started_at=self._clock.now(),
            started_s=self._clock.monotonic_s(),
            ends_s=None,
            exit_code=script.exit_code,
            pid=self._next_pid,
            log=before.log if before is not None else bytearray(),
            log_base=before.log_base if before is not None else 0,
        )
        self._plan_end(process)
        self._processes[spec.id] = process
        self.say(spec.id, script.output)
        return process

    def _plan_end(self, process: _Process) -> None:
        script, spec = process.script, process.spec
        ends = []
        if script.exits_after_s is not None:
            reason = "memory" if script.out_of_memory else "exit"
            code = _KILLED if script.out_of_memory else script.exit_code
            ends.append((script.exits_after_s, reason, code))
        if script.dies_per_hour:
            ends.append((self._rng.expovariate(script.dies_per_hour / 3600), "crash", 139))
        if spec.timeout_s is not None:
            ends.append((spec.timeout_s, "timeout", _KILLED))
        if ends:
            after_s, process.ended_by, process.exit_code = min(ends)
            process.ends_s = process.started_s + after_s

    def _runs(self, process: _Process) -> bool:
        return process.ends_s is None or self._clock.monotonic_s() < process.ends_s

    def _status(self, process: _Process) -> ProcessStatus:
        name, started_at = process.spec.id, process.started_at
        if process.ends_s is None or self._runs(process):
            return ProcessStatus(
                id=name,
                state=ProcessState.RUNNING,
                pid=process.pid,
                started_at=started_at,
                memory_bytes=_RESIDENT_BYTES,
                restarts=process.restarts,
            )
        if process.ended_by == "reboot":
            return ProcessStatus(name, ProcessState.LOST, None, started_at)
        return ProcessStatus(
            id=name,
            state=ProcessState.EXITED,
            pid=None,
            started_at=started_at,
            ended_at=started_at + timedelta(seconds=process.ends_s - process.started_s),
            exit_code=process.exit_code,
            out_of_memory=process.ended_by == "memory",
            timed_out=process.ended_by == "timeout",
        )

    def _may_refuse(self) -> None:
        if self._rng.random() < self.faults.refuse:
            raise TransientError("runtime.start-failed", "the machine refused (simulated)")

    def _may_lose_reply(self) -> None:
        if self._rng.random() < self.faults.lose_reply:
            raise TransientError("runtime.start-failed", "the reply was lost (simulated)")


if TYPE_CHECKING:
    from gantry.kernel.clock import SystemClock

    _guard: Runtime = FakeRuntime(SystemClock())
