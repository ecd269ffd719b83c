"""`gantry deploy`, `promote`, `rollback`, `redeploy`, `restart`, `cancel` and `plan`."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import rich_click as click
from rich.progress import BarColumn, FileSizeColumn, Progress, TextColumn, TransferSpeedColumn
from rich.text import Text

from gantry.cli import failures
from gantry.cli.command import (
    EnvironmentType,
    command,
    directory_argument,
    environment_option,
    json_option,
    pass_session,
    project_option,
)
from gantry.cli.deploy_following import see_through
from gantry.cli.deploy_questions import Concern, Tree, ask, concerns_of
from gantry.cli.folder import PRODUCTION, project_directory, project_name
from gantry.cli.session import Session
from gantry.cli.transport import environment_path, path as api_path
from gantry.config.load import MANIFEST, examine, read_project, source_top
from gantry.config.manifest import Manifest
from gantry.features.builds.bodies import SourceBody
from gantry.features.deploys.bodies import (
    DeployBody,
    DeployRequest,
    PlanBody,
    PlanChange,
    PromoteRequest,
    RestartRequest,
    RollbackRequest,
)
from gantry.features.platform.bodies import ProjectBody
from gantry.features.releases.bodies import CommitRequest
from gantry.kernel.errors import GantryError, NotFoundError, UserError, from_dict
from gantry.kernel.units import counted, format_size
from gantry.source.commit import commit_of, is_older, origin_of
from gantry.source.listing import Ignored
from gantry.source.pack import PackedSource, pack

_MAX_NAMES = 6
_MAX_ORIGIN = 300
_SIGNS = {"create": ("+", "green"), "change": ("~", "yellow"), "remove": ("-", "red")}

_yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask: everything is meant.")
_detach_option = click.option(
    "--detach", is_flag=True, help="Print the deploy's id and return without waiting."
)


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
@_detach_option
@_yes_option
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
    commit = _commit(source_top(directory, root))
    _ask_first(session, directory, manifest, commit, environment, yes=yes)
    request = _upload(session, directory, root, commit)
    if no_cache:
        request = request.model_copy(update={"use_cache": False})
    _request(session, environment_path(name, environment, "deploys"), request, detach=detach)


@command(
    "promote",
    ("what staging runs, to production", "gantry promote"),
    ("the same, spelled out", "gantry promote --from staging --to production"),
    ("without waiting", "gantry promote --detach"),
)
@click.option(
    "--from",
    "source",
    type=EnvironmentType(),
    default="staging",
    show_default=True,
    help="Environment whose live build is deployed.",
)
@environment_option("--to", default="production")
@project_option
@_detach_option
@_yes_option
@json_option
@pass_session
def promote(
    session: Session, source: str, environment: str, project: str, detach: bool, yes: bool
) -> None:
    """Deploy what is live in one environment to another.

    The build that was tried is the one that goes live, with the other environment's configuration. It is built again
    only where that environment has its own values of variables that are written into pages, such as NEXT_PUBLIC_..., or
    its own tests. Asks first when it would bring production something older than what is live there.
    """
    name = project_name(session, project)
    _ask_before_promotion(session, name, source, environment, yes=yes)
    request = PromoteRequest(from_environment=source)
    _request(session, environment_path(name, environment, "promote"), request, detach=detach)


@command(
    "rollback",
    ("back to the previous release", "gantry rollback"),
    ("to a certain one; gantry releases lists them", "gantry rollback --release 12"),
    ("staging", "gantry rollback --to staging"),
)
@environment_option("--to")
@click.option(
    "--release", type=click.IntRange(min=1), metavar="NUMBER", help="Release to return to."
)
@project_option
@_detach_option
@json_option
@pass_session
def rollback(
    session: Session, environment: str, release: int | None, project: str, detach: bool
) -> None:
    """Return an environment to an earlier release.

    Goes down from the live release to the next one that nobody rolled back from; --release goes anywhere, also up again.
    A rollout that goes on is aborted first. It comes back with the code and the configuration that it ran with. A release that is still running takes over
    within a second; an older one is started first. The database is not rolled back.
    """
    name = project_name(session, project)
    request = RollbackRequest(to_release=release)
    _request(session, environment_path(name, environment, "rollback"), request, detach=detach)


@command(
    "redeploy",
    ("with the variables that are set now", "gantry redeploy"),
    ("staging", "gantry redeploy --to staging"),
)
@environment_option("--to")
@project_option
@_detach_option
@json_option
@pass_session
def redeploy(session: Session, environment: str, project: str, detach: bool) -> None:
    """Make a new release of what is live, with the variables of now.

    The build is the same, and nothing is packed or built: the new release starts beside the old one and takes over when
    it is healthy. A variable that is written into the build, such as NEXT_PUBLIC_..., needs gantry deploy.
    """
    at = environment_path(project_name(session, project), environment, "redeploy")
    see_through(session, session.api.post(DeployBody, at), detach=detach)


@command(
    "restart",
    ("every process of production", "gantry restart"),
    ("one kind, in staging", "gantry restart worker.mail -e staging"),
)
@click.argument("process", default="")
@environment_option()
@project_option
@_detach_option
@json_option
@pass_session
def restart(session: Session, process: str, environment: str, project: str, detach: bool) -> None:
    """Start the live release's processes anew, one after the other.

    PROCESS is web or worker.NAME; left out, all of them. A process that visitors reach is replaced before it ends, so that
    no request is dropped. They keep the variables that they have: gantry redeploy brings new ones.
    """
    at = environment_path(project_name(session, project), environment, "restart")
    request = RestartRequest(process=process)
    see_through(session, session.api.post(DeployBody, at, request), detach=detach)


@command(
    "cancel",
    ("cancel a deploy by its id", "gantry cancel dep-7kq2m9xw4t"),
    ("cancel whatever is being deployed to production", "gantry deploy --cancel"),
)
@click.argument("deploy")
@json_option
@pass_session
def cancel(session: Session, deploy: str) -> None:
    """Cancel a deploy, whatever step it is at.

    The processes of the step are stopped. Once traffic has moved it is too late: use gantry rollback instead.
    """
    _cancel(session, deploy)


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
    commit = _commit(source_top(directory, project.root))
    request = _upload(session, directory, project.root, commit)
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


def _request(
    session: Session,
    at: str,
    request: DeployRequest | PromoteRequest | RollbackRequest,
    *,
    detach: bool,
) -> None:
    see_through(session, session.api.post(DeployBody, at, request), detach=detach)


def _ask_before_promotion(
    session: Session, project: str, source: str, environment: str, *, yes: bool
) -> None:
    """Ask where the promotion leads back."""
    try:
        known = session.api.get(ProjectBody, api_path("projects", project)).environments
    except NotFoundError:
        return  # the promotion says so itself
    live = {body.name: body.live for body in known}
    staged, produced = live.get(source), live.get(environment)
    if environment != PRODUCTION or staged is None or produced is None:
        return
    if staged.build == produced.build or staged.created_at >= produced.created_at:
        return
    older = Concern(
        "deploy.older-commit",
        f"release {staged.number} of {source} is older than release {produced.number}, which is live in {environment}",
    )
    question = f"Promote {source} to {environment}?"
    ask(session, (older,), question, yes=yes, command="gantry promote --yes")


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
        _cancel(session, body.id)


def _cancel(session: Session, deploy: str) -> None:
    body = session.api.post(DeployBody, api_path("deploys", deploy, "cancel"))
    if session.as_json:
        session.json(body.model_dump_json())
    else:
        session.say(f"cancelling deploy {body.id}: gantry status shows when it has stopped")


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


def _upload(session: Session, directory: Path, root: str, commit: CommitRequest) -> DeployRequest:
    """Store a snapshot of the project, unless it is stored already, and describe it for a deploy."""
    try:
        return _stored(session, directory, root, commit)
    except KeyboardInterrupt:
        session.say("nothing was started: the source was still on its way")
        raise


def _stored(session: Session, directory: Path, root: str, commit: CommitRequest) -> DeployRequest:
    top = source_top(directory, root)
    with session.progress("Packing"):
        # Also where an ignore file names it.
        packed = pack(top, manifest=(directory / MANIFEST).read_bytes())
        known = _is_stored(session, packed.digest)
    size = format_size(packed.size_bytes)
    above = "" if top == directory else f" of {top}"
    session.say(f"packed {counted(len(packed.entries), 'file')}{above}, {size}{_left_out(packed)}")
    if packed.ignored.files:
        session.say(_ignored(packed.ignored), style="dim")
    if known:
        session.say("already uploaded")
    else:
        _send(session, packed)
    return DeployRequest(source_digest=packed.digest, commit=commit)


def _is_stored(session: Session, digest: str) -> bool:
    try:
        session.api.get(SourceBody, api_path("sources", digest))
    except NotFoundError:
        return False
    return True


def _left_out(packed: PackedSource) -> str:
    if not packed.left_out:
        return ""
    reasons = [f"{name} ({reason})" for name, reason in packed.left_out.items()]
    more = len(reasons) - _MAX_NAMES
    return f"; left out {', '.join(reasons[:_MAX_NAMES])}" + (
        f" and {more} more" if more > 0 else ""
    )


def _ignored(ignored: Ignored) -> str:
    """`left out as ignored: 214 files, 12.4 MB; most of it dist/ (11.0 MB)`."""
    amount = f"{counted(ignored.files, 'file')}, {format_size(ignored.size_bytes)}"
    biggest = ", ".join(f"{path} ({format_size(size)})" for path, size in ignored.biggest)
    more = "" if ignored.complete else "at least "
    return f"left out as ignored: {more}{amount}" + (f"; most of it {biggest}" if biggest else "")


def _send(session: Session, packed: PackedSource) -> None:
    # How large the archive will be is known when it is made, which happens while it is sent.
    bar = Progress(
        TextColumn("Uploading"),
        BarColumn(bar_width=30),
        FileSizeColumn(),
        TransferSpeedColumn(),
        console=session.err,
        transient=True,
        disable=not session.err.is_terminal,
    )
    sent = 0
    with bar:
        task = bar.add_task("upload", total=None)

        def chunks() -> Iterator[bytes]:
            nonlocal sent
            for chunk in packed.chunks():
                yield chunk
                sent += len(chunk)
                bar.update(task, completed=sent)

        session.api.put(SourceBody, api_path("sources", packed.digest), chunks())
    session.say(f"uploaded {format_size(sent)}")


def _commit(directory: Path) -> CommitRequest:
    """What git knows of the directory, cut to what the API takes: a branch or a subject may be any length."""
    commit = commit_of(directory)
    origin = origin_of(directory)[:_MAX_ORIGIN]
    if commit is None:
        return CommitRequest(origin=origin)
    limits = CommitRequest.model_json_schema()["properties"]
    fields = asdict(commit)
    return CommitRequest.model_validate(
        {"origin": origin}
        | {
            name: value[: limits[name]["maxLength"]] if isinstance(value, str) else value
            for name, value in fields.items()
        }
    )
