"""Holds a program that never says anything, as `python -m tests.support.holding`: for tests of what a terminal goes through."""

import sys
import threading

from rich.console import Console

from gantry.cli.holding import hold
from gantry.cli.session import Session
from tests.fakes.platform import FakePlatform


class SilentLine:
    """A line on which nothing comes, until it is closed."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def send(self, message: bytes | str) -> None:
        """Shows what was sent, so that a test sees it arrive."""
        sys.stderr.write(f"<{message!r}>\n")
        sys.stderr.flush()

    def receive(self) -> bytes | str | None:
        """Waits."""
        self._closed.wait()
        return None

    def close(self) -> None:
        """Ends the waiting."""
        self._closed.set()


if __name__ == "__main__":
    session = Session(FakePlatform(), err=Console(stderr=True))
    sys.exit(hold(session, SilentLine(), terminal=True).exit_code)
