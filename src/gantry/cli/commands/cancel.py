"""`gantry cancel`."""

import rich_click as click

from gantry.cli.command import command, json_option, pass_session
from gantry.cli.session import Session
from gantry.kernel.errors import NotFoundError


@command(
    "cancel",
    ("cancel a deploy by its id", "gantry cancel dep-7kq2m9xw4t"),
    ("cancel whatever production is doing", "gantry deploy --cancel"),
)
@click.argument("deploy")
@json_option
@pass_session
def cancel(session: Session, deploy: str) -> None:
    """Ask a deploy to stop, at whatever step it is.

    The step's processes are ended. After its traffic has moved it is too late: use gantry rollback instead.
    """
    _cancel(session, deploy)


def cancel_running(session: Session, project: str, environment: str) -> None:
    """Cancel every deploy of the environment that has not ended.

    Raises:
        NotFoundError: `deploy.none-running`.
    """
    running = [
        each.id
        for each in session.api.deploys(project, environment)
        if each.state in ("queued", "active")
    ]
    if not running:
        raise NotFoundError(
            "deploy.none-running",
            f"no deploy is running in {environment} of {project}",
            hint="gantry status shows the last one",
        )
    for deploy in running:
        _cancel(session, deploy)


def _cancel(session: Session, deploy: str) -> None:
    body = session.api.cancel(deploy)
    if session.as_json:
        session.json(body.model_dump_json())
    else:
        session.say(f"deploy {body.id} is asked to stop; gantry status shows when it has")


COMMANDS = {"cancel": cancel}
