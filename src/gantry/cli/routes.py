"""`gantry purge`: what the edge's cache keeps."""

import rich_click as click

from gantry.cli.command import (
    command,
    within_environment,
)
from gantry.cli.folder import project_name
from gantry.cli.session import Session
from gantry.cli.transport import environment_path
from gantry.features.routes.bodies import PurgeBody, PurgeRequest
from gantry.kernel.errors import UserError
from gantry.kernel.units import counted


@command(
    "purge",
    ("one page", "gantry purge /news/today"),
    ("all pages below a path", "gantry purge '/news/*'"),
    ("what the product tagged", "gantry purge --tag news"),
    ("everything of staging", "gantry purge --all --environment staging"),
)
@click.argument("paths", nargs=-1)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    help="Responses with this tag in their Cache-Tag header; may be repeated.",
)
@click.option("--all", "everything", is_flag=True, help="Everything of the environment.")
@within_environment
def purge(
    session: Session,
    paths: tuple[str, ...],
    tags: tuple[str, ...],
    everything: bool,
    environment: str,
    project: str,
) -> None:
    """Remove responses from the edge's cache, by path or by tag."""
    named = bool(paths or tags)
    if everything == named:
        raise UserError(
            "purge.nothing-said" if not named else "purge.all-and-some",
            "name a path or a tag, or use --all"
            if not named
            else "--all goes without paths and tags",
            hint="gantry purge /news/today, gantry purge --tag news, or gantry purge --all",
        )
    at = environment_path(project_name(session, project), environment, "purge")
    body = session.api.post(PurgeBody, at, PurgeRequest(paths=paths, tags=tags))
    if session.as_json:
        session.json(body.model_dump_json())
        return
    session.say(f"removed {counted(body.purged, 'cached response')} from {environment}")
