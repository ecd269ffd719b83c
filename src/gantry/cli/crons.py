"""`gantry crons`: commands on a schedule, their runs, and a run by hand."""

from collections.abc import Callable, Iterable

import rich_click as click
from rich.text import Text

from gantry.cli.command import (
    Group,
    command,
    within_environment,
)
from gantry.cli.folder import project_name
from gantry.cli.listing import Listing
from gantry.cli.session import Session
from gantry.cli.terminal import json_array, printable
from gantry.cli.transport import environment_path
from gantry.features.crons.bodies import CronBody, CronOutputBody, CronRunBody
from gantry.kernel.units import format_ago, format_elapsed, format_until

_STYLES = {"succeeded": "green", "failed": "red", "running": "cyan", "asked": "cyan"}
_OPEN = ("asked", "running")
_INTERVAL_S = 0.5


@click.group("crons", cls=Group)
def crons() -> None:
    """List scheduled commands and their runs, read their output, and run one now."""


@command(
    "list",
    ("those of production", "gantry crons list"),
    ("names of those whose last run failed", "gantry crons list --json | jq -r '.[] | select(.last.state == \"failed\") | .name'"),
    group=crons,
)  # fmt: skip
@within_environment
def list_(session: Session, environment: str, project: str) -> None:
    """List an environment's scheduled commands: when they run next, and how they ended last."""
    at = environment_path(project_name(session, project), environment, "crons")
    found = session.api.get(tuple[CronBody, ...], at)
    if session.as_json:
        session.json(json_array(found))
    elif found:
        session.show(_crons(session, found))
    else:
        session.say(
            f"{environment} has no scheduled commands; add one to gantry.toml: [processes.cron.NAME]"
        )


@command(
    "runs",
    ("the last runs of one command", "gantry crons runs tidy"),
    ("the last 200, in staging", "gantry crons runs tidy -n 200 -e staging"),
    group=crons,
)
@click.argument("name")
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(1, 500),
    metavar="NUMBER",
    default=20,
    show_default=True,
    help="How many runs to show.",
)
@within_environment
def runs(session: Session, name: str, limit: int, environment: str, project: str) -> None:
    """List the runs of a scheduled command, newest first."""
    at = environment_path(
        project_name(session, project), environment, "crons", name, "runs", limit=limit
    )
    found = session.api.get(tuple[CronRunBody, ...], at)
    if session.as_json:
        session.json(json_array(found))
    elif found:
        session.show(_runs(session, found))
    else:
        session.say(f"{name} has not run yet: gantry crons run {name} -e {environment}")


@command(
    "logs",
    ("what the last run printed", "gantry crons logs tidy"),
    ("an earlier run, by its id", "gantry crons logs tidy --run 20260131093000"),
    group=crons,
)
@click.argument("name")
@click.option("--run", "run_id", default="", metavar="ID", help="Which run; default: the newest.")
@click.option("--follow", "-f", is_flag=True, help="Keep printing until the run ends.")
@within_environment
def logs(
    session: Session, name: str, run_id: str, follow: bool, environment: str, project: str
) -> None:
    """Show what a run of a scheduled command printed, or what its path answered.

    Values of the environment's variables are masked. The output of the newest 20 runs of each command is kept.
    """
    at = environment_path(
        project_name(session, project), environment, "crons", name, "runs", run_id or "latest"
    )
    body = session.api.get(CronOutputBody, at)
    if follow:
        body = _follow(session, at, body)
    elif not session.as_json:
        _print(session, body.text)
    if session.as_json:
        session.json(body.model_dump_json())
    else:
        session.say(_sentence(session, body))


@command(
    "run",
    ("and watch it", "gantry crons run tidy"),
    ("in staging, without waiting", "gantry crons run tidy -e staging --detach"),
    group=crons,
)
@click.argument("name")
@click.option("--detach", is_flag=True, help="Do not wait for its end.")
@within_environment
def run(session: Session, name: str, detach: bool, environment: str, project: str) -> None:
    """Run a scheduled command now, beside its schedule, and show what it prints.

    It runs as the schedule would run it: with the live release's code, variables and limits. The exit code is 0 when
    it succeeds. After Ctrl-C the run goes on by itself.
    """
    within: Callable[..., str] = lambda *parts: environment_path(  # noqa: E731
        project_name(session, project), environment, "crons", name, "runs", *parts
    )
    asked = session.api.post(CronRunBody, within())
    if detach:
        if session.as_json:
            session.json(asked.model_dump_json())
        else:
            session.say(f"{name} runs: gantry crons logs {name} --run {asked.id} -e {environment}")
        return
    body = _follow(session, within(asked.id), session.api.get(CronOutputBody, within(asked.id)))
    if session.as_json:
        session.json(body.model_dump_json())
    else:
        session.say(_sentence(session, body))
    if body.run.state != "succeeded":
        session.exit(1)


def _follow(session: Session, at: str, body: CronOutputBody) -> CronOutputBody:
    """Print what a run prints, until it has ended."""
    shown = ""
    while True:
        if not session.as_json:
            # What is masked, and the last 256 KiB that are kept, may change what went before.
            new = body.text.removeprefix(shown) if body.text.startswith(shown) else body.text
            whole = new if body.run.state not in _OPEN else new[: new.rfind("\n") + 1]
            _print(session, whole)
            shown += whole
        if body.run.state not in _OPEN:
            return body
        session.pause(_INTERVAL_S)
        body = session.api.get(CronOutputBody, at)


def _print(session: Session, text: str) -> None:
    for line in text.splitlines():
        session.out.print(Text.from_ansi(line), soft_wrap=True)


def _sentence(session: Session, body: CronOutputBody) -> str:
    run = body.run
    if run.state in _OPEN:
        return (
            f"{run.cron} runs since {format_elapsed(run.elapsed_s)}"
            if run.started_at
            else f"{run.cron} starts"
        )
    if not body.kept and run.state != "skipped" and not body.text:
        return f"{run.cron} {run.detail}; its output is not kept any more"
    took = f" after {format_elapsed(run.elapsed_s)}" if run.elapsed_s is not None else ""
    return f"{run.cron} {run.state}{took}: {printable(run.detail)}"


def _crons(session: Session, found: Iterable[CronBody]) -> Listing:
    now = session.clock.now()
    rows = Listing("name", "schedule", "next", "last", "what", flexible=("what", "last"))
    for cron in found:
        rows.add_row(
            cron.name,
            cron.schedule,
            format_until(cron.next_at, now),
            Text("never", style="dim") if cron.last is None else _state(session, cron.last),
            cron.command or f"GET {cron.path}",
        )
    return rows


def _state(session: Session, run: CronRunBody) -> Text:
    ago = format_ago(run.scheduled_for, session.clock.now())
    return Text.assemble((run.state, _STYLES.get(run.state, "dim")), (f" {ago}", "dim"))


def _runs(session: Session, found: Iterable[CronRunBody]) -> Listing:
    rows = Listing("id", "state", "at", "took", "by", "how it ended", flexible=("how it ended",))
    for run in found:
        rows.add_row(
            run.id,
            Text(run.state, style=_STYLES.get(run.state, "dim")),
            f"{run.scheduled_for:%m-%d %H:%M:%S}",
            format_elapsed(run.elapsed_s),
            run.asked_by or "schedule",
            run.detail,
        )
    return rows
