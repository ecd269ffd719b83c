"""The folder of one process: what it was started with, who it is, its log and how it ended.

    spec.json   what it was started with, without its environment and without secrets
    shim        number and start time of the shim
    report      number and start time of the program, then of its keeper if it has one, and `ended CODE` once the program
                has ended and the keeper waits for the rest of the tree; or why the program did not start
    sandbox     what bubblewrap says of the sandbox, as JSON lines
    exit        the exit status; its modification time is the end of the process
    timed-out   empty; the shim ended the process for its deadline
    told        empty; somebody asked for its end while it ran
    oom         empty; it was killed for its memory
    restart     empty; the shim runs the program again when a signal ended it
    restarts    a line for each time that it did
    log         standard output and error

Everything that matters is written by rename, so that a reader sees all or nothing.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gantry.engines.runtime import procfs
from gantry.engines.runtime.procfs import Identity
from gantry.engines.runtime.protocol import TERMINATE_S
from gantry.kernel.files import replace_file

# Left by one run, in the way of the next.
_OF_ONE_RUN = (
    "shim",
    "report",
    "sandbox",
    "exit",
    "timed-out",
    "told",
    "oom",
    "restart",
    "restarts",
)


@dataclass(frozen=True, slots=True)
class Record:
    """What `spec.json` keeps.

    Attributes:
        groups: folders of its control groups; empty when none are permitted.
        memory_bytes, processes: limits that the watchdog enforces where there are no groups.
    """

    id: str
    argv: tuple[str, ...]
    cwd: str
    sandboxed: bool
    started_at: datetime
    timeout_s: float | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    groups: tuple[Path, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    whole_tree: bool = False
    terminate_s: float = TERMINATE_S

    def as_json(self) -> str:
        return json.dumps(
            {
                "id": self.id,
                "argv": self.argv,
                "cwd": self.cwd,
                "sandboxed": self.sandboxed,
                "started_at": self.started_at.isoformat(),
                "timeout_s": self.timeout_s,
                "memory_bytes": self.memory_bytes,
                "processes": self.processes,
                "groups": [str(group) for group in self.groups],
                "labels": dict(self.labels),
                "whole_tree": self.whole_tree,
                "terminate_s": self.terminate_s,
            },
            indent=2,
        )


def _parse_record(text: str) -> Record:
    data: dict[str, Any] = json.loads(text)
    return Record(
        **data
        | {
            "argv": tuple(data["argv"]),
            "started_at": datetime.fromisoformat(data["started_at"]),
            "groups": tuple(map(Path, data["groups"])),
        }
    )


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended."""

    exit_code: int
    ended_at: datetime
    timed_out: bool
    out_of_memory: bool
    told: bool


@dataclass(frozen=True, slots=True)
class ProcessFolder:
    """Reads and writes one folder."""

    path: Path

    @property
    def log(self) -> Path:
        return self.path / "log"

    def record(self) -> Record | None:
        """What it was started with; `None` when it never was."""
        try:
            return _parse_record((self.path / "spec.json").read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write_record(self, record: Record) -> None:
        """Forget the run before and keep what the next one is started with."""
        for name in _OF_ONE_RUN:
            (self.path / name).unlink(missing_ok=True)
        replace_file(self.path / "spec.json", record.as_json(), fsync=False)

    def shim(self) -> Identity | None:
        """Who the shim is, or was."""
        return procfs.parse_identity(self._read("shim"))

    def program(self) -> Identity | None:
        """Who the program is, or was; unsandboxed processes only: inside a sandbox numbers mean something else."""
        return self._reported(0)

    def keeper(self) -> Identity | None:
        """Who the keeper of the program's tree is, or was; as `program`."""
        return self._reported(1)

    def _reported(self, line: int) -> Identity | None:
        lines = self._read("report").splitlines()
        return procfs.parse_identity(lines[line]) if len(lines) > line else None

    def refusal(self) -> str:
        """Why the program did not start; empty when it did or may still."""
        text = self._read("report").strip()
        return "" if text[:1].isdecimal() else text

    def reported(self) -> bool:
        """The program started, or it is known why not."""
        return self._read("report").endswith("\n")

    def namespace_init(self) -> Identity | None:
        """The first process of the sandbox; when it is killed the kernel kills the rest.

        It counts only while it descends from the living shim: its number may have been given away.
        """
        pid, shim = self._namespace_init_pid(), self.shim()
        if pid is None or shim is None or not shim.alive() or not procfs.descends(pid, shim.pid):
            return None
        seen = procfs.read(pid)
        return seen.identity if seen is not None else None

    def orphaned_init(self) -> Identity | None:
        """The first process of the sandbox after its shim was killed: the kernel ends it with all below it, in a moment.

        Without the shim nothing proves that its number was not given away: it may be waited for, never killed.
        """
        pid = self._namespace_init_pid()
        seen = procfs.read(pid) if pid is not None and procfs.inner_pid(pid) == 1 else None
        return seen.identity if seen is not None else None

    def _namespace_init_pid(self) -> int | None:
        # bubblewrap writes its line in pieces.
        line, whole, _ = self._read("sandbox").partition("\n")
        return int(json.loads(line)["child-pid"]) if whole else None

    def sandboxed_program(self) -> Identity | None:
        """The program inside the sandbox, as the host sees it."""
        init, inside = self.namespace_init(), self.program()
        if init is None or inside is None:
            return None
        # bubblewrap's first process, then the keeper if there is one, then the program.
        first = procfs.children(init.pid)
        for pid in (*first, *(below for child in first for below in procfs.children(child))):
            if procfs.inner_pid(pid) == inside.pid and (seen := procfs.read(pid)):
                return seen.identity
        return None

    def ending(self) -> Ending | None:
        """How it ended; `None` while it runs, and when it was lost."""
        path = self.path / "exit"
        try:
            code = int(path.read_text())
            ended_s = path.stat().st_mtime
        except (FileNotFoundError, ValueError):
            return None
        return Ending(
            exit_code=code,
            ended_at=datetime.fromtimestamp(ended_s, UTC),
            timed_out=code != 0 and (self.path / "timed-out").exists(),
            out_of_memory=code != 0 and (self.path / "oom").exists(),
            told=(self.path / "told").exists(),
        )

    def ending_mark(self) -> tuple[int, int] | None:
        """Tells one ending from another without reading it; `None` where there is none."""
        try:
            seen = (self.path / "exit").stat()
        except FileNotFoundError:
            return None
        return seen.st_ino, seen.st_mtime_ns

    def restart_when_killed(self, *, wanted: bool) -> None:
        """Tell the shim whether it runs the program again."""
        place = self.path / "restart"
        if not wanted:
            place.unlink(missing_ok=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                place.touch()

    def restarts(self) -> int:
        """How often the shim has run the program again."""
        return self._read("restarts").count("\n")

    def mark_told(self) -> None:
        """Remember that its end was asked for."""
        with contextlib.suppress(FileNotFoundError):
            (self.path / "told").touch()

    def mark_out_of_memory(self) -> None:
        """Remember it beyond the life of the control group."""
        with contextlib.suppress(FileNotFoundError):
            (self.path / "oom").touch()

    def delete(self) -> None:
        """Remove the folder with the log."""
        shutil.rmtree(self.path, ignore_errors=True)

    @contextlib.contextmanager
    def locked(self, *, create: bool = False, wait: bool = True) -> Iterator[bool]:
        """Hold the folder against other starts and removals, also of other control planes.

        Parameters:
            create: make the folder when it is missing.
            wait: `False` to go without the lock when somebody else holds it.

        Yields:
            whether the folder exists and is held.
        """
        handle = self._lock(create=create, wait=wait)
        try:
            yield handle is not None
        finally:
            if handle is not None:
                os.close(handle)

    def _lock(self, *, create: bool, wait: bool) -> int | None:
        while True:
            if create:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                if create:
                    continue  # removed between the two lines above
                return None
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                os.close(handle)
                return None
            if self._is(handle):
                return handle
            os.close(handle)

    def _is(self, handle: int) -> bool:
        # Whoever held the lock before may have removed the folder.
        try:
            return os.path.samestat(self.path.stat(), os.fstat(handle))
        except FileNotFoundError:
            return False

    def _read(self, name: str) -> str:
        try:
            return (self.path / name).read_text()
        except FileNotFoundError:
            return ""
