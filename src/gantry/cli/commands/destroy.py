"""`gantry destroy`."""

import rich_click as click
from click import prompt

from gantry.cli.command import EnvironmentType, command, pass_session, project_option
from gantry.cli.folder import project_name
from gantry.cli.session import Session
from gantry.kernel.errors import UserError


@command(
    "destroy",
    ("one environment with its database", "gantry destroy -e staging"),
    ("the whole project", "gantry destroy --project smart-sign"),
    ("in a script, without the question", "gantry destroy -e staging --yes"),
)
@project_option
@click.option(
    "--environment",
    "-e",
    type=EnvironmentType(),
    default=None,
    help="Only this environment; default: the whole project.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def destroy(session: Session, project: str, environment: str | None, yes: bool) -> None:
    """Delete an environment or a whole project.

    Its releases, variables, databases and caches go with it. This cannot be undone. You are asked to type the name of what is deleted.
    """
    name = project_name(session, project)
    target = f"{name}/{environment}" if environment else name
    if not yes:
        _confirm(session, target)
    session.api.destroy(name, environment)
    session.say(f"{target} is destroyed")


def _confirm(session: Session, target: str) -> None:
    session.say(f"This deletes {target} with its releases, variables, databases and caches.")
    session.say("It cannot be undone.", style="bold")
    typed = prompt(f"Type {target} to go on", default="", show_default=False, err=True)
    if typed.strip() != target:
        raise UserError(
            "destroy.not-confirmed",
            f"{typed.strip()!r} is not {target!r}; nothing was deleted",
            hint="type the name exactly, or use --yes",
        )


COMMANDS = {"destroy": destroy}
