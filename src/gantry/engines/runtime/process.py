"""The runtime on this machine: processes under shims, in sandboxes, in control groups."""

import asyncio
import contextlib
import errno
import os
import signal
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from gantry.config.paths import Paths
from gantry.engines.runtime import launch, limits, listening, sandbox
from gantry.engines.runtime.attached import Attached, Ends, open_ends
from gantry.engines.runtime.folder import ProcessFolder, Record
from gantry.engines.runtime.logs import Log
from gantry.engines.runtime.look import Look, send
from gantry.engines.runtime.procfs import Identity
from gantry.engines.runtime.protocol import (
    Attachment,
    Listener,
    LogChunk,
    ProcessSpec,
    ProcessState,
    ProcessStatus,
    Runtime,
    Window,
)
from gantry.engines.runtime.watch import ExitWatch
from gantry.engines.runtime.watchdog import Watchdog
from gantry.kernel.clock import Clock
from gantry.kernel.errors import TransientError, UserError
from gantry.kernel.tasks import TaskSet

# From the launch until the program's own first instruction; 15 ms on an idle machine.
_START_DEADLINE_S = 20.0
_END_DEADLINE_S = 5.0


class ProcessRuntime:
    """Runs processes below `paths.processes`. Several may look at the same folder; one should act.

    Everything is read from the folders and from /proc, so that a new control plane sees what the one before left.
    """

    def __init__(self, paths: Paths, clock: Clock) -> None:
        _let_children_hear()
        self._home = paths.processes
        self._clock = clock
        self._groups = limits.find(paths.home)
        self._watch = ExitWatch()
        self._tasks = TaskSet()
        self._watchdog = Watchdog(self._folder, clock)
        self._see = Look()
        # Name -> size of its log when it was last marked, and the mark of its ending if it had settled before that.
        self._marked: dict[str, tuple[int, tuple[int, int] | None]] = {}

    async def start(self, spec: ProcessSpec) -> ProcessStatus:
        """See `Runtime.start`; also `runtime.bad-spec`, `runtime.no-user` and `runtime.no-tool`."""
        launch.check(spec)
        try:
            status = await asyncio.to_thread(self._start, spec)
        except OSError as error:
            raise _not_started(spec, error) from error
        self._follow()
        return status

    async def start_attached(self, spec: ProcessSpec, window: Window | None) -> Attachment:
        """See `Runtime.start_attached`."""
        launch.check(spec)
        starting = asyncio.ensure_future(asyncio.to_thread(self._start_attached, spec, window))
        try:
            attached = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The thread goes on: what it opens has nobody to hold it.
            starting.add_done_callback(_hang_up)
            raise
        except OSError as error:
            raise _not_started(spec, error) from error
        self._follow()
        return attached

    async def signal(self, process_id: str, *, kill: bool = False) -> None:
        """See `Runtime.signal`."""
        await asyncio.to_thread(self._signal, self._folder(process_id), kill=kill)

    async def restart_when_killed(self, process_id: str, *, wanted: bool) -> None:
        """See `Runtime.restart_when_killed`."""
        folder = self._folder(process_id)
        await asyncio.to_thread(folder.restart_when_killed, wanted=wanted)

    async def statuses(self) -> Mapping[str, ProcessStatus]:
        """See `Runtime.statuses`."""
        found = await asyncio.to_thread(self._statuses)
        self._follow()
        return found

    async def remove(self, process_id: str) -> None:
        """See `Runtime.remove`."""
        await asyncio.to_thread(self._remove, self._folder(process_id))

    async def read_log(
        self, process_id: str, *, offset: int = 0, limit_bytes: int = 65_536
    ) -> LogChunk:
        """See `Runtime.read_log`."""
        return await asyncio.to_thread(self._read_log, process_id, offset, limit_bytes)

    async def listeners(self, process_id: str) -> tuple[Listener, ...]:
        """See `Runtime.listeners`."""
        return await asyncio.to_thread(self._listeners, self._folder(process_id))

    async def mark_logs(self) -> None:
        """See `Runtime.mark_logs`."""
        await asyncio.to_thread(self._mark_logs)

    async def find_in_log(self, process_id: str, moment: datetime) -> int:
        """See `Runtime.find_in_log`."""
        marks = await asyncio.to_thread(Log(self._folder(process_id).log).times.read)
        return marks.offset_at(moment)

    async def rotate_logs(self, *, keep_bytes: int) -> None:
        """See `Runtime.rotate_logs`."""
        for name in await asyncio.to_thread(self._names):
            await asyncio.to_thread(Log(self._folder(name).log).free, keep_bytes)

    async def wait_for_exit(self, timeout_s: float) -> None:
        """See `Runtime.wait_for_exit`."""
        if not self._watch.watched():
            await self.statuses()
        await self._watch.wait(timeout_s)

    async def aclose(self) -> None:
        """Stop watching. The processes stay."""
        self._watch.close()
        await self._tasks.aclose()
        await asyncio.to_thread(self._groups.tidy)

    def _folder(self, process_id: str) -> ProcessFolder:
        return ProcessFolder(self._home / process_id)

    def _names(self) -> tuple[str, ...]:
        try:
            return tuple(sorted(n for n in os.listdir(self._home) if not n.startswith(".")))  # noqa: PTH208 -- names only
        except FileNotFoundError:
            return ()

    def _follow(self) -> None:
        """Watch for the end of everything that was seen to run."""
        # One by one: worker threads add to them meanwhile.
        while self._see.life:
            self._watch.watch(self._see.life.popitem()[1])
        while self._see.unguarded:
            self._watchdog.guard(self._see.unguarded.pop())
            if not self._watchdog.running:
                self._watchdog.running = True
                self._tasks.spawn(self._watchdog.run(), name="watchdog")

    # Below here everything runs in worker threads.

    def _start_attached(self, spec: ProcessSpec, window: Window | None) -> Attached:
        ours, theirs = open_ends(window)
        try:
            self._start(spec, theirs)
            return Attached(ours, self._folder(spec.id).shim())
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()

    def _start(self, spec: ProcessSpec, ends: Ends | None = None) -> ProcessStatus:
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = self._folder(spec.id)
        with folder.locked(create=True):
            before = folder.record()
            if before is not None:
                status = self._see.look(folder, before, held=True)
                if status.state is ProcessState.RUNNING:
                    if ends is not None:
                        raise _already_runs(spec)
                    return status
            try:
                return self._start_anew(spec, folder, before, ends)
            except (OSError, UserError):
                self._see.clear_away(folder, folder.record() or before)
                if before is None:
                    folder.delete()
                raise

    def _start_anew(
        self, spec: ProcessSpec, folder: ProcessFolder, before: Record | None, ends: Ends | None
    ) -> ProcessStatus:
        _await_end(folder.orphaned_init())
        self._see.clear_away(folder, before)
        self._see.forget(folder.path.name)
        groups = self._groups.of(spec.id)
        record = Record(
            id=spec.id,
            argv=spec.argv,
            cwd=spec.cwd,
            sandboxed=spec.sandbox is not None and sandbox.probe().available,
            started_at=self._clock.now(),
            timeout_s=spec.timeout_s,
            memory_bytes=spec.limits.memory_bytes,
            processes=spec.limits.processes,
            groups=groups,
            labels=spec.labels,
            whole_tree=spec.whole_tree,
            terminate_s=spec.terminate_s,
        )
        folder.write_record(record)
        self._groups.create(spec.id, spec.limits)
        size = folder.log.stat().st_size if folder.log.exists() else 0
        launch.launch(spec, folder, groups, ends)
        self._await_report(spec, folder, record, log_offset=size)
        return self._see.look(folder, record, held=True)

    def _await_report(
        self, spec: ProcessSpec, folder: ProcessFolder, record: Record, *, log_offset: int
    ) -> None:
        deadline = time.monotonic() + _START_DEADLINE_S
        while not folder.reported():
            if (folder.path / "exit").exists() and not folder.reported():
                said = Log(folder.log).read(log_offset, 2000, ended=True).text.strip()
                raise OSError(errno.ECHILD, said or "it ended before its first instruction")
            if time.monotonic() > deadline:
                self._see.kill(folder, record)
                raise OSError(errno.ETIMEDOUT, f"no sign of life after {_START_DEADLINE_S:.0f} s")
            time.sleep(0.001)
        refusal = folder.refusal()
        if refusal:
            _await_end(folder.shim())
            raise _refused(refusal, spec)

    def _statuses(self) -> dict[str, ProcessStatus]:
        return self._see.look_at_all([self._folder(name) for name in self._names()])

    def _signal(self, folder: ProcessFolder, *, kill: bool) -> None:
        record = folder.record()
        if record is None:
            return
        program = self._see.running(folder, record)
        if program is None:
            return
        folder.restart_when_killed(wanted=False)
        folder.mark_told()
        if kill:
            self._see.kill(folder, record)
        elif record.whole_tree:
            self._see.terminate(folder, record)
        elif program.pid:
            send(program, signal.SIGTERM)

    def _listeners(self, folder: ProcessFolder) -> tuple[Listener, ...]:
        record = folder.record()
        if record is None or self._see.running(folder, record) is None:
            return ()
        return listening.listeners(seen.pid for seen in self._see.tree(folder, record))

    def _remove(self, folder: ProcessFolder) -> None:
        with folder.locked() as exists:
            record = folder.record() if exists else None
            if record is not None:
                folder.restart_when_killed(wanted=False)
                self._see.kill(folder, record)
                _await_end(folder.shim())
                self._see.clear_away(folder, record)
            if exists:
                folder.delete()

    def _read_log(self, process_id: str, offset: int, limit_bytes: int) -> LogChunk:
        folder = self._folder(process_id)
        record = folder.record()
        ended = record is None or self._see.running(folder, record) is None
        ending = folder.ending() if ended else None
        now = ending.ended_at if ending is not None else self._clock.now()
        return Log(folder.log).read(offset, limit_bytes, ended=ended, now=now)

    def _mark_logs(self) -> None:
        now, marked = self._clock.now(), {}
        for name in self._names():
            before, mark = self._marked.get(name), self._see.settled_mark(name)
            # Hundreds of ended processes are kept for their logs: each is looked at once more after its end.
            if before is not None and mark is not None and before[1] == mark:
                marked[name] = before
                continue
            log = Log(self._folder(name).log)
            size = log.size
            marked[name] = size, mark
            if before is not None:
                known = before[0]
            else:  # of an earlier control plane there may be marks already
                sizes = log.times.read().sizes
                known = sizes[-1] if sizes else 0
            if size > known:
                with contextlib.suppress(FileNotFoundError):  # it was removed meanwhile
                    log.times.mark(now, size)
        self._marked = marked


def _let_children_hear() -> None:
    """A program that is started here gets its signals, also where Gantry itself was started to ignore some, as by `nohup` or in the background.

    What is ignored is inherited, what is handled is not.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _ignore)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """As before."""


def _await_end(identity: Identity | None) -> None:
    deadline = time.monotonic() + _END_DEADLINE_S
    while identity is not None and identity.alive() and time.monotonic() < deadline:
        time.sleep(0.002)


def _hang_up(starting: asyncio.Future[Attached]) -> None:
    if not starting.cancelled() and starting.exception() is None:
        starting.result().close()


def _not_started(spec: ProcessSpec, error: OSError) -> TransientError:
    return TransientError(
        "runtime.start-failed",
        f"process {spec.id} could not be started: {error}",
        hint="gantry doctor",
        where=spec.id,
    )


def _already_runs(spec: ProcessSpec) -> UserError:
    return UserError(
        "runtime.already-runs",
        f"a process {spec.id} runs already",
        hint="start another one",
        where=spec.id,
    )


def _refused(refusal: str, spec: ProcessSpec) -> UserError:
    if refusal == launch.NO_FOLDER:
        return UserError(
            "runtime.no-folder",
            f"the working folder {spec.cwd} of process {spec.id} cannot be entered",
            hint=f"ls -ld {spec.cwd}",
            where=spec.id,
        )
    return UserError(
        "runtime.no-program",
        f"the program {spec.argv[0]!r} of process {spec.id} does not exist or cannot be executed",
        hint=f"PATH is {spec.env.get('PATH', 'not set')!r}",
        where=spec.id,
    )


if TYPE_CHECKING:
    from gantry.kernel.clock import SystemClock

    _guard: Runtime = ProcessRuntime(Paths(Path()), SystemClock())
