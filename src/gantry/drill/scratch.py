"""A platform of one's own in a folder that is deleted afterwards, driven as a user would: by the command line."""

import json
import random
import shutil
import socket
import subprocess  # noqa: TID251 -- from outside: what is driven here is the program itself
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gantry.config.settings import whole_environment
from gantry.drill import client
from gantry.kernel.errors import PermanentError


@dataclass
class Platform:
    """Where it lives and how it is asked."""

    home: Path
    http_port: int
    https_port: int
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of every command."""
        return {
            # Nothing that a user has set for a platform of theirs may lead a rehearsal there.
            **{n: v for n, v in whole_environment().items() if not n.startswith("GANTRY_")},
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
        self, *arguments: str, cwd: Path | None = None, check: bool = True, timeout_s: float = 600
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
            tail = log.read_text()[-4_000:] if log.exists() else ""
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
        visitors = subprocess.Popen(
            [
                sys.executable,
                client.__file__,
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
            out, _ = visitors.communicate(timeout=60)
            stop.unlink()
        tally.update(json.loads(out))


@contextmanager
def fresh_platform(**extra: str) -> Iterator[Platform]:
    """A platform that is up, in a folder of its own, on free ports; ended and deleted afterwards."""
    with stopped_platform(**extra) as platform:
        platform.run("up")
        yield platform


@contextmanager
def stopped_platform(**extra: str) -> Iterator[Platform]:
    """A platform that was never started."""
    folder = Path(tempfile.mkdtemp(prefix="gantry-scratch-"))
    http_port, https_port = free_ports(2)
    platform = Platform(folder / "home", http_port, https_port, extra)
    try:
        yield platform
    finally:
        platform.run("down", check=False)
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
