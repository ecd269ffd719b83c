"""`gantry version`."""

import json
import platform

from gantry import __version__
from gantry.cli.command import command, json_option, pass_session
from gantry.cli.session import Session
from gantry.kernel.errors import GantryError


@command(
    "version",
    ("of this program and of the control plane", "gantry version"),
    ("for a program", "gantry version --json"),
)
@json_option
@pass_session
def version(session: Session) -> None:
    """Show the versions of this program and of the control plane."""
    control = _control(session)
    if session.as_json:
        session.json(
            json.dumps(
                {
                    "version": __version__,
                    "python": platform.python_version(),
                    "control_plane": control or None,
                    "home": str(session.settings.home),
                }
            )
        )
        return
    session.out.print(f"gantry {__version__}, Python {platform.python_version()}")
    session.out.print(f"control plane {control or 'does not answer'}")
    session.out.print(f"home {session.settings.home}", soft_wrap=True)


def _control(session: Session) -> str:
    try:
        return session.api.health().version
    except GantryError:
        return ""  # this command is for finding out, also when nothing runs


COMMANDS = {"version": version}
