"""Running commands in memory, and as `python -m tests.support.cli ARGS` in a process of their own."""

import io
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from click.testing import CliRunner
from rich.console import Console

from gantry.cli.main import run
from gantry.cli.session import Session
from gantry.config.settings import Settings
from gantry.config.settings_file import load_settings
from gantry.kernel.clock import ManualClock
from tests.fakes.api import FakeApi, client_of
from tests.fakes.platform import FakePlatform
from tests.support.bodies import NOW

MANIFEST = '[project]\nname = "smart-sign"\n'


@dataclass
class Bench:
    """A fake platform with a fake control plane, and a directory to run commands in.

    Attributes:
        clock_moves: pauses take the clock's time.
        terminal: commands believe that a person watches, and see no colours.
        answers: commands believe that a person answers questions, with what is on standard input.
    """

    cwd: Path
    platform: FakePlatform = field(default_factory=FakePlatform)
    api: FakeApi = field(default_factory=FakeApi)
    width: int = 200
    clock_moves: bool = False
    terminal: bool = False
    answers: bool = False

    def __post_init__(self) -> None:
        self.platform.home = self.cwd / "home"

    def run(self, *argv: str, stdin: str = "") -> "Outcome":
        """Run one command, as in a pipe unless it is a terminal."""
        out, err = io.StringIO(), io.StringIO()
        clock = ManualClock(NOW)
        with CliRunner().isolation(input=stdin) as (stdout, _stderr, _mixed):
            session = Session(
                self.platform,
                out=self._console(sys.stdout),
                err=self._console(err),
                clock=clock,
                pause=clock.advance if self.clock_moves else lambda _seconds: None,
                cwd=self.cwd,
                remotes_file=self.cwd / "remotes.toml",
                connect=lambda _settings: client_of(self.api),
                asks=self.answers,
            )
            code = run(self.platform, argv, session=session)
            sys.stdout.flush()
            out.write(stdout.getvalue().decode())
        return Outcome(code, out.getvalue(), err.getvalue())

    def _console(self, file: IO[str]) -> Console:
        return Console(
            file=file,
            width=self.width,
            highlight=False,
            markup=False,
            force_terminal=self.terminal or None,
            color_system=None,
        )


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


class HalfRealPlatform(FakePlatform):
    """A fake platform with the real settings, so that commands go to a real socket."""

    def settings(self) -> Settings:
        return load_settings()


def main() -> None:
    """The real program on a fake platform."""
    sys.exit(run(HalfRealPlatform(), sys.argv[1:]))


if __name__ == "__main__":
    main()
