"""`gantry promote`."""

import rich_click as click

from gantry.cli.command import (
    EnvironmentType,
    command,
    environment_option,
    json_option,
    pass_session,
    project_option,
)
from gantry.cli.folder import project_name
from gantry.cli.following import see_through
from gantry.cli.session import Session
from gantry.features.deploys.bodies import PromoteRequest


@command(
    "promote",
    ("what staging runs, to production", "gantry promote"),
    ("spelled out", "gantry promote --from staging --to production"),
    ("without waiting", "gantry promote --detach"),
)
@click.option(
    "--from",
    "source",
    type=EnvironmentType(),
    default="staging",
    show_default=True,
    help="Environment whose live build is taken.",
)
@environment_option("--to")
@project_option
@click.option("--detach", is_flag=True, help="Do not wait: print the deploy's id and return.")
@json_option
@pass_session
def promote(session: Session, source: str, environment: str, project: str, detach: bool) -> None:
    """Bring what is live in one environment to another.

    The very artifact that was tried goes live, with the other environment's configuration. It is built again only where that environment has its own values of variables that are written into pages (NEXT_PUBLIC_... and the like).
    """
    name = project_name(session, project)
    request = PromoteRequest(from_environment=source)
    see_through(session, session.api.promote(name, environment, request), detach=detach)


COMMANDS = {"promote": promote}
