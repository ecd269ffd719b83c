"""`gantry releases`."""

from gantry.cli.command import (
    command,
    environment_option,
    json_option,
    pass_session,
    project_option,
)
from gantry.cli.folder import project_name
from gantry.cli.session import Session
from gantry.cli.views import documents, tables


@command(
    "releases",
    ("of production", "gantry releases"),
    (
        "the number that a rollback goes to",
        "gantry releases --json | jq 'map(select(.can_roll_back_to))[0].number'",
    ),
)
@environment_option()
@project_option
@json_option
@pass_session
def releases(session: Session, environment: str, project: str) -> None:
    """List an environment's releases, newest first.

    Shows which of them a rollback can go to.
    """
    found = session.api.releases(project_name(session, project), environment)
    if session.as_json:
        session.json(documents.array(found))
    elif found:
        session.out.print(tables.releases(found, session.clock.now()))
    else:
        session.say(f"no release in {environment} yet: gantry deploy --to {environment}")


COMMANDS = {"releases": releases}
