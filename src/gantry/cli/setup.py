"""`gantry setup`: makes this machine a server."""

import json
from collections.abc import Iterable
from dataclasses import asdict

import rich_click as click
from rich.text import Text

from gantry.cli.command import command, json_option, pass_session
from gantry.cli.machine import show_finding
from gantry.cli.platform import Finding, SetupAnswers, SetupReport
from gantry.cli.session import Session, print_labelled
from gantry.config.setting_table import parse_domain, parse_email
from gantry.kernel.errors import UserError


@command(
    "setup",
    ("on a server; asks for the domain and the mail address", "sudo gantry setup"),
    ("in a script", "sudo gantry setup --domain apps.example.com --email ops@example.com --yes"),
    ("only look, change nothing", "sudo gantry setup --check"),
    ("without a service, where something else starts Gantry", "gantry setup --no-service"),
)
@click.option(
    "--domain", default="", help="The platform's own domain; sites are <project>.<domain>."
)
@click.option("--email", default="", help="For warnings of the certificate authority.")
@click.option(
    "--yes",
    is_flag=True,
    help="Do not ask; without --domain: as it is set, or a name from the address.",
)
@click.option("--no-service", is_flag=True, help="Write the settings file only.")
@click.option("--check", is_flag=True, help="Look at the machine and say what would be done.")
@json_option
@pass_session
def setup(
    session: Session, domain: str, email: str, yes: bool, no_service: bool, check: bool
) -> None:
    """Make this machine a server for the internet.

    Looks at DNS, ports, memory, disk, clock and kernel. Then writes the settings file and a systemd unit that starts Gantry
    with the machine and after a crash, under a user of its own. Every change is shown first. Run again, it does what is
    missing, and nothing else.
    """
    asks = not (yes or check or session.as_json)
    answers = SetupAnswers(
        domain=_domain(session, domain, asks=asks),
        email=_email(session, email, asks=asks),
        service=not no_service,
    )
    with session.progress("Looking at this machine"):
        report = session.platform.look_for_setup(answers)
    if not session.as_json:
        _show(session, report)
    refused = [finding for finding in report.findings if finding.state == "bad"]
    if check or refused or not report.changes:
        _end(session, report, refused, done=not check and not refused)
        return
    if asks and not click.confirm("Do this?", default=True, err=True):
        session.say("nothing was changed")
        session.exit(1)
    for change in report.changes:
        session.platform.set_up(answers, change)
        session.say(Text.assemble(("✓ ", "bold green"), change.detail))
    _end(session, report, refused, done=True)


def _domain(session: Session, given: str, *, asks: bool) -> str:
    settings = session.settings
    present = settings.domain if "domain" in settings.origins else ""
    if not given and (present or not asks):
        return present or session.platform.suggested_domain()
    if not given:
        suggested = session.platform.suggested_domain()
        session.say("The platform's own domain: its sites are <project>.<domain>.")
        if suggested:
            session.say(
                f"Without one of your own, {suggested} leads here for a first look.", style="dim"
            )
        given = click.prompt("Domain", default=suggested or None, err=True)
    try:
        return parse_domain(given)
    except ValueError as error:
        raise UserError("setup.bad-domain", f"{given[:100]!r} {error}", where="--domain") from None


def _email(session: Session, given: str, *, asks: bool) -> str:
    if not given and asks and not session.settings.acme_email:
        given = click.prompt(
            "Mail address for warnings of the certificate authority (may be empty)",
            default="",
            show_default=False,
            err=True,
        )
    if not given:
        return ""
    try:
        return parse_email(given.strip())
    except ValueError as error:
        raise UserError("setup.bad-email", f"{given[:100]!r} {error}", where="--email") from None


def _show(session: Session, report: SetupReport) -> None:
    for finding in report.findings:
        show_finding(session, finding)
    session.print("")
    if not report.changes:
        session.print("nothing to change")
    for change in report.changes:
        print_labelled(session.out, "  will  ", change.detail)


def _end(session: Session, report: SetupReport, refused: Iterable[Finding], *, done: bool) -> None:
    if session.as_json:
        found = {**asdict(report), "done": done}
        session.json(json.dumps(found))
    elif done:
        rows = [
            ("console", report.url),
            ("log in", "gantry open --console --print, as the user who runs Gantry or with sudo"),
            ("domains", "gantry domains"),
            ("laptop", f"gantry login {report.url}"),
        ]
        for name, what in rows:
            print_labelled(session.err, f"  {name:<8} ", what)
    names = ", ".join(finding.name for finding in refused)
    if names:
        session.say(f"first correct: {names}; nothing was changed", style="bold red")
        session.exit(1)
