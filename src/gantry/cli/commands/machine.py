"""`gantry up`, `gantry down` and `gantry doctor`: the platform of this machine."""

import json
from dataclasses import asdict

import rich_click as click
from rich.text import Text

from gantry.cli.command import command, json_option, pass_session
from gantry.cli.platform import Finding
from gantry.cli.session import Session
from gantry.kernel.errors import ConflictError
from gantry.kernel.units import format_duration

_MARKS = {"ok": ("✓", "green"), "warn": ("!", "bold yellow"), "bad": ("✗", "bold red")}


@command(
    "up",
    ("start Gantry on this machine", "gantry up"),
    ("on other ports", "GANTRY_HTTP_PORT=9080 GANTRY_HTTPS_PORT=9443 gantry up"),
    ("under systemd", "gantry up --foreground"),
)
@click.option("--foreground", is_flag=True, help="Stay in the foreground until told to end.")
@pass_session
def up(session: Session, foreground: bool) -> None:
    """Start Gantry: the control plane, the edge and the databases.

    Returns when the control plane answers. Everything that ran before goes on: instances are found again, not
    restarted. Nothing is lost when it runs already.
    """
    if foreground:
        session.platform.serve()
        return
    began_s = session.clock.monotonic_s()
    try:
        _start(session)
    except ConflictError as error:
        if error.code != "control.running":
            raise
        session.say(f"Gantry runs already: {error.message}")
    else:
        elapsed = format_duration(session.clock.monotonic_s() - began_s)
        session.err.print(Text.assemble(("✓ ", "bold green"), f"Gantry runs after {elapsed}"))
    _next_steps(session)


def _start(session: Session) -> None:
    if not session.err.is_terminal:
        session.platform.start(lambda sentence: session.say(f"  {sentence}"))
        return
    with session.err.status("Starting Gantry") as status:

        def progress(sentence: str) -> None:
            status.update(sentence)

        session.platform.start(progress)


def _next_steps(session: Session) -> None:
    settings = session.settings
    rows = [
        ("console", settings.url(settings.console_host)),
        ("log in", "gantry open --console"),
        ("deploy", "gantry init && gantry deploy   (in a project's folder)"),
        ("look", "gantry status"),
    ]
    for name, what in rows:
        session.err.print(Text.assemble((f"  {name:<8} ", "dim"), what), soft_wrap=True)


@command("down", ("end Gantry and everything it started", "gantry down"))
@pass_session
def down(session: Session) -> None:
    """End Gantry and everything that it started on this machine.

    That includes the products' instances. Works also when the control plane is dead. Databases are shut down cleanly and nothing is deleted: gantry up
    brings everything back.
    """
    if session.err.is_terminal:
        with session.err.status("Ending Gantry") as status:

            def progress(sentence: str) -> None:
                status.update(sentence)

            session.platform.stop(progress)
    else:
        session.platform.stop(lambda sentence: session.say(f"  {sentence}"))
    session.err.print(Text.assemble(("✓ ", "bold green"), "Gantry has ended; its data is in "),
                      Text(str(session.settings.home)), sep="", soft_wrap=True)  # fmt: skip


@command(
    "doctor",
    ("look at this machine before the first gantry up", "gantry doctor"),
    (
        "only what is wrong, for a program",
        "gantry doctor --json | jq '.[] | select(.state != \"ok\")'",
    ),
)
@json_option
@pass_session
def doctor(session: Session) -> None:
    """Check everything that Gantry needs of this machine.

    Says how to mend what is wrong, and changes nothing. Ends with exit code 1 when something is wrong that keeps Gantry from working.
    """
    findings = session.platform.doctor()
    if session.as_json:
        session.json(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            _show(session, finding)
    if any(finding.state == "bad" for finding in findings):
        session.exit(1)


def _show(session: Session, finding: Finding) -> None:
    mark, style = _MARKS[finding.state]
    session.out.print(
        Text.assemble((f"{mark} ", style), (finding.name, "bold"), f"  {finding.detail}"),
        soft_wrap=True,
    )
    if finding.mend and finding.state != "ok":
        session.out.print(Text.assemble(("    mend  ", "dim"), finding.mend), soft_wrap=True)


COMMANDS = {"up": up, "down": down, "doctor": doctor}
