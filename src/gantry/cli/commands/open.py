"""`gantry open`."""

import rich_click as click
from click import launch

from gantry.cli.command import command, environment_option, pass_session, project_option
from gantry.cli.folder import project_name
from gantry.cli.session import Session
from gantry.kernel.errors import NotFoundError


@command(
    "open",
    ("the site in the browser", "gantry open"),
    ("its address only", "gantry open --print -e staging"),
    ("the console, already logged in", "gantry open --console"),
    ("a login link for another machine's browser", "gantry open --console --print"),
)
@environment_option()
@project_option
@click.option("--console", is_flag=True, help="The console, by a link that logs in once.")
@click.option("--print", "only_print", is_flag=True, help="Print the address; open nothing.")
@pass_session
def open_(
    session: Session, environment: str, project: str, console: bool, only_print: bool
) -> None:
    """Open an environment's site, or the console, in the browser.

    A login link works once, within 15 minutes, and gives the rights of whoever made it.
    """
    address = session.api.login_link().url if console else _site(session, project, environment)
    click.echo(address)
    if only_print:
        return
    # The browser's own chatter on our terminal is nobody's business.
    if launch(address) != 0:
        session.say("no browser could be started here; open the address above yourself", "dim")


def _site(session: Session, project: str, environment: str) -> str:

    name = project_name(session, project)
    found = session.api.project(name).environments
    for each in found:
        if each.name == environment:
            return each.url
    names = ", ".join(each.name for each in found) or "none yet"
    raise NotFoundError(
        "environment.unknown",
        f"{name} has no environment {environment!r}; it has {names}",
        hint=f"gantry deploy --to {environment}",
    )


COMMANDS = {"open": open_}
