"""`gantry scale` and `gantry ps`: how many instances run, and which."""

from datetime import datetime

import rich_click as click
from rich.text import Text

from gantry.cli.command import (
    command,
    within_environment,
)
from gantry.cli.folder import project_name
from gantry.cli.listing import Listing
from gantry.cli.session import Session
from gantry.cli.transport import environment_path, path
from gantry.features.instances.bodies import InstanceBody
from gantry.features.platform.bodies import EnvironmentBody, ProjectBody
from gantry.features.runs.bodies import RunBody
from gantry.features.scales import ScaleBody, ScaleRequest
from gantry.kernel.bodies import Answer
from gantry.kernel.errors import NotFoundError, UserError
from gantry.kernel.units import format_ago, format_size

_STYLES = {"healthy": "green", "running": "green", "unhealthy": "red", "backing-off": "yellow"}


@command(
    "scale",
    ("what is asked for now", "gantry scale"),
    ("three instances of web, at once", "gantry scale web=3"),
    ("and two of a worker, in staging", "gantry scale -e staging web=3 worker.mail=2"),
    ("as gantry.toml says again", "gantry scale --reset"),
)
@click.argument("wanted", nargs=-1, metavar="[PROCESS=NUMBER]...")
@click.option("--reset", is_flag=True, help="Return to what gantry.toml asks for.")
@within_environment
def scale(
    session: Session, wanted: tuple[str, ...], reset: bool, environment: str, project: str
) -> None:
    """Change how many instances of a process run, without a deploy.

    It holds until another release goes live; then gantry.toml decides. To keep it, set `instances` there. Instances that
    are too many get no new visitors, and end when the present ones have had their time.
    """
    name = project_name(session, project)
    at = (name, environment, "scale")
    if reset and wanted:
        raise UserError(
            "scale.both",
            "--reset takes no numbers",
            hint="gantry scale --reset, then gantry scale web=3",
        )
    if reset:
        body = session.api.post(ScaleBody, environment_path(*at, "reset"))
    elif wanted:
        request = ScaleRequest(counts=dict(map(_count, wanted)))
        body = session.api.post(ScaleBody, environment_path(*at), request)
    else:
        body = session.api.get(ScaleBody, environment_path(*at))
    if session.as_json:
        session.json(body.model_dump_json())
        return
    rows = Listing(
        "process", "instances", "gantry.toml", "by", numbers=("instances", "gantry.toml")
    )
    for item in body.processes:
        drifts = item.count != item.manifest_count
        rows.add_row(
            item.process,
            Text(str(item.count), style="yellow" if drifts else ""),
            str(item.manifest_count),
            item.set_by,
        )
    session.show(rows)
    for warning in body.warnings:
        session.say(f"! {warning}", style="yellow")
    if any(item.set_by for item in body.processes):
        session.say(
            "until the next deploy; gantry scale --reset returns to gantry.toml", style="dim"
        )


def _count(text: str) -> tuple[str, int]:
    process, _, number = text.partition("=")
    if not process or not (number.isascii() and number.isdecimal()) or len(number) > 6:
        raise UserError(
            "scale.bad-argument",
            f"{text!r} is not a process and a number",
            hint="gantry scale web=3 worker.mail=2",
        )
    return process, int(number)


class ProcessesBody(Answer):
    """What runs of an environment.

    Attributes:
        runs: commands by hand that have not ended.
    """

    instances: tuple[InstanceBody, ...]
    runs: tuple[RunBody, ...]
    scaled: tuple[str, ...]


@command(
    "ps",
    ("what runs in production", "gantry ps"),
    ("what runs in staging, for a program", "gantry ps -e staging --json"),
)
@within_environment
def ps(session: Session, environment: str, project: str) -> None:
    """List an environment's processes, and commands that run there by hand."""
    name = project_name(session, project)
    body = _environment(session, name, environment)
    runs = session.api.get(tuple[RunBody, ...], environment_path(name, environment, "runs"))
    running = tuple(run for run in runs if run.finished_at is None)
    if session.as_json:
        found = ProcessesBody(instances=body.instances, runs=running, scaled=body.scaled)
        session.json(found.model_dump_json())
        return
    if not body.instances and not running:
        session.say(f"nothing runs in {environment} of {name}")
        return
    session.show(_listed(body, running, session.clock.now()))
    if body.scaled:
        session.say(
            f"scaled by hand: {', '.join(body.scaled)}; until the next deploy", style="yellow"
        )


def _environment(session: Session, project: str, environment: str) -> EnvironmentBody:
    found = session.api.get(ProjectBody, path("projects", project)).environments
    for body in found:
        if body.name == environment:
            return body
    raise NotFoundError(
        "environment.unknown",
        f"{project} has no environment {environment!r}; it has "
        + (", ".join(body.name for body in found) or "none yet"),
        hint=f"gantry deploy --to {environment}",
    )


def _listed(body: EnvironmentBody, runs: tuple[RunBody, ...], now: datetime) -> Listing:
    cells = [
        _instance(instance, now, is_warm=body.is_warm(instance))
        for instance in body.instances_by_use
    ]
    cells += [_run(run, now) for run in runs]
    rows = Listing(*_COLUMNS, numbers=("release", "restarts", "memory"))
    for row in cells:
        rows.add_row(*row)
    return rows


_COLUMNS = ("process", "state", "release", "since", "restarts", "memory")


def _instance(instance: InstanceBody, now: datetime, *, is_warm: bool) -> tuple[Text, ...]:
    state = "warm" if is_warm else instance.state
    dim = "dim" if is_warm else ""
    since = format_ago(instance.started_at, now) if instance.started_at else ""
    memory = format_size(instance.memory_bytes) if instance.memory_bytes else ""
    return (
        Text(f"{instance.process}.{instance.slot}", style=dim),
        Text(state, style=dim or _STYLES.get(state, "")),
        Text(str(instance.release_number), style=dim),
        Text(since, style=dim),
        Text(str(instance.restarts), style="yellow" if instance.restarts else dim),
        Text(memory, style=dim),
    )


def _run(run: RunBody, now: datetime) -> tuple[Text, ...]:
    since = format_ago(run.started_at or run.created_at, now)
    return (
        Text(run.id),
        Text(run.state, style="cyan"),
        Text(str(run.release_number)),
        Text(since),
        Text(""),
        Text(""),
    )
