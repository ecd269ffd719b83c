"""Running commands with one line of progress each, and their last lines when they fail. Bare Python 3.11."""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

LAST_LINES = 25
# How long what a step started may take to end when we are ended.
_END_TIMEOUT_S = 10.0


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


@contextmanager
def unwinding() -> Iterator[None]:
    """SIGTERM and SIGHUP go through every `finally` while the block runs, as Ctrl-C does; exit code 128 + their number.

    More of them change nothing from then on: what was made is taken away first.
    """

    def leave(number: int, _: FrameType | None) -> None:
        for each in (*before, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # nohup
    }
    interrupted = signal.signal(signal.SIGINT, leave)
    for number in before:
        signal.signal(number, leave)
    yield
    # Only where nothing was raised: what is further out has something to take away as well.
    for number, handler in (*before.items(), (signal.SIGINT, interrupted)):
        signal.signal(number, handler)


def _watched(
    title: str, argv: list[str], env: dict[str, str] | None, log: int, began_s: float
) -> int:
    # Its own session: Ctrl-C reaches us, and we end it and what it started.
    child = subprocess.Popen(
        argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
    try:
        while True:
            try:
                return child.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                if sys.stdout.isatty():
                    _line(f"  {title}  {time.monotonic() - began_s:.0f} s", end=False)
    except BaseException:
        _end_session(child)
        raise


def _end_session(child: subprocess.Popen[bytes]) -> None:
    """End a step and what it started; what outlives it, and what takes long, by force."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_END_TIMEOUT_S)


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
