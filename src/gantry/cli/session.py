"""What one run of a command has at hand: the platform, the API, the terminal, the clock."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from gantry.cli.platform import Platform, Progress
from gantry.config.remotes import Remote, Remotes, read_remotes, remotes_file, write_remotes
from gantry.config.settings import Settings
from gantry.kernel.clock import Clock, SystemClock
from gantry.kernel.errors import TransientError

if TYPE_CHECKING:
    from gantry.cli.transport import Api

# In the place of a URL: this machine's own platform.
LOCAL = "local"
# A pipe has no width: nothing is broken or cut for it.
_PIPE_COLUMNS = 10_000


def console(*, stderr: bool = False) -> Console:
    """A console on standard output or error. Colours only on a terminal; `NO_COLOR` is honoured by rich."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_COLUMNS
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


def print_labelled(console: Console, label: str, text: str) -> None:
    """`label` in front of a text. A terminal gets the further lines of the text below the first.

    A path or an address stays in one piece, so that it can be copied.
    """
    if not console.is_terminal or " " not in text:
        console.print(Text.assemble((label, "dim"), text), soft_wrap=True)
        return
    grid = Table.grid()
    grid.add_row(Text(label, style="dim", no_wrap=True), text)
    console.print(grid)


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
        asks: whether somebody is there to answer questions; `None`: if there are terminals on both sides.
        url: the control plane that `--url` names, or `local`; empty for none.
        remotes_file: where other machines' platforms are remembered.
    """

    platform: Platform
    out: Console = field(default_factory=_out)
    err: Console = field(default_factory=_err)
    clock: Clock = field(default_factory=SystemClock)
    pause: Callable[[float], None] = pause
    cwd: Path = field(default_factory=Path.cwd)
    connect: Callable[[Settings], "Api"] | None = None
    as_json: bool = False
    asks: bool | None = None
    url: str = ""
    remotes_file: Path = field(default_factory=remotes_file)

    @cached_property
    def remotes(self) -> Remotes:
        """The platforms of other machines that are remembered."""
        return read_remotes(self.remotes_file)

    def remember(self, remotes: Remotes) -> None:
        """Remember others than before."""
        write_remotes(self.remotes_file, remotes)
        self.__dict__["remotes"] = remotes

    @property
    def remote(self) -> Remote | None:
        """Whose control plane commands go to; `None`: this machine's own.

        In this order: `--url`, `GANTRY_URL`, a home that is named, the folder's link, the login.
        """
        settings = self.settings
        if self.url == LOCAL:
            return None
        if url := self.url or settings.control_url:
            known = self.remotes.remotes.get(url)
            token = settings.control_token or (known.token if known else "")
            ca_file = settings.control_ca or (known.ca_file if known else "")
            return Remote(url, token, ca_file=ca_file)
        if settings.origins.get("home") == "GANTRY_HOME":
            return None
        remotes = self.remotes
        return remotes.of_folder(self.cwd.resolve()) or remotes.remotes.get(remotes.current)

    @cached_property
    def settings(self) -> Settings:
        return self.platform.settings()

    @cached_property
    def api(self) -> "Api":
        """The control plane. Connects with the first request."""
        if self.connect is not None:
            return self.connect(self.settings)
        from gantry.cli.transport import connect  # noqa: PLC0415 -- `gantry --help` needs no HTTP client

        return connect(self.target, self._local_token)

    @property
    def target(self) -> Settings:
        """The settings, with the control plane that commands go to."""
        remote = self.remote
        if remote is None:
            return replace(self.settings, control_url="")
        return replace(
            self.settings,
            control_url=remote.url,
            control_token=remote.token,
            control_ca=remote.ca_file,
        )

    def _local_token(self) -> str:
        try:
            return self.platform.api_token()
        except TransientError as error:
            others = list(self.remotes.remotes)
            if error.code != "control.down" or not others:
                raise
            raise TransientError(
                error.code,
                f"{error.message}; another machine's is remembered",
                hint=f"gantry remotes use {others[0]}   (or start one here: gantry up)",
            ) from None

    @property
    def can_ask(self) -> bool:
        """Whether somebody is there to answer a question."""
        watched = self.err.is_terminal and sys.stdin.isatty() if self.asks is None else self.asks
        return watched and not self.as_json

    def say(self, message: str | Text, style: str = "") -> None:
        """A message for people, on standard error: it never mixes with results.

        A terminal gets it broken between words, a pipe as one line.
        """
        self.err.print(message, style=style or None, soft_wrap=not self.err.is_terminal)

    @contextmanager
    def progress(self, title: str) -> Iterator[Progress]:
        """For work that takes long: a spinner on a terminal, a line for each sentence everywhere else."""
        if not self.err.is_terminal:
            yield lambda sentence: self.say(f"  {sentence}")
            return
        with self.err.status(title) as status:
            yield lambda sentence: status.update(sentence)

    def print(self, line: str | Text) -> None:
        """One line of the result, on standard output; broken between words on a terminal."""
        self.out.print(line, soft_wrap=not self.out.is_terminal)

    def show(self, *parts: RenderableType) -> None:
        """Pieces of the result below each other, on standard output; a pipe gets no blanks at the ends of lines."""
        if self.out.is_terminal:
            for part in parts:
                self.out.print(part, crop=False)
            return
        with self.out.capture() as captured:
            for part in parts:
                self.out.print(part, crop=False)
        for line in captured.get().splitlines():
            self.out.print(Text(line.rstrip()), soft_wrap=True)

    def json(self, text: str) -> None:
        """The result as JSON, on standard output."""
        click.echo(text)

    def exit(self, code: int) -> NoReturn:
        """End the command now."""
        raise click.exceptions.Exit(code)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if "api" in self.__dict__:
            self.api.close()
