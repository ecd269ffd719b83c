"""A platform of one's own in a directory that is deleted afterwards, driven as a user would: by the command line.

And a small disk of one's own, for those that are to be filled without harm to anybody. Tests and benchmarks use both.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess  # noqa: TID251 -- from outside: what is driven here is the program itself
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from gantry.config.settings import whole_environment
from gantry.drill import client
from gantry.kernel.errors import PermanentError

_DISK_SIZE_MB = 3000
_BLOCK_BYTES = 4096
_COMMAND_TIMEOUT_S = 600.0
_TALLY_TIMEOUT_S = 60.0
_MAX_LOG_CHARACTERS = 4_000


@dataclass
class Platform:
    """A platform with a home and ports of its own, and how to command it.

    Attributes:
        extra: environment variables of every command, besides those that name home and ports.
    """

    home: Path
    http_port: int
    https_port: int
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of every command."""
        return {
            # Nothing that a user has set for a platform of theirs may lead a rehearsal there.
            **{
                name: value
                for name, value in whole_environment().items()
                if not name.startswith("GANTRY_")
            },
            "GANTRY_HOME": str(self.home),
            "GANTRY_HTTP_PORT": str(self.http_port),
            "GANTRY_HTTPS_PORT": str(self.https_port),
            "NO_COLOR": "1",
            "COLUMNS": "200",
            **self.extra,
        }

    @property
    def root_file(self) -> Path:
        """The local authority's certificate."""
        return self.home / "keys" / "ca" / "root.pem"

    def run(
        self,
        *arguments: str,
        cwd: Path | None = None,
        check: bool = True,
        timeout_s: float = _COMMAND_TIMEOUT_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command.

        Raises:
            PermanentError: `drill.command-failed` with all that it wrote, when it failed and `check` is set.
        """
        done = subprocess.run(
            [sys.executable, "-m", "gantry.app", *arguments],
            env=self.environ,
            cwd=cwd or self.home.parent,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode != 0:
            log = self.home / "control.log"
            tail = log.read_text()[-_MAX_LOG_CHARACTERS:] if log.exists() else ""
            raise PermanentError(
                "drill.command-failed",
                f"gantry {' '.join(arguments)} ended with {done.returncode}\n"
                f"{done.stdout}\n{done.stderr}\n--- control.log\n{tail}",
            )
        return done

    def json(self, *arguments: str, check: bool = True) -> Any:  # noqa: ANN401 -- JSON
        """Run a command with `--json`; what it printed, read."""
        return json.loads(self.run(*arguments, "--json", check=check).stdout)

    def control_pid(self) -> int:
        """Pid of the control plane."""
        return int(json.loads((self.home / "control.lock").read_text())["pid"])

    def url(self, host: str, path: str = "/") -> str:
        """Public URL."""
        return f"https://{host}:{self.https_port}{path}"

    @contextmanager
    def strict_client(
        self, host: str, path: str = "/", *, connections: int = 40, pause_s: float = 0.0
    ) -> Iterator[dict[str, Any]]:
        """Load while the block runs; the dictionary is filled with the tally afterwards."""
        stop = self.home.parent / f"stop-{random.randrange(10**9)}"
        tally: dict[str, Any] = {}
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", client.__name__),
                *(host, str(self.https_port), path, str(self.root_file)),
                *(str(connections), str(stop), str(pause_s)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield tally
        finally:
            stop.touch()
            out, _ = process.communicate(timeout=_TALLY_TIMEOUT_S)
            stop.unlink()
        tally.update(json.loads(out))


@contextmanager
def fresh_platform(**extra: str) -> Iterator[Platform]:
    """A platform that is up, in a directory of its own, on free ports; stopped and deleted afterwards."""
    with stopped_platform(**extra) as platform:
        platform.run("up")
        yield platform


@contextmanager
def stopped_platform(**extra: str) -> Iterator[Platform]:
    """A platform that was never started; stopped and deleted afterwards, also when this process is told to end."""
    directory = Path(tempfile.mkdtemp(prefix="gantry-scratch-"))
    http_port, https_port = free_ports(2)
    platform = Platform(directory / "home", http_port, https_port, extra)
    with unwinding():
        try:
            yield platform
        finally:
            platform.run("down", check=False)
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def unwinding() -> Iterator[None]:
    """SIGTERM and SIGHUP go through every `finally` while the block runs; exit code 128 + their number.

    More of them change nothing from then on: what was started is ended first. Outside the main thread, which alone gets
    signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {
        number: signal.getsignal(number)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # nohup
    }

    def leave(number: int, _: FrameType | None) -> None:
        leaving.append(number)
        for other in handlers:
            signal.signal(other, signal.SIG_IGN)
        raise SystemExit(128 + number)

    leaving: list[int] = []
    for number in handlers:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if not leaving:  # else outer blocks have something to end as well
                signal.signal(number, handler)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for bound in sockets:
            bound.bind(("127.0.0.1", 0))
        return [bound.getsockname()[1] for bound in sockets]
    finally:
        for bound in sockets:
            bound.close()


@dataclass(frozen=True, slots=True)
class Disk:
    """A small file system that is mounted for one purpose.

    Attributes:
        folder: where it is mounted.
    """

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def free_bytes(self) -> int:
        """What an ordinary user could still write."""
        usage = os.statvfs(self.folder)
        return usage.f_bavail * usage.f_frsize

    def fill(self, *, leave_bytes: int = 0) -> None:
        """Leave only so much. What others write meanwhile may still find space."""
        with self._ballast.open("ab", 0) as file:
            step = self.free_bytes() - leave_bytes
            while step >= _BLOCK_BYTES:
                try:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, step)
                except OSError:
                    step //= 2  # somebody else was faster, and nothing of it was allocated
                else:
                    step = self.free_bytes() - leave_bytes
            with suppress(OSError):  # not one byte more: full
                while leave_bytes == 0:
                    file.write(b"\0" * _BLOCK_BYTES)

    def make_room(self) -> None:
        """Give it all back."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def mounted_disk() -> Iterator[Disk | None]:
    """A disk while the block runs; `None` where this user or this machine mounts nothing."""
    directory = Path(tempfile.mkdtemp(prefix="gantry-disk-"))
    options = f"size={_DISK_SIZE_MB}m,mode=755"
    done = subprocess.run(
        ("/bin/mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)),
        capture_output=True,
        check=False,
    )
    with unwinding():
        try:
            yield None if done.returncode else Disk(directory)
        finally:
            if done.returncode == 0:
                subprocess.run(("/bin/umount", "--lazy", str(directory)), check=True)
            directory.rmdir()


@contextmanager
def stopped_platform_on(disk: Disk | None) -> Iterator[Platform]:
    """A platform that was never started, whose home is on `disk`; on the machine's own where there is none."""
    if disk is None:
        with stopped_platform() as platform:
            yield platform
        return
    http_port, https_port = free_ports(2)
    platform = Platform(disk.folder / "home", http_port, https_port)
    with unwinding():
        try:
            yield platform
        finally:
            disk.make_room()
            platform.run("down", check=False)
