"""What runs processes: instances of releases, builds, release commands, and Gantry's own engines."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

# From SIGTERM to SIGKILL where nothing else was asked for.
TERMINATE_S = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process tree may use. `None` is no limit.

    Enforced by cgroups where permitted; else by resource limits and a watchdog on resident memory.
    """

    memory_bytes: int | None = None
    cpu_cores: float | None = None
    processes: int | None = 512
    open_files: int | None = 65_536


class MountMode(StrEnum):
    """How a folder of the host appears inside a sandbox."""

    READ_ONLY = "ro"
    READ_WRITE = "rw"
    OVERLAY = "overlay"  # writable, and forgotten when the process ends


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the host made visible inside a sandbox."""

    source: Path
    target: str
    mode: MountMode = MountMode.READ_ONLY


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What an untrusted process may see: the host's system folders read-only, its mounts, a private /tmp.

    Loopback is shared with the host. The process runs as an unprivileged user when Gantry is root.
    """

    mounts: tuple[Mount, ...] = ()


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process to run under a shim, so that it survives the control plane.

    Attributes:
        id: unique among all processes of this platform; `[a-z0-9][a-z0-9.-]{0,79}`.
        argv: program and arguments; the program is found on `env["PATH"]` when it has no slash.
        env: the whole environment; nothing is inherited.
        cwd: working folder, as seen from inside the sandbox.
        sandbox: `None` for Gantry's own engines, which are trusted.
        user: for Gantry's own engines: the system user to become when Gantry is root (Postgres refuses root), also
            in a sandbox. Without it a sandboxed process becomes a user that exists for sandboxes only.
        redact: values masked in the log. For tasks that end (builds, migrations), whose output can pass through
            a pipe; a long-running instance writes straight to its log and is redacted when the log is read.
        timeout_s: a task still running after this is ended, also while no control plane runs; its status says so.
        whole_tree: SIGTERM goes to every process of its tree, and it has ended when all of them have: for products, whose
            commands are often wrappers (`npm run`, a shell) around the real program. An engine passes signals on itself.
        terminate_s: how long it should have from SIGTERM to SIGKILL; a task that is over its time has so long.
        labels: free words for people (`gantry ps`), never read back as facts.
    """

    id: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    sandbox: Sandbox | None = None
    limits: Limits = field(default_factory=Limits)
    user: str | None = None
    redact: tuple[str, ...] = ()
    timeout_s: float | None = None
    whole_tree: bool = False
    terminate_s: float = TERMINATE_S
    labels: Mapping[str, str] = field(default_factory=dict)


class ProcessState(StrEnum):
    """What is known of a process that was started."""

    RUNNING = "running"
    EXITED = "exited"
    LOST = (
        "lost"  # gone without an exit status: the machine was restarted, or the shim was killed too
    )


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """What the runtime saw of one process.

    Attributes:
        pid: of the process itself as the host sees it, not of its shim.
        exit_code: 0-255; 128 + the signal's number when a signal ended it. The program's own, also where another process
            of its tree ended last.
        out_of_memory: the kernel or the watchdog killed it for its memory.
        timed_out: it was ended for `timeout_s`.
        told_to_end: it was running when `Runtime.signal` was called for it.
        terminate_s: how long it should have from SIGTERM to SIGKILL.
        memory_limit_bytes: what its tree may hold; `None` is no limit.
        memory_bytes: resident memory of the whole tree now; 0 when it does not run.
        restarts: how often its shim has run it again since `started_at`.
        labels: what it was started with.
    """

    id: str
    state: ProcessState
    pid: int | None
    started_at: datetime
    ended_at: datetime | None = None
    exit_code: int | None = None
    out_of_memory: bool = False
    timed_out: bool = False
    told_to_end: bool = False
    memory_limit_bytes: int | None = None
    terminate_s: float = TERMINATE_S
    memory_bytes: int = 0
    restarts: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket on which a process waits for connections.

    Attributes:
        address: IP address, or the path of a Unix socket (with `@` before it for one that is in no folder).
        port: `None` for a Unix socket.
    """

    address: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Part of a process's output.

    Attributes:
        text: whole lines, decoded with replacement characters.
        next_offset: where to read on; offsets only grow, also across rotation.
        times: for each line of `text`, when it was written at the latest; exact to a second while the platform ran.
    """

    text: str
    next_offset: int
    times: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """How large somebody's terminal is, in characters."""

    rows: int = 24
    columns: int = 80


class Output(StrEnum):
    """Where a program wrote. A program in a terminal writes everything to `OUT`."""

    OUT = "out"
    ERR = "err"


class Attachment(Protocol):
    """Input and output of a program, held by whoever started it. Nothing of it is logged.

    Whoever holds it reads, or the program waits; nothing is read ahead. For one reader and one writer at a time.
    """

    async def read(self) -> tuple[Output, bytes] | None:
        """Some output, at most 64 KiB; `None` once the program has ended and everything was read."""
        ...

    async def write(self, data: bytes) -> None:
        """Type, or send through the pipe; returns when the program's side has taken all of it. What a program does not
        read any more is dropped."""
        ...

    def end_input(self) -> None:
        """Nothing more will come: closes the pipe; in a terminal, as Ctrl-D does."""
        ...

    def resize(self, window: Window) -> None:
        """The terminal has another size now. Without a terminal nothing happens."""
        ...

    def close(self) -> None:
        """Hang up: the pipes or the terminal close, and what runs there learns of it. Again: nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Client:
    """A program that talks to a service, such as `psql`, and what it needs in a sandbox.

    Attributes:
        env: with the address and the password of what it talks to.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    mounts: tuple[Mount, ...] = ()


class Runtime(Protocol):
    """Starts, watches and ends processes. All methods but `start_attached` are idempotent."""

    async def start(self, spec: ProcessSpec) -> ProcessStatus:
        """Run `spec`. A process of that id that runs is left alone and its status returned; one that ended is
        started anew, and its log is continued.

        Raises:
            UserError: `runtime.no-program` the program does not exist; `runtime.no-folder` its working folder
                cannot be entered; `runtime.bad-spec`, `runtime.no-user` as they say.
            TransientError: `runtime.start-failed` the machine refused (no memory, no processes, disk full).
        """
        ...

    async def start_attached(self, spec: ProcessSpec, window: Window | None) -> Attachment:
        """Run `spec` with its input and output in the hands of the caller, in a terminal of its own if there is a
        `window`, else with three pipes. Its log stays empty, and `redact` is not looked at.

        The program outlives its holder for as long as it likes: whoever holds it ends it. When the holder dies the
        terminal and the pipes close.

        Raises:
            as `start`, and UserError: `runtime.already-runs` a process of that id runs.
        """
        ...

    async def signal(self, process_id: str, *, kill: bool = False) -> None:
        """SIGTERM to the process, or to its whole tree where `ProcessSpec.whole_tree` says so; or SIGKILL to its whole
        tree. Unknown and ended processes are ignored.
        """
        ...

    async def restart_when_killed(self, process_id: str, *, wanted: bool) -> None:
        """Whether its shim runs it again, with nobody's help, when a signal ended it that was not sent from here.

        Until this is called it does not. What lived for less than a second is not run again. Unknown and ended
        processes are ignored.
        """
        ...

    async def statuses(self) -> Mapping[str, ProcessStatus]:
        """Every process that was started and not yet removed."""
        ...

    async def remove(self, process_id: str) -> None:
        """Forget an ended process and delete its log. Kills it first if it still runs."""
        ...

    async def read_log(
        self, process_id: str, *, offset: int = 0, limit_bytes: int = 65_536
    ) -> LogChunk:
        """Output from `offset` on; a negative offset counts from the end. Unknown processes give an empty chunk.

        It is text that any database takes: what is no UTF-8, and NUL, becomes U+FFFD.
        """
        ...

    async def listeners(self, process_id: str) -> tuple[Listener, ...]:
        """Where the process and its tree wait for connections now; nothing for unknown and ended processes."""
        ...

    async def mark_logs(self) -> None:
        """Note how far every log has grown by now: that is how its lines get their times."""
        ...

    async def find_in_log(self, process_id: str, moment: datetime) -> int:
        """The offset of the first line that was written at `moment` or later, or a little before; 0 where nothing is known."""
        ...

    async def rotate_logs(self, *, keep_bytes: int) -> None:
        """Free the oldest output of every log that is larger than `keep_bytes`. Offsets stay valid."""
        ...

    async def wait_for_exit(self, timeout_s: float) -> None:
        """Return when some process ends, or after `timeout_s`. Spurious returns are allowed."""
        ...
