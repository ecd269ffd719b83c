"""`gantry logs`: lines of several instances, each behind a coloured name."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

import rich_click as click
from rich.text import Text

from gantry.cli.command import (
    command,
    environment_option,
    json_option,
    pass_session,
    project_option,
)
from gantry.cli.folder import project_name
from gantry.cli.session import Session
from gantry.cli.terminal import json_array
from gantry.cli.transport import environment_path, path
from gantry.features.instances.bodies import InstanceBody, LogBody
from gantry.features.platform.bodies import ProjectBody
from gantry.kernel.errors import TransientError

_INTERVAL_RETRY_S = 1.0
_AWAY_TIMEOUT_S = 60.0
# Colours of the terminal's own palette, so that they can be read on light and on dark.
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue")


@command(
    "logs",
    ("the last lines of production", "gantry logs"),
    ("and new lines, until Ctrl-C", "gantry logs -f"),
    ("one process of staging", "gantry logs -e staging --process web --tail 500"),
)
@click.option("--follow", "-f", is_flag=True, help="Keep printing new lines until Ctrl-C.")
@click.option("--process", default="", help="Only this process: web, or the name of a worker.")
@click.option(
    "--tail",
    "-n",
    type=click.IntRange(0, 5_000),
    metavar="NUMBER",
    default=200,
    show_default=True,
    help="Last lines of each instance.",
)
@environment_option()
@project_option
@json_option
@pass_session
def logs(
    session: Session, follow: bool, process: str, tail: int, environment: str, project: str
) -> None:
    """Show what an environment's instances print.

    Values of its variables are masked. Instances that start while you follow are shown from their first line.
    With --json: an array, or with --follow one JSON object per line.
    """
    reader = _LogReader(session, project_name(session, project), environment, Labels(process))
    reader.learn()
    if follow:
        reader.follow(tail)
    else:
        reader.show(tail)


@dataclass
class Labels:
    """Names of the instances: `web.0 r3`.

    Attributes:
        process: show only this process; empty for all. `mail` also means `worker.mail`.
    """

    process: str = ""
    _known: dict[str, InstanceBody] = field(default_factory=dict)

    def learn(self, instances: Iterable[InstanceBody]) -> None:
        """Remember instances; those that are gone stay known."""
        self._known.update({instance.id: instance for instance in instances})

    def knows(self, source: str) -> bool:
        """Whether `source` is the id of an instance that was learnt."""
        return source in self._known

    def wanted(self, source: str) -> bool:
        """Whether the lines of `source` are asked for. An unknown one is shown rather than lost."""
        known = self._known.get(source)
        return not self.process or known is None or matches(known.process, self.process)

    def label(self, source: str) -> str:
        """What to print in front of a line of `source`."""
        known = self._known.get(source)
        return f"{known.process}.{known.slot} r{known.release_number}" if known else source


def matches(process: str, asked: str) -> bool:
    """Whether a process is the one that is asked for."""
    return asked in (process, process.partition(".")[2])


@dataclass
class Printer:
    """Joins the pieces of lines, and sets each line behind its label."""

    labels: Labels
    _rests: dict[str, str] = field(default_factory=dict)
    _styles: dict[str, str] = field(default_factory=dict)

    def lines(self, body: LogBody) -> Iterator[Text]:
        """The lines that are whole now."""
        *whole, rest = (self._rests.get(body.source, "") + body.text).split("\n")
        self._rests[body.source] = rest
        for line in whole:
            yield self._line(body.source, line)

    def rest(self) -> Iterator[Text]:
        """Lines that never ended."""
        for source, text in self._rests.items():
            if text:
                yield self._line(source, text)
        self._rests.clear()

    def _line(self, source: str, line: str) -> Text:
        style = self._styles.setdefault(source, _COLOURS[len(self._styles) % len(_COLOURS)])
        # The product's own colours stay; other control sequences would move the cursor.
        return Text.assemble((self.labels.label(source), style), " │ ", Text.from_ansi(line))


@dataclass
class _LogReader:
    """Reads the logs of one environment, and prints them."""

    session: Session
    project: str
    environment: str
    labels: Labels

    def __post_init__(self) -> None:
        self._printer = Printer(self.labels)

    def learn(self) -> None:
        """Ask which instances there are."""
        project = self.session.api.get(ProjectBody, path("projects", self.project))
        for environment in project.environments:
            if environment.name == self.environment:
                self.labels.learn(environment.instances)

    def show(self, tail: int) -> None:
        """Print the last lines of every instance."""
        session, at = self.session, self._path(tail=tail)
        found = session.api.get(tuple[LogBody, ...], at)
        bodies = [body for body in found if self.labels.wanted(body.source)]
        if session.as_json:
            session.json(json_array(bodies))
            return
        for body in bodies:
            self._print(self._printer.lines(body))
        self._print(self._printer.rest())
        if not bodies:
            runs = f" runs {self.labels.process}" if self.labels.process else ""
            session.say(f"no instance in {self.environment} of {self.project}{runs}")
        elif not any(body.text for body in bodies):
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
                        self._take(body)
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

    def _take(self, body: LogBody) -> None:
        if not self.labels.knows(body.source):
            self.learn()
        if not self.labels.wanted(body.source):
            return
        if self.session.as_json:
            self.session.json(body.model_dump_json())
        else:
            self._print(self._printer.lines(body))

    def _print(self, lines: Iterable[Text]) -> None:
        for line in lines:
            self.session.out.print(line, soft_wrap=True)

    def _path(self, **query: str | int) -> str:
        return environment_path(self.project, self.environment, "logs", **query)
