"""Running commands with one line of progress each, and their last lines when they fail. Bare Python 3.11."""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LAST_LINES = 25


class StepError(Exception):
    """A step failed; what it said has been shown."""


def say(text: str = "") -> None:
    """One line for people."""
    print(text, flush=True)


def step(
    title: str, argv: list[str], *, env: dict[str, str] | None = None, quiet: bool = True
) -> float:
    """Run `argv`; the seconds it took.

    Parameters:
        quiet: keep its output, and show the end of it only when it fails.

    Raises:
        StepError: it ended with another code than 0.
    """
    began_s = time.monotonic()
    if not quiet:
        code = subprocess.call(argv, env=env)
        if code != 0:
            raise StepError(f"{title}: exit code {code}")
        return time.monotonic() - began_s
    with tempfile.NamedTemporaryFile("w+", prefix="gantry-", suffix=".log", delete=False) as log:
        code = _watched(title, argv, env, log.fileno(), began_s)
    elapsed_s = time.monotonic() - began_s
    if code != 0:
        _line(f"✗ {title} failed after {elapsed_s:.1f} s", end=True)
        _show_end(log.name, argv)
        raise StepError(title)
    Path(log.name).unlink()
    _line(f"✓ {title}  {elapsed_s:.1f} s", end=True)
    return elapsed_s


def _watched(
    title: str, argv: list[str], env: dict[str, str] | None, log: int, began_s: float
) -> int:
    # Its own session: Ctrl-C reaches us, and we end it and what it started.
    child = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        while True:
            try:
                return child.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                if sys.stdout.isatty():
                    _line(f"  {title}  {time.monotonic() - began_s:.0f} s", end=False)
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise


def _line(text: str, *, end: bool) -> None:
    clear = "\r\x1b[2K" if sys.stdout.isatty() else ""
    print(f"{clear}{text}", end="\n" if end else "", flush=True)


def _show_end(log: str, argv: list[str]) -> None:
    say(f"  command  {shlex.join(argv)}")
    lines = Path(log).read_text(errors="replace").splitlines()
    for line in lines[-LAST_LINES:]:
        say(f"  | {line}")
    say(f"  whole output  {log}")


def environment(**changes: str) -> dict[str, str]:
    """The environment of this process with `changes`, and without what would lead Python astray."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PYTHONHOME", "PYTHONOPTIMIZE", "VIRTUAL_ENV")
    }
    return {**kept, **changes}
