"""`gantry purge`."""

import rich_click as click

from gantry.cli.command import (
    command,
    environment_option,
    json_option,
    pass_session,
    project_option,
)
from gantry.cli.folder import project_name
from gantry.cli.session import Session
from gantry.features.routes.bodies import PurgeRequest
from gantry.kernel.errors import UserError


@command(
    "purge",
    ("one page", "gantry purge /news/today"),
    ("all pages that begin so", "gantry purge '/news/*'"),
    ("what the product tagged", "gantry purge --tag news"),
    ("everything of staging", "gantry purge --all --environment staging"),
)
@click.argument("paths", nargs=-1)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    help="What has this tag in its header Cache-Tag; may be given several times.",
)
@click.option("--all", "everything", is_flag=True, help="Everything of the environment.")
@environment_option()
@project_option
@json_option
@pass_session
def purge(
    session: Session,
    paths: tuple[str, ...],
    tags: tuple[str, ...],
    everything: bool,
    environment: str,
    project: str,
) -> None:
    """Make the edge forget answers that it keeps, by path or by tag."""
    named = bool(paths or tags)
    if everything == named:
        raise UserError(
            "purge.nothing-said" if not named else "purge.all-and-some",
            "neither a path nor a tag is named" if not named else "--all needs no paths and tags",
            hint="gantry purge /news/today, gantry purge --tag news, or gantry purge --all",
        )
    body = session.api.purge(
        project_name(session, project), environment, PurgeRequest(paths=paths, tags=tags)
    )
    if session.as_json:
        session.json(body.model_dump_json())
    else:
        answers = "answer" if body.purged == 1 else "answers"
        session.say(f"{body.purged} {answers} forgotten in {environment}")


COMMANDS = {"purge": purge}
