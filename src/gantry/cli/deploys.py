"""`gantry promote`, `rollback`, `redeploy`, `restart` and `cancel`: deploys that no folder is needed for."""

import rich_click as click

from gantry.cli.command import (
    EnvironmentType,
    command,
    detach_option,
    environment_option,
    json_option,
    pass_session,
    project_option,
    yes_option,
)
from gantry.cli.deploy_following import cancel_deploy, see_through
from gantry.cli.deploy_questions import Concern, ask
from gantry.cli.folder import PRODUCTION, project_name
from gantry.cli.session import Session
from gantry.cli.transport import environment_path, path as api_path
from gantry.features.deploys.bodies import (
    DeployBody,
    PromoteRequest,
    RestartRequest,
    RollbackRequest,
)
from gantry.features.platform.bodies import ProjectBody
from gantry.kernel.errors import NotFoundError


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
@detach_option
@yes_option
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
    see_through(
        session,
        session.api.post(DeployBody, environment_path(name, environment, "promote"), request),
        detach=detach,
    )


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
@detach_option
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
    see_through(
        session,
        session.api.post(DeployBody, environment_path(name, environment, "rollback"), request),
        detach=detach,
    )


@command(
    "redeploy",
    ("with the variables that are set now", "gantry redeploy"),
    ("staging", "gantry redeploy --to staging"),
)
@environment_option("--to")
@project_option
@detach_option
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
@detach_option
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
    cancel_deploy(session, deploy)


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
