"""`gantry deploy`."""

from pathlib import Path

import rich_click as click

from gantry.cli.command import (
    command,
    environment_option,
    folder_argument,
    json_option,
    pass_session,
)
from gantry.cli.commands.cancel import cancel_running
from gantry.cli.folder import project_folder, project_name
from gantry.cli.following import see_through
from gantry.cli.session import Session
from gantry.cli.upload import upload
from gantry.config.load import read_project


@command(
    "deploy",
    ("deploy the project in this folder", "gantry deploy"),
    ("to staging first", "gantry deploy --to staging"),
    ("another folder, without waiting for the end", "gantry deploy ~/src/shop --detach"),
    ("end the deploy that runs now", "gantry deploy --cancel --to staging"),
)
@folder_argument
@environment_option("--to")
@click.option("--detach", is_flag=True, help="Do not wait: print the deploy's id and return.")
@click.option("--cancel", is_flag=True, help="Cancel the environment's running deploy instead.")
@json_option
@pass_session
def deploy(
    session: Session, path: Path | None, environment: str, detach: bool, cancel: bool
) -> None:
    """Bring the project in PATH (default: here) to an environment.

    Packs the tree (without secrets and ignored files), builds it once, starts the new release beside the old one,
    and moves the traffic when every instance is healthy. A deploy that fails changes nothing for visitors.
    """
    folder = project_folder(session, path)
    if cancel:
        cancel_running(session, project_name(session, "", folder), environment)
        return
    # Every fault of gantry.toml in one report, before anything is sent.
    name = read_project(folder).project.name
    request = upload(session, folder)
    see_through(session, session.api.deploy(name, environment, request), detach=detach)


COMMANDS = {"deploy": deploy}
