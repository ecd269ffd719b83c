"""`gantry logs`: lines of several instances, merged by time, each behind its time and a coloured name."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

import rich_click as click
from rich.text import Text

from gantry.cli.command import (
    command,
    moment_of,
    within_environment,
)
from gantry.cli.folder import project_name
from gantry.cli.session import Session
from gantry.cli.transport import environment_path
from gantry.features.instances.bodies import Line, LogBody, merged
from gantry.features.instances.levels import Level
from gantry.kernel.bodies import Answer
from gantry.kernel.errors import TransientError, UserError

_INTERVAL_RETRY_S = 1.0
_AWAY_TIMEOUT_S = 60.0
# Colours of the terminal's own palette, so that they can be read on light and on dark.
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue")


class LogLine(Answer):
    """A line, as `--json` prints it.

    Attributes:
        at: when it was written, at the latest; `None` where that is not known.
        slot: which of the process's instances; `None` of one that is gone.
        level: `trace`, `debug`, `info`, `warn`, `error` or `fatal`; `None` where the line tells none.
    """

    at: datetime | None
    process: str
    slot: int | None
    instance: str
    release_number: int | None
    level: str | None
    text: str


@command(
    "logs",
    ("the last lines of production", "gantry logs"),
    ("and new lines, until Ctrl-C", "gantry logs -f"),
    ("one process of staging", "gantry logs -e staging --process web --tail 500"),
    ("warnings and errors of the last half hour", "gantry logs --since 30m --level warn"),
    ("lines about an order, in any case", "gantry logs --grep 'order 1042'"),
    ("what an earlier release printed this morning", "gantry logs --release 41 --since 08:00 --until 09:30"),
    ("for a program", "gantry logs --since 1h --json | jq -r '.[] | select(.process == \"web\") | .text'"),
)  # fmt: skip
@click.option("--follow", "-f", is_flag=True, help="Keep printing new lines until Ctrl-C.")
@click.option("--process", default="", help="Only this process: web, or the name of a worker.")
@click.option(
    "--release",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="Only instances of this release, also those that are gone.",
)
@click.option(
    "--since",
    default="",
    metavar="WHEN",
    help="Only lines from then on: 30m, 2h, 1d, 09:30, or 2026-01-31T09:30.",
)
@click.option("--until", default="", metavar="WHEN", help="Only lines before then.")
@click.option("--grep", default="", metavar="TEXT", help="Only lines with this text, in any case.")
@click.option(
    "--level",
    type=click.Choice([level.value for level in Level]),
    help="Only lines that say that they are as urgent or more.",
)
@click.option(
    "--tail",
    "-n",
    type=click.IntRange(0, 5_000),
    metavar="NUMBER",
    default=200,
    show_default=True,
    help="How many lines at most; with --follow, how many of each instance to begin with.",
)
@within_environment
def logs(
    session: Session,
    follow: bool,
    process: str,
    release: int | None,
    since: str,
    until: str,
    grep: str,
    level: str | None,
    tail: int,
    environment: str,
    project: str,
) -> None:
    """Show what an environment's instances print, in the order of time.

    Values of its variables are masked. With --since, --until, --grep, --level or --release everything that is kept is
    searched, also the logs of instances that are gone: they are kept for three days. Times are those of this machine's time zone, exact
    to a second. With --json: an array of lines, or with --follow one line per line.

    A line's level is what its logger wrote: "level" or "severity" of a line of JSON, as a word or as the numbers of pino and
    bunyan, level=warn, [warn], "warn: " at its begin, or WARN in capitals. An error that nobody caught is an error, with the
    lines of its trace. A line that tells no level counts as info: whether a program wrote it as output or as an error
    does not matter.
    """
    if follow and until:
        raise UserError(
            "logs.no-end",
            "--follow goes on, and --until ends",
            hint="leave one of the two out",
        )
    query: dict[str, str | int] = {"process": process, "grep": grep}
    for name, given in (("since", since), ("until", until)):
        if given:
            query[name] = moment_of(given, session.clock.now(), option=name).isoformat()
    if release is not None:
        query["release"] = release
    if level is not None:
        query["level"] = level
    wanted = {name: value for name, value in query.items() if value != ""}
    reader = _LogReader(session, project_name(session, project), environment, wanted)
    if follow:
        reader.follow(tail)
    else:
        reader.show(tail)


@dataclass
class Printer:
    """Joins the pieces of lines, and sets each line behind its time and its name."""

    _rests: dict[str, Line] = field(default_factory=dict)
    _styles: dict[str, str] = field(default_factory=dict)
    _names: dict[str, LogBody] = field(default_factory=dict)

    def lines(self, body: LogBody) -> Iterator[LogLine]:
        """The lines that are whole now."""
        self._names[body.source] = body
        found = list(body.lines())
        if found and (begun := self._rests.pop(body.source, None)) is not None:
            found[0] = Line(
                begun.at or found[0].at, begun.text + found[0].text, begun.level or found[0].level
            )
        if found and not body.text.endswith("\n"):
            self._rests[body.source] = found.pop()
        for line in found:
            yield _line(body, line)

    def rest(self) -> Iterator[LogLine]:
        """Lines that never ended."""
        for source, line in self._rests.items():
            yield _line(self._names[source], line)
        self._rests.clear()

    def shown(self, line: LogLine) -> Text:
        """A line for people."""
        style = self._styles.setdefault(line.instance, _COLOURS[len(self._styles) % len(_COLOURS)])
        time = f"{line.at.astimezone():%H:%M:%S} " if line.at is not None else ""
        # The product's own colours stay; other control sequences would move the cursor.
        return Text.assemble(
            (time, "dim"), (label(line), style), (" │ ", "dim"), Text.from_ansi(line.text)
        )


def label(line: LogLine) -> str:
    """What to print in front of a line: `web.0 r3`; `web r3` of an instance that is gone."""
    if not line.process:
        return line.instance
    slot = f".{line.slot}" if line.slot is not None else ""
    number = f" r{line.release_number}" if line.release_number is not None else ""
    return f"{line.process}{slot}{number}"


def _line(body: LogBody, line: Line) -> LogLine:
    return LogLine(
        at=line.at,
        process=body.process,
        slot=body.slot,
        instance=body.source,
        release_number=body.release_number,
        level=line.level,
        text=line.text,
    )


@dataclass
class _LogReader:
    """Reads the logs of one environment, and prints them."""

    session: Session
    project: str
    environment: str
    query: dict[str, str | int]

    def __post_init__(self) -> None:
        self._printer = Printer()

    def show(self, tail: int) -> None:
        """Print the last lines of all instances, by their time."""
        session = self.session
        found = session.api.get(tuple[LogBody, ...], self._path(tail=tail))
        lines = [line for body in merged(found) for line in self._printer.lines(body)]
        lines = [*lines, *self._printer.rest()][-tail:] if tail else []
        if session.as_json:
            session.json("[" + ",".join(line.model_dump_json() for line in lines) + "]")
            return
        self._print(lines)
        if not found:
            session.say(f"no log in {self.environment} of {self.project}{self._wanted()}")
        elif not lines:
            session.say("no output yet")

    def follow(self, tail: int) -> None:
        """Print until interrupted; a control plane that restarts is asked again, for new lines only."""
        session, clock, away_since_s = self.session, self.session.clock, None
        try:
            for attempt in count():
                began_s, heard = clock.monotonic_s(), False
                at = self._path(tail=0 if attempt else tail, follow="true")
                try:
                    for body in session.api.stream(LogBody, at):
                        heard = True
                        self._print(self._printer.lines(body))
                except TransientError:
                    now_s = clock.monotonic_s()
                    worked = heard or now_s - began_s > _INTERVAL_RETRY_S
                    away_since_s = now_s if worked or away_since_s is None else away_since_s
                    if (attempt == 0 and not worked) or now_s - away_since_s > _AWAY_TIMEOUT_S:
                        raise
                session.say("connection lost; reconnecting", style="dim")
                session.pause(_INTERVAL_RETRY_S)
        except KeyboardInterrupt:
            self._print(self._printer.rest())
            session.exit(0)

    def _print(self, lines: Iterable[LogLine]) -> None:
        for line in lines:
            if self.session.as_json:
                self.session.json(line.model_dump_json())
            else:
                self.session.out.print(self._printer.shown(line), soft_wrap=True)

    def _wanted(self) -> str:
        process, release = self.query.get("process"), self.query.get("release")
        parts = [f"of {process}"] * bool(process) + [f"of release {release}"] * bool(release)
        parts += ["with such lines"] * bool(self.query.keys() & {"since", "until", "grep", "level"})
        return f" {' '.join(parts)}" if parts else ""

    def _path(self, **query: str | int) -> str:
        return environment_path(self.project, self.environment, "logs", **self.query, **query)
