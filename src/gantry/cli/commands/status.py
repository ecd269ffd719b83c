"""`gantry status`."""

import rich_click as click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from gantry.cli.command import command, json_option, pass_session
from gantry.cli.session import Session
from gantry.cli.views.status import status as render
from gantry.kernel.errors import TransientError, UserError

_WATCH_EVERY_S = 2.0


@command(
    "status",
    ("everything at a glance", "gantry status"),
    ("and again every two seconds", "gantry status --watch"),
    (
        "which release is live, for a program",
        "gantry status --json | jq '.projects[].environments[].live.number'",
    ),
)
@click.option("--watch", "-w", is_flag=True, help="Keep it on the screen, until Ctrl-C.")
@click.option("--no-probe", is_flag=True, help="Do not ask the public port which release answers.")
@json_option
@pass_session
def status(session: Session, watch: bool, no_probe: bool) -> None:
    """Show every project, and what a real request reaches.

    Also instances, the last deploy, and the parts of the platform. Each environment's public address is asked once, as a visitor would; what answers is shown beside what should.
    """
    if watch and session.as_json:
        raise UserError(
            "cli.usage", "--watch and --json do not go together", hint="run it again when needed"
        )
    body = session.api.status(probe=not no_probe)
    if session.as_json:
        session.json(body.model_dump_json())
        return

    if not watch:
        session.out.print(render(body, session.clock.now()))
        return
    _watch(session, probe=not no_probe)


def _watch(session: Session, *, probe: bool) -> None:

    with Live(console=session.out, screen=session.out.is_terminal, auto_refresh=False) as live:
        while True:
            try:
                shown = render(session.api.status(probe=probe), session.clock.now())
            except TransientError as error:
                shown = Group(Text(f"{error.message}; trying again", style="yellow"))
            live.update(shown, refresh=True)
            session.pause(_WATCH_EVERY_S)


COMMANDS = {"status": status}
