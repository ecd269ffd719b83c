"""`gantry plan`."""

from pathlib import Path

from gantry.cli import failures
from gantry.cli.command import (
    command,
    environment_option,
    folder_argument,
    json_option,
    pass_session,
)
from gantry.cli.folder import project_folder
from gantry.cli.session import Session
from gantry.cli.transport import error_of
from gantry.cli.upload import upload
from gantry.cli.views import tables
from gantry.config.load import examine
from gantry.kernel.errors import UserError


@command(
    "plan",
    ("what a deploy of this folder would change", "gantry plan"),
    ("in staging", "gantry plan --to staging"),
    ("stop a script when the deploy would be refused", "gantry plan && gantry deploy"),
)
@folder_argument
@environment_option("--to")
@json_option
@pass_session
def plan(session: Session, path: Path | None, environment: str) -> None:
    """Show what a deploy would do, and change nothing.

    Makes the same checks as a deploy. The tree is uploaded, as for a deploy. Ends with exit code 2 when the deploy would be refused.
    """
    folder = project_folder(session, path)
    reading = examine(folder)
    name = reading.manifest.project.name
    body = session.api.plan(name, environment, upload(session, folder))
    if session.as_json:
        session.json(body.model_dump_json())
    else:
        for line in tables.plan(body):
            session.out.print(line, soft_wrap=True)
        for note in reading.notes:
            session.say(f"note: {note}", style="dim")
    for blocker in body.blockers:
        failures.show(session, error_of(blocker))
    if body.blockers:
        session.exit(UserError.exit_code)


COMMANDS = {"plan": plan}
