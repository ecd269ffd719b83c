"""Running one command of a build in the sandbox: limited, masked line by line, and ended whole when its time is up."""

import contextlib
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gantry.engines.builders.watching import DiskWatch, MemoryWatch, descendants
from gantry.engines.runtime import keeper, sandbox
from gantry.engines.runtime.logs import text_of
from gantry.engines.runtime.protocol import Limits, Mount, ProcessSpec, Sandbox

_WATCH_S = 0.2
# From SIGTERM to SIGKILL.
_GRACE_S = 5.0
_MAX_LINE_BYTES = 16_384
# Output that arrives after the command has ended comes from what it left behind; the sandbox ends with it.
_SETSID_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Command:
    """What to run.

    Attributes:
        script: for a shell.
        cwd: inside the sandbox.
        reserve_bytes: of disk; a command that leaves less free is killed.
        deadline_s: on the monotonic clock.
    """

    script: str
    cwd: str
    env: Mapping[str, str]
    mounts: tuple[Mount, ...]
    network: bool
    memory_bytes: int | None
    processes: int | None
    reserve_bytes: int
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Attributes:
        exit_code: 128 + the signal's number when a signal ended it.
        peak_bytes: the most memory that its processes held at once.
    """

    exit_code: int
    timed_out: bool
    out_of_memory: bool
    disk_full: bool
    peak_bytes: int


def owner() -> int | None:
    """The user as whom sandboxed programs run, where it is not the present one."""
    return sandbox.SANDBOX_UID if os.geteuid() == 0 else None


def run(command: Command, scratch: Path, write: Callable[[str], None]) -> Ended:
    """Run `command` to its end. Where this process is told to end meanwhile, the command is told first and waited for.

    Parameters:
        scratch: a folder of this task.
        write: gets every line of output, without its end.

    Raises:
        OSError: the machine refused to start it.
        SystemExit: this process was told to end, and the command has.
    """
    with _deaf() as told:
        ended = _run(command, scratch, write, told)
    if told.is_set():
        raise SystemExit(128 + signal.SIGTERM)
    return ended


@contextlib.contextmanager
def _deaf() -> Iterator[threading.Event]:
    """Nothing ends this process at SIGTERM; that it came is noted."""
    told = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: told.set())
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(
    command: Command, scratch: Path, write: Callable[[str], None], told: threading.Event
) -> Ended:
    process = subprocess.Popen(
        # The sandbox reports to descriptor 4; what it reports is not needed here.
        ("/bin/sh", "-c", 'exec "$@" 4>/dev/null', "sh", *_argv(command, scratch)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": _SETSID_PATH, "LANG": "C.UTF-8"},
        cwd="/",
    )
    assert process.stdin is not None and process.stdout is not None, "both are pipes"
    watch = MemoryWatch(process.pid, command.memory_bytes)
    disk = DiskWatch(scratch, command.reserve_bytes)
    with process.stdin as stdin:
        stdin.write(_script(command).encode())
    ending = _Ending(process, command.deadline_s, told)
    _pump(process, process.stdout, ending, (watch, disk), write)
    code = process.wait()
    killed = code in (-signal.SIGKILL, 128 + signal.SIGKILL)
    return Ended(
        exit_code=128 - code if code < 0 else code,
        timed_out=ending.timed_out,
        disk_full=disk.exceeded,
        out_of_memory=watch.exceeded
        or (killed and not ending.timed_out and not disk.exceeded and watch.killed_by_kernel()),
        peak_bytes=watch.peak_bytes,
    )


class _Ending:
    """When the command has to end: its tree is told to, and killed where it has not ended `_GRACE_S` later."""

    def __init__(
        self, process: subprocess.Popen[bytes], deadline_s: float, told: threading.Event
    ) -> None:
        self._process = process
        self._deadline_s = deadline_s
        self._told = told
        self._kill_s: float | None = None
        self.timed_out = False

    def look(self, now_s: float) -> None:
        """End it where its time has come."""
        self.timed_out = self.timed_out or now_s > self._deadline_s
        if not (self.timed_out or self._told.is_set()):
            return
        if self._kill_s is None:
            self._kill_s = now_s + _GRACE_S
            # The first two are bubblewrap's: at a SIGTERM they would kill everything else.
            for pid in descendants(self._process.pid)[2:]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        elif now_s > self._kill_s:
            self._process.kill()  # the sandbox dies with it, and everything inside


def _pump(
    process: subprocess.Popen[bytes],
    output: IO[bytes],
    ending: _Ending,
    watches: tuple[MemoryWatch, DiskWatch],
    write: Callable[[str], None],
) -> None:
    """Pass the output on until it ends."""
    lines = _Lines(write)
    next_look_s = 0.0
    with output, selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            now_s = time.monotonic()
            ending.look(now_s)
            # Not at every line: a look walks through all processes of the machine.
            if now_s >= next_look_s:
                next_look_s = now_s + _WATCH_S
                if any(watch.look() for watch in watches):
                    process.kill()
            if not selector.select(_WATCH_S):
                if process.poll() is not None:
                    break
                continue
            data = os.read(output.fileno(), 65_536)
            if not data:
                break
            lines.feed(data)
    lines.finish()


class _Lines:
    """Cuts a stream into lines, so that a secret is never split between two writes."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._emit(line)
        if len(self._rest) > _MAX_LINE_BYTES:
            self.finish()

    def finish(self) -> None:
        if self._rest:
            self._emit(self._rest)
        self._rest = b""

    def _emit(self, line: bytes) -> None:
        # A progress bar overwrites its line; what stays is its last state.
        self._write(text_of(line.rstrip(b"\r").rpartition(b"\r")[2]))


def _argv(command: Command, scratch: Path) -> tuple[str, ...]:
    spec = ProcessSpec(
        id="build",
        argv=("/bin/sh",),
        env={},
        cwd=command.cwd,
        sandbox=Sandbox(mounts=command.mounts),
        limits=Limits(processes=command.processes),
    )
    accounts = scratch / "accounts"
    sandbox.write_accounts(accounts, "app", owner() or os.getuid(), owner() or os.getgid())
    offline = () if command.network else ("--unshare-net",)
    return (*confined(spec, accounts, scratch, offline), "/bin/sh", "-s")


def confined(
    spec: ProcessSpec, accounts: Path, scratch: Path, options: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """What goes before a program that is to run in the sandbox of `spec`, as the sandbox's user.

    Parameters:
        options: further words for bubblewrap.
    """
    assert spec.sandbox is not None, "only sandboxed programs"
    bwrap, *words = sandbox.command(spec, sandbox.probe(), accounts, scratch)
    return (bwrap, *options, *words, *_become())


def _become() -> tuple[str, ...]:
    uid = owner()
    if uid is None:
        return ()
    setpriv = shutil.which("setpriv", path=_SETSID_PATH)
    assert setpriv is not None, "sandbox.probe has looked for it"
    identity = (f"--reuid={uid}", f"--regid={uid}", "--clear-groups")
    return (setpriv, *identity, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")


def _script(command: Command) -> str:
    """Sets the environment and becomes the command. It is read from a pipe: nothing is seen on a command line, and
    no variable reaches a program that still has root's rights.
    """
    lines = ["unset PATH LANG PWD OLDPWD SHLVL"]
    if command.processes is not None and owner() is None:
        n = command.processes
        lines.append(f"ulimit -u {n} 2>/dev/null || ulimit -p {n} 2>/dev/null")
    lines += [f"export {name}={shlex.quote(value)}" for name, value in command.env.items()]
    lines += [f"cd {shlex.quote(command.cwd)}"]
    lines.append(f"exec /bin/sh -c {shlex.quote(command.script)} </dev/null")
    return keeper.kept(lines, boxed=True)
