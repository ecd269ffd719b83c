"""A platform of a test's own, and the products that are deployed to it."""

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from gantry.drill.scratch import Platform, free_ports, fresh_platform, stopped_platform

__all__ = ["Platform", "free_ports", "fresh_platform", "stopped_platform"]

REPOSITORY = Path(__file__).parents[2]
SMART_SIGN = REPOSITORY / "examples" / "smart-sign"
SECRETS = {
    "ADMIN_PASSWORD": "correct-horse-battery",
    "SESSION_SECRET": "0123456789abcdef0123456789abcdef",
    "CRON_SECRET": "fedcba9876543210fedcba9876543210",
}


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
