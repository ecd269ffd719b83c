"""A platform of a test's own, driven as a user would: through the command line."""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
SMART_SIGN = REPOSITORY / "examples" / "smart-sign"
STRICT_CLIENT = REPOSITORY / "tests" / "support" / "strict_client.py"
SECRETS = {
    "ADMIN_PASSWORD": "correct-horse-battery",
    "SESSION_SECRET": "0123456789abcdef0123456789abcdef",
    "CRON_SECRET": "fedcba9876543210fedcba9876543210",
}


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
            **os.environ,
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
        """Run a command; with `check` a failure shows all that it wrote."""
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
            raise AssertionError(
                f"gantry {' '.join(arguments)} ended with {done.returncode}\n"
                f"{done.stdout}\n{done.stderr}\n--- control.log\n{tail}"
            )
        return done

    def json(self, *arguments: str, check: bool = True) -> Any:
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
        client = subprocess.Popen(
            [
                sys.executable,
                str(STRICT_CLIENT),
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
            out, _ = client.communicate(timeout=60)
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
    folder = Path(tempfile.mkdtemp(prefix="gantry-e2e-"))
    http_port, https_port = free_ports(2)
    platform = Platform(folder / "home", http_port, https_port, extra)
    try:
        yield platform
    finally:
        platform.run("down", check=False)
        shutil.rmtree(folder, ignore_errors=True)


def copy_of_smart_sign(folder: Path) -> Path:
    """A project folder of the test's own."""
    target = folder / "smart-sign"
    shutil.copytree(
        SMART_SIGN, target, ignore=shutil.ignore_patterns("node_modules", ".next", "*.tsbuildinfo")
    )
    if shutil.which("git"):
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        for command in (
            ("init", "-q", "-b", "main"),
            ("add", "."),
            (*identity, "commit", "-q", "-m", "Show urgent announcements first"),
        ):
            subprocess.run(("git", *command), cwd=target, check=True)
    return target


def wait_until(condition: Any, *, timeout_s: float = 30.0, what: str = "it") -> Any:
    """The first true answer of `condition()`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {timeout_s:.0f} s")


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
