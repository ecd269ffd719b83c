"""`gantry deploys`: deploys that were, what their steps printed, and one that runs."""

from collections.abc import Iterable

import rich_click as click
from rich.text import Text

from gantry.cli import failures
from gantry.cli.command import (
    Group,
    command,
    within_environment,
)
from gantry.cli.deploy_following import error_of, see_through
from gantry.cli.deploy_story import Story, frame
from gantry.cli.folder import project_name
from gantry.cli.listing import Listing
from gantry.cli.session import Session
from gantry.cli.terminal import commit, json_array
from gantry.cli.transport import environment_path, path
from gantry.features.deploys.bodies import DeployBody, DeployEvent
from gantry.features.deploys.model import Step
from gantry.kernel.errors import NotFoundError
from gantry.kernel.units import format_ago, format_elapsed

_STYLES = {"succeeded": "green", "failed": "red", "active": "cyan", "queued": "yellow"}


@click.group("deploys", cls=Group)
def deploys() -> None:
    """List past deploys, read what their steps printed, and watch one that runs."""


@command(
    "list",
    ("those of production", "gantry deploys list"),
    ("the last 100 of staging", "gantry deploys list -e staging -n 100"),
    (
        "how long each took",
        "gantry deploys list --json | jq -r '.[] | [.id, .state, .elapsed_s] | @tsv'",
    ),
    group=deploys,
)
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(1, 100),
    metavar="NUMBER",
    default=20,
    show_default=True,
    help="How many to show.",
)
@within_environment
def list_(session: Session, limit: int, environment: str, project: str) -> None:
    """List an environment's deploys, promotions and rollbacks, newest first."""
    found = _listed(session, project, environment, limit)
    if session.as_json:
        session.json(json_array(found))
    elif found:
        session.show(_table(session, found))
    else:
        session.say(f"no deploys to {environment} yet: gantry deploy --to {environment}")


def _deploy_argument(function: click.decorators.FC) -> click.decorators.FC:
    return click.argument("deploy", default="", metavar="[ID]")(function)


@command(
    "show",
    ("the last deploy to production", "gantry deploys show"),
    ("another one, by its id", "gantry deploys show dep-4f9k2w7xqa"),
    group=deploys,
)
@_deploy_argument
@within_environment
def show(session: Session, deploy: str, environment: str, project: str) -> None:
    """Show a deploy: its steps, how long each took, and why it failed if it did. Default: the environment's last one."""
    body = _body(session, deploy, project, environment)
    if session.as_json:
        session.json(body.model_dump_json())
        return
    now_s = session.clock.monotonic_s()
    session.show(_headline(session, body), frame(Story(body, at_s=now_s), now_s, None))
    error = error_of(body) if body.ended else None
    if error is not None:
        failures.show(session, error)


@command(
    "logs",
    ("of the last deploy to production", "gantry deploys logs"),
    ("what the build of another one printed", "gantry deploys logs dep-4f9k2w7xqa --step build"),
    group=deploys,
)
@_deploy_argument
@click.option("--step", type=click.Choice([step.value for step in Step]), help="Only this step.")
@within_environment
def logs(session: Session, deploy: str, step: str | None, environment: str, project: str) -> None:
    """Show what the steps of a deploy printed; of one that runs, until it has ended. Default: the environment's last one.

    The logs of a deploy are kept for three days. With --json: one object per piece of a log.
    """
    body = _body(session, deploy, project, environment)
    heading, printed = "", False
    for event in session.api.stream(DeployEvent, path("deploys", body.id, "events")):
        if event.event != "log" or (step and event.step != step):
            continue
        printed = True
        if session.as_json:
            session.json(event.model_dump_json(include={"step", "text"}))
            continue
        if event.step != heading and not step:
            session.say(f"── {event.step}", style="bold")
        heading = event.step or ""
        session.out.print(Text.from_ansi(event.text), soft_wrap=True, end="")
    if not printed:
        what = f"step {step}" if step else "deploy"
        session.say(f"nothing was printed by {what} of {body.id}, or its log is not kept any more")


@command(
    "watch",
    ("the one that runs", "gantry deploys watch"),
    ("another one, by its id", "gantry deploys watch dep-4f9k2w7xqa"),
    group=deploys,
)
@_deploy_argument
@within_environment
def watch(session: Session, deploy: str, environment: str, project: str) -> None:
    """Watch a deploy to its end, as if it had been started here. Default: the environment's last one.

    The exit code is the deploy's.
    """
    see_through(session, _body(session, deploy, project, environment), detach=False)


def _listed(session: Session, project: str, environment: str, limit: int) -> tuple[DeployBody, ...]:
    at = environment_path(project_name(session, project), environment, "deploys", limit=limit)
    return session.api.get(tuple[DeployBody, ...], at)


def _body(session: Session, deploy: str, project: str, environment: str) -> DeployBody:
    if deploy:
        return session.api.get(DeployBody, path("deploys", deploy))
    found = _listed(session, project, environment, 1)
    if not found:
        raise NotFoundError(
            "deploy.none",
            f"nothing was deployed to {environment} yet",
            hint=f"gantry deploy --to {environment}",
        )
    return found[0]


def _headline(session: Session, deploy: DeployBody) -> Text:
    ago = format_ago(deploy.requested_at, session.clock.now())
    return Text.assemble(
        (f"{deploy.kind} {deploy.id}", "bold"),
        f" to {deploy.environment} of {deploy.project}, ",
        (deploy.state, _STYLES.get(deploy.state, "")),
        (f" · {deploy.requested_by}, {ago}", "dim"),
        f"\n{commit(deploy.commit)}" if commit(deploy.commit) else "",
        f"\n{_built_with(deploy)}" if _built_with(deploy) else "",
    )


def _built_with(deploy: DeployBody) -> str:
    """`built with Node 22.20.0, pnpm 9.15.9, without the build cache`."""
    said = [f"with {deploy.built_with}"] if deploy.built_with else []
    said += [] if deploy.use_cache else ["without the build cache"]
    return f"built {', '.join(said)}" if said else ""


def _table(session: Session, found: Iterable[DeployBody]) -> Listing:
    columns = ("id", "what", "state", "commit", "took", "when", "by")
    rows = Listing(*columns, numbers=("took",), flexible=("commit",), spare=("by",))
    for deploy in found:
        number = f" #{deploy.release_number}" if deploy.release_number else ""
        rows.add_row(
            deploy.id,
            f"{deploy.kind}{number}",
            Text(deploy.state, style=_STYLES.get(deploy.state, "dim")),
            commit(deploy.commit),
            format_elapsed(deploy.elapsed_s),
            format_ago(deploy.requested_at, session.clock.now()),
            deploy.requested_by,
        )
    return rows
