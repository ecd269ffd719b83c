"""`gantry deploy` and `gantry plan`: what is in a folder, sent to the control plane."""

from pathlib import Path

import rich_click as click
from rich.text import Text

from gantry.cli import failures
from gantry.cli.command import (
    command,
    detach_option,
    directory_argument,
    environment_option,
    json_option,
    pass_session,
    yes_option,
)
from gantry.cli.deploy_following import cancel_deploy, see_through
from gantry.cli.deploy_questions import Tree, ask, concerns_of
from gantry.cli.folder import project_directory, project_name
from gantry.cli.session import Session
from gantry.cli.transport import environment_path, path as api_path
from gantry.cli.upload import commit_in, upload
from gantry.config.load import examine, read_project, source_top
from gantry.config.manifest import Manifest
from gantry.features.deploys.bodies import (
    DeployBody,
    PlanBody,
    PlanChange,
)
from gantry.features.platform.bodies import ProjectBody
from gantry.features.releases.bodies import CommitRequest
from gantry.kernel.errors import GantryError, NotFoundError, UserError, from_dict
from gantry.source.commit import is_older

_SIGNS = {"create": ("+", "green"), "change": ("~", "yellow"), "remove": ("-", "red")}


@command(
    "deploy",
    ("deploy the project in this folder", "gantry deploy"),
    ("to staging first", "gantry deploy --to staging"),
    ("another folder, without waiting", "gantry deploy ~/src/shop --detach"),
    ("cancel the deploy that is running", "gantry deploy --cancel --to staging"),
    ("from CI, where nobody can be asked", "gantry deploy --yes"),
    ("when a build goes wrong that used to work", "gantry deploy --no-cache"),
)
@directory_argument
@environment_option("--to")
@detach_option
@yes_option
@click.option("--cancel", is_flag=True, help="Cancel the environment's running deploy instead.")
@click.option(
    "--no-cache",
    is_flag=True,
    help="Build anew, without what builds before have left; its own cache is kept for the next.",
)
@json_option
@pass_session
def deploy(
    session: Session,
    path: Path | None,
    environment: str,
    detach: bool,
    yes: bool,
    cancel: bool,
    no_cache: bool,
) -> None:
    """Deploy the project in PATH (default: here) to an environment.

    Packs the source (without secrets and ignored files), builds it once, starts the new release beside the old one,
    and moves the traffic when every instance is healthy. A deploy that fails changes nothing for visitors.

    Asks first when the folder is another than the project was deployed from before; for production also when the
    framework changes, processes disappear, the commit is older than what is live, or changes are not committed.
    """
    directory = project_directory(session, path)
    if cancel:
        _cancel_running(session, project_name(session, "", directory), environment)
        return
    # Every fault of gantry.toml in one report, before anything is sent.
    manifest = read_project(directory)
    name, root = manifest.project.name, manifest.project.root
    commit = commit_in(source_top(directory, root))
    _ask_first(session, directory, manifest, commit, environment, yes=yes)
    request = upload(session, directory, root, commit)
    if no_cache:
        request = request.model_copy(update={"use_cache": False})
    see_through(
        session,
        session.api.post(DeployBody, environment_path(name, environment, "deploys"), request),
        detach=detach,
    )


@command(
    "plan",
    ("what deploying this folder would change", "gantry plan"),
    ("in staging", "gantry plan --to staging"),
    ("deploy only if it would be accepted", "gantry plan && gantry deploy"),
)
@directory_argument
@environment_option("--to")
@json_option
@pass_session
def plan(session: Session, path: Path | None, environment: str) -> None:
    """Show what a deploy would change, without changing anything.

    Makes the same checks as a deploy, and uploads the source. Ends with exit code 2 when the deploy would be refused.
    """
    directory = project_directory(session, path)
    reading = examine(directory)
    project = reading.manifest.project
    at = environment_path(project.name, environment, "plan")
    commit = commit_in(source_top(directory, project.root))
    request = upload(session, directory, project.root, commit)
    body = session.api.post(PlanBody, at, request)
    if session.as_json:
        session.json(body.model_dump_json())
    else:
        for line in plan_lines(body):
            session.print(line)
        for note in reading.notes:
            session.say(f"note: {note}", style="dim")
    for blocker in body.blockers:
        failures.show(session, from_dict(blocker.model_dump()))
    if body.blockers:
        session.exit(UserError.exit_code)


def plan_lines(body: PlanBody) -> list[Text]:
    """A line for each thing that would change."""
    if body.unchanged or not body.changes:
        same = "the build, variables, settings and services are those of the live release"
        return [Text(f"nothing changes: {same}" if body.unchanged else "nothing changes")]
    return [_change(change) for change in body.changes]


def _change(change: PlanChange) -> Text:
    sign, style = _SIGNS.get(change.action, (" ", "dim"))
    text = Text.assemble((f"{sign} ", f"bold {style}"), (f"{change.what:<10}", style), change.name)
    if change.before and change.after:
        text.append(f"  {change.before} → {change.after}", style="dim")
    elif change.before or change.after:
        text.append(f"  {change.after or f'was {change.before}'}", style="dim")
    return text


def _cancel_running(session: Session, project: str, environment: str) -> None:
    at = environment_path(project, environment, "deploys")
    running = [body for body in session.api.get(tuple[DeployBody, ...], at) if not body.ended]
    if not running:
        raise NotFoundError(
            "deploy.none-running",
            f"no deploy is running in {environment} of {project}",
            hint="gantry status shows the last one",
        )
    for body in running:
        cancel_deploy(session, body.id)


def _ask_first(
    session: Session,
    directory: Path,
    manifest: Manifest,
    commit: CommitRequest,
    environment: str,
    *,
    yes: bool,
) -> None:
    """Ask where the folder is not what one would expect beside what is live."""
    name = manifest.project.name
    try:
        known = session.api.get(ProjectBody, api_path("projects", name)).environments
    except NotFoundError:
        return  # the first deploy of a project replaces nothing
    live = next((body.live for body in known if body.name == environment), None)
    commits = [body.live.commit for body in known if body.live is not None]
    commits += [body.deploy.commit for body in known if body.deploy is not None]
    if any(body.name == environment for body in known):
        recent = environment_path(name, environment, "deploys")
        commits += [body.commit for body in session.api.get(tuple[DeployBody, ...], recent)]
    resolved = manifest.for_environment(environment)
    top = source_top(directory, manifest.project.root)
    tree = Tree(
        commit=commit,
        framework=resolved.build.framework or _detected(session, top / resolved.project.root),
        processes=frozenset((*resolved.long_running, *(f"cron.{cron}" for cron in resolved.crons))),
        is_older=live is not None and is_older(top, live.commit.sha),
    )
    ask(
        session,
        concerns_of(tree, environment, live, {found.origin for found in commits} - {""}),
        f"Deploy {name} to {environment}?",
        yes=yes,
        command=f"gantry deploy --to {environment} --yes",
    )


def _detected(session: Session, directory: Path) -> str:
    try:
        return session.platform.detect(directory).framework
    except GantryError:
        return ""  # the deploy says so itself
