"""`gantry rollback`."""

import rich_click as click

from gantry.cli.command import (
    command,
    environment_option,
    json_option,
    pass_session,
    project_option,
)
from gantry.cli.folder import project_name
from gantry.cli.following import see_through
from gantry.cli.session import Session
from gantry.features.deploys.bodies import RollbackRequest


@command(
    "rollback",
    ("back to the release before", "gantry rollback"),
    ("to a certain one; gantry releases lists them", "gantry rollback --release 12"),
    ("staging", "gantry rollback --to staging"),
)
@environment_option("--to")
@click.option("--release", type=click.IntRange(min=1), help="Number of the release.")
@project_option
@click.option("--detach", is_flag=True, help="Do not wait: print the deploy's id and return.")
@json_option
@pass_session
def rollback(
    session: Session, environment: str, release: int | None, project: str, detach: bool
) -> None:
    """Return to an earlier release of an environment.

    It comes back with the code and the configuration that it ran with. A release that still runs takes the traffic back within a second; an older one is started first. The database
    is not rolled back.
    """
    name = project_name(session, project)
    request = RollbackRequest(to_release=release)
    see_through(session, session.api.roll_back(name, environment, request), detach=detach)


COMMANDS = {"rollback": rollback}
