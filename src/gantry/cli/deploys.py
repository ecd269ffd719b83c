"""`gantry deploy`, `promote`, `rollback`, `cancel` and `plan`."""

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
from gantry.cli.folder import project_directory, project_name
from gantry.cli.session import Session
from gantry.cli.transport import environment_path, path as api_path
from gantry.config.load import MANIFEST, examine, read_project, source_top
from gantry.features.builds.bodies import SourceBody
from gantry.features.deploys.bodies import (
    DeployBody,
    DeployRequest,
    PlanBody,
    PlanChange,
    PromoteRequest,
    RollbackRequest,
)
from gantry.features.releases.bodies import CommitRequest
from gantry.kernel.errors import NotFoundError, UserError, from_dict
from gantry.kernel.units import format_size
from gantry.source.commit import commit_of
from gantry.source.listing import Ignored
from gantry.source.pack import PackedSource, pack

_MAX_NAMES = 6
_SIGNS = {"create": ("+", "green"), "change": ("~", "yellow"), "remove": ("-", "red")}

_detach_option = click.option(
    "--detach", is_flag=True, help="Print the deploy's id and return without waiting."
)


@command(
    "deploy",
    ("deploy the project in this folder", "gantry deploy"),
    ("to staging first", "gantry deploy --to staging"),
    ("another folder, without waiting", "gantry deploy ~/src/shop --detach"),
    ("cancel the deploy that is running", "gantry deploy --cancel --to staging"),
)
@directory_argument
@environment_option("--to")
@_detach_option
@click.option("--cancel", is_flag=True, help="Cancel the environment's running deploy instead.")
@json_option
@pass_session
def deploy(
    session: Session, path: Path | None, environment: str, detach: bool, cancel: bool
) -> None:
    """Deploy the project in PATH (default: here) to an environment.

    Packs the source (without secrets and ignored files), builds it once, starts the new release beside the old one,
    and moves the traffic when every instance is healthy. A deploy that fails changes nothing for visitors.
    """
    directory = project_directory(session, path)
    if cancel:
        _cancel_running(session, project_name(session, "", directory), environment)
        return
    # Every fault of gantry.toml in one report, before anything is sent.
    project = read_project(directory).project
    name = project.name
    request = _upload(session, directory, project.root)
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
@environment_option("--to")
@project_option
@_detach_option
@json_option
@pass_session
def promote(session: Session, source: str, environment: str, project: str, detach: bool) -> None:
    """Deploy what is live in one environment to another.

    The build that was tried is the one that goes live, with the other environment's configuration. It is built again
    only where that environment has its own values of variables that are written into pages, such as NEXT_PUBLIC_...
    """
    name = project_name(session, project)
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

    It comes back with the code and the configuration that it ran with. A release that is still running takes over
    within a second; an older one is started first. The database is not rolled back.
    """
    name = project_name(session, project)
    request = RollbackRequest(to_release=release)
    _request(session, environment_path(name, environment, "rollback"), request, detach=detach)


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
    body = session.api.post(PlanBody, at, _upload(session, directory, project.root))
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
    return [_change(change) for change in body.changes] or [Text("nothing would change")]


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


def _upload(session: Session, directory: Path, root: str) -> DeployRequest:
    """Store a snapshot of the project, unless it is stored already, and describe it for a deploy."""
    try:
        return _stored(session, directory, root)
    except KeyboardInterrupt:
        session.say("nothing was started: the source was still on its way")
        raise


def _stored(session: Session, directory: Path, root: str) -> DeployRequest:
    top = source_top(directory, root)
    with session.progress("Packing"):
        # Also where an ignore file names it.
        packed = pack(top, manifest=(directory / MANIFEST).read_bytes())
        known = _is_stored(session, packed.digest)
    size = format_size(packed.size_bytes)
    above = "" if top == directory else f" of {top}"
    session.say(f"packed {len(packed.entries)} files{above}, {size}{_left_out(packed)}")
    if packed.ignored.files:
        session.say(_ignored(packed.ignored), style="dim")
    if known:
        session.say("already uploaded")
    else:
        _send(session, packed)
    return DeployRequest(source_digest=packed.digest, commit=_commit(top))


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
    count = "1 file" if ignored.files == 1 else f"{ignored.files} files"
    amount = f"{count}, {format_size(ignored.size_bytes)}"
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
    if commit is None:
        return CommitRequest()
    limits = CommitRequest.model_json_schema()["properties"]
    fields = asdict(commit)
    return CommitRequest.model_validate(
        {
            name: value[: limits[name]["maxLength"]] if isinstance(value, str) else value
            for name, value in fields.items()
        }
    )
