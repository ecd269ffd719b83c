"""`gantry maintenance`: a page in place of a product, while it is worked on."""

import rich_click as click

from gantry.cli.command import (
    Group,
    command,
    within_environment,
)
from gantry.cli.folder import project_name
from gantry.cli.session import Session
from gantry.cli.transport import environment_path
from gantry.features.maintenance import MESSAGE, MaintenanceBody, MaintenanceRequest
from gantry.kernel.units import format_ago


@click.group("maintenance", cls=Group)
def maintenance() -> None:
    """Show visitors a page in place of an environment's product."""


@command(
    "on",
    ("close production", "gantry maintenance on"),
    ("say when it ends", 'gantry maintenance on --message "Back at noon."'),
    ("let the office through", "gantry maintenance on --allow 203.0.113.0/24"),
    group=maintenance,
)
@click.option("--message", default=MESSAGE, help="The sentence that visitors read.")
@click.option(
    "--allow",
    multiple=True,
    metavar="ADDRESS",
    help="An IP address or network whose visitors get the product; may be repeated.",
)
@within_environment
def on(
    session: Session, message: str, allow: tuple[str, ...], environment: str, project: str
) -> None:
    """Close an environment: visitors get a page with status 503, listed addresses the product.

    An address is what Gantry's own public port sees, never what a request says of itself. Releases keep their own
    addresses, and deploys go on behind the page. On an environment that is closed, this replaces the message and the
    addresses.
    """
    at = environment_path(project_name(session, project), environment, "maintenance", "on")
    request = MaintenanceRequest(message=message, allow=allow)
    _show(session, session.api.post(MaintenanceBody, at, request))


@command(
    "off",
    ("open production", "gantry maintenance off"),
    group=maintenance,
)
@within_environment
def off(session: Session, environment: str, project: str) -> None:
    """Open an environment to its visitors."""
    at = environment_path(project_name(session, project), environment, "maintenance", "off")
    _show(session, session.api.post(MaintenanceBody, at))


@command(
    "status",
    ("of production", "gantry maintenance status"),
    ("for a program", "gantry maintenance status --json | jq .closed"),
    group=maintenance,
)
@within_environment
def status(session: Session, environment: str, project: str) -> None:
    """Show whether an environment is closed, what its visitors read, and who is let through."""
    at = environment_path(project_name(session, project), environment, "maintenance")
    _show(session, session.api.get(MaintenanceBody, at))


def _show(session: Session, body: MaintenanceBody) -> None:
    if session.as_json:
        session.json(body.model_dump_json())
        return
    closed = body.closed
    if closed is None or body.begun_at is None:
        session.print(f"{body.environment} is open to visitors")
        return
    since = format_ago(body.begun_at, session.clock.now())
    session.print(f"{body.environment} is closed for maintenance, by {body.begun_by}, {since}")
    session.print(f"visitors read: {closed.message}")
    session.print(closed.sentence)
