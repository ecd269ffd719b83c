"""What one run of a command has at hand."""

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from rich.console import Console

from gantry.cli.platform import Platform
from gantry.config.settings import Settings
from gantry.kernel.clock import Clock, SystemClock

if TYPE_CHECKING:
    from gantry.cli.client import Api

# A pipe has no width; tables must not be cut for it.
_PIPE_WIDTH = 200


def console(*, stderr: bool = False) -> Console:
    """A console on standard output or error. Colours only on a terminal; `NO_COLOR` is honoured by rich."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


def pause(seconds: float) -> None:
    """Wait; Ctrl-C interrupts."""
    threading.Event().wait(seconds)


def _out() -> Console:
    return console()


def _err() -> Console:
    return console(stderr=True)


@dataclass
class Session:
    """Everything a command may use. Made once for each run, and replaced by tests.

    Attributes:
        out: results, and nothing but results.
        err: progress, questions and errors.
        connect: makes the API client, or `None` for the real one.
        as_json: results as one JSON document.
    """

    platform: Platform
    out: Console = field(default_factory=_out)
    err: Console = field(default_factory=_err)
    clock: Clock = field(default_factory=SystemClock)
    pause: Callable[[float], None] = pause
    cwd: Path = field(default_factory=Path.cwd)
    connect: Callable[[Settings], "Api"] | None = None
    as_json: bool = False

    @cached_property
    def settings(self) -> Settings:
        return self.platform.settings()

    @cached_property
    def api(self) -> "Api":
        """The control plane. Connects with the first request."""
        if self.connect is not None:
            return self.connect(self.settings)
        from gantry.cli.client import connect  # noqa: PLC0415 -- `gantry --help` needs no HTTP client

        return connect(self.settings, self.platform.api_token)

    def say(self, text: str, style: str = "") -> None:
        """One line for people, on standard error: it never mixes with results."""
        self.err.print(text, style=style or None, soft_wrap=True)

    def json(self, text: str) -> None:
        """The result of the command as JSON, on standard output."""
        click.echo(text)

    def exit(self, code: int) -> NoReturn:
        """End the command now."""
        raise click.exceptions.Exit(code)

    def close(self) -> None:
        """Let go of the connection, if there is one."""
        if "api" in self.__dict__:
            self.api.close()
