"""`gantry logs`."""

from itertools import count

import rich_click as click

from gantry.cli.command import (
    command,
    environment_option,
    json_option,
    pass_session,
    project_option,
)
from gantry.cli.folder import project_name
from gantry.cli.session import Session
from gantry.cli.views import documents
from gantry.cli.views.logs import Labels, Printer
from gantry.features.instances.bodies import LogBody
from gantry.kernel.errors import TransientError

_RETRY_S = 1.0
_PATIENCE_S = 60.0


@command(
    "logs",
    ("the last lines of production", "gantry logs"),
    ("and what comes, until Ctrl-C", "gantry logs -f"),
    ("one process of staging", "gantry logs -e staging --process web --tail 500"),
)
@click.option("--follow", "-f", is_flag=True, help="Keep printing what comes, until Ctrl-C.")
@click.option("--process", default="", help="Only this process: web, or the name of a worker.")
@click.option(
    "--tail",
    "-n",
    type=click.IntRange(0, 5_000),
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
    """Show what the instances of an environment print.

    Values of its variables are masked. Instances that start while you follow are shown from their first line.
    With --json: an array, or with --follow one JSON object per line.
    """
    name = project_name(session, project)
    labels = Labels(process)
    _learn(session, labels, name, environment)
    printer = Printer(labels)
    if follow:
        _follow(session, printer, (name, environment), tail)
        return
    bodies = [b for b in session.api.logs(name, environment, tail=tail) if labels.wanted(b.source)]
    if session.as_json:
        session.json(documents.array(bodies))
        return
    shown = [line for body in bodies for line in printer.lines(body)]
    for line in (*shown, *printer.rest()):
        session.out.print(line, soft_wrap=True)
    if bodies and not any(body.text for body in bodies):
        session.say("nothing was printed yet")
    if not bodies:
        session.say(
            f"no instance in {environment} of {name}" + (f" runs {process}" if process else "")
        )


def _learn(session: Session, labels: Labels, project: str, environment: str) -> None:
    for each in session.api.project(project).environments:
        if each.name == environment:
            labels.learn(each.instances)


def _follow(session: Session, printer: Printer, place: tuple[str, str], tail: int) -> None:
    """Print until interrupted; a control plane that restarts is asked again, for new lines only."""
    clock, away_since_s = session.clock, None
    try:
        for attempt in count():
            began_s, heard = clock.monotonic_s(), False
            try:
                for body in session.api.follow_logs(*place, tail=0 if attempt else tail):
                    heard = True
                    _show(session, printer, body, place)
            except TransientError:
                now_s = clock.monotonic_s()
                worked = heard or now_s - began_s > _RETRY_S
                away_since_s = now_s if worked or away_since_s is None else away_since_s
                if (attempt == 0 and not worked) or now_s - away_since_s > _PATIENCE_S:
                    raise
            session.say("the connection broke off; asking again", style="dim")
            session.pause(_RETRY_S)
    except KeyboardInterrupt:
        for line in printer.rest():
            session.out.print(line, soft_wrap=True)
        session.exit(0)


def _show(session: Session, printer: Printer, body: LogBody, place: tuple[str, str]) -> None:
    labels = printer.labels
    if not labels.knows(body.source):
        _learn(session, labels, *place)
    if labels.wanted(body.source):
        _print(session, printer, body)


def _print(session: Session, printer: Printer, body: LogBody) -> None:
    if session.as_json:
        session.json(body.model_dump_json())
        return
    for line in printer.lines(body):
        session.out.print(line, soft_wrap=True)


COMMANDS = {"logs": logs}
