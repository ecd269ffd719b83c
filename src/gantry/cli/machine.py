"""`gantry up`, `down`, `doctor` and `version`: Gantry on this machine."""

import json
import platform
from dataclasses import asdict
from datetime import datetime, timedelta

import rich_click as click
from rich.text import Text

from gantry import __version__
from gantry.cli.command import command, json_option, pass_session
from gantry.cli.folder import PRODUCTION
from gantry.cli.listing import Listing
from gantry.cli.platform import Finding
from gantry.cli.session import Session, print_labelled
from gantry.cli.transport import path
from gantry.features.platform.bodies import EnvironmentBody, HealthBody, ProjectBody
from gantry.features.platform.capabilities import CAPABILITIES, by_maturity
from gantry.kernel.errors import Cancelled, ConflictError, GantryError
from gantry.kernel.units import format_ago, format_duration

_LATELY = timedelta(minutes=10)
_MARKS = {"ok": ("✓", "green"), "warn": ("!", "bold yellow"), "bad": ("✗", "bold red")}


@command(
    "up",
    ("start Gantry on this machine", "gantry up"),
    ("on other ports", "GANTRY_HTTP_PORT=9080 GANTRY_HTTPS_PORT=9443 gantry up"),
    ("after a change of the settings, while sites go on", "gantry up --restart"),
    ("under systemd, as gantry setup arranges it", "gantry up --foreground"),
)
@click.option("--foreground", is_flag=True, help="Stay in the foreground until stopped.")
@click.option(
    "--restart", is_flag=True, help="Start the control plane again if it runs; sites go on."
)
@pass_session
def up(session: Session, foreground: bool, restart: bool) -> None:
    """Start Gantry: the control plane, the edge and the databases.

    Returns when the control plane answers. Instances that kept running are found again, not restarted. A control plane of
    another version is replaced, while sites go on; otherwise it does no harm when Gantry is running already.
    """
    if foreground:
        session.platform.serve()
        return
    began_s = session.clock.monotonic_s()
    try:
        with session.progress("Starting Gantry") as progress:
            warnings = session.platform.start(progress, restart=restart)
    except ConflictError as error:
        if error.code != "control.running":
            raise
        session.say(error.message)
    else:
        elapsed = format_duration(session.clock.monotonic_s() - began_s)
        session.say(Text.assemble(("✓ ", "bold green"), f"Gantry started in {elapsed}"))
        for warning in warnings:
            session.say(Text.assemble(("! ", "bold yellow"), warning.detail))
            session.say(f"  {warning.fix}")
    _next_steps(session)


def _next_steps(session: Session) -> None:
    settings = session.settings
    rows = [
        ("console", settings.url(settings.console_host)),
        ("log in", "gantry open --console"),
        ("deploy", "gantry init && gantry deploy   (in a project's folder)"),
        ("inspect", "gantry status"),
    ]
    for name, what in rows:
        print_labelled(session.err, f"  {name:<8} ", what)


@command(
    "down",
    ("stop Gantry and everything it runs", "gantry down"),
    ("without being asked", "gantry down --yes"),
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_session
def down(session: Session, yes: bool) -> None:
    """Stop Gantry and everything it runs.

    That includes the instances of every project: asks first on a terminal while production is live, or something live was
    asked for in the last ten minutes. It works even when the control plane is dead. Databases are shut down cleanly and
    all data is kept: gantry up brings everything back.
    """
    if not yes and session.err.is_terminal:
        _ask_before_end(session)
    with session.progress("Stopping Gantry") as progress:
        session.platform.stop(progress)
    home = str(session.settings.home)
    session.say(Text.assemble(("✓ ", "bold green"), "Gantry stopped. Data is kept in ", home))


def _ask_before_end(session: Session) -> None:
    """Ask where visitors would lose something.

    Raises:
        Cancelled: `cli.declined`.
    """
    try:
        projects = session.api.get(tuple[ProjectBody, ...], path("projects"))
    except GantryError:
        return  # it must work where nothing answers
    losses = [
        loss
        for project in projects
        for environment in project.environments
        if (loss := _loss(environment, session.clock.now()))
    ]
    if not losses:
        return
    for loss in losses:
        session.say(f"! {loss}", style="yellow")
    if not click.confirm("Stop it for all visitors?", default=False, err=True):
        raise Cancelled("cli.declined", "nothing was stopped")


def _loss(environment: EnvironmentBody, now: datetime) -> str:
    """What visitors lose with an environment; empty where nobody would notice."""
    if environment.live is None:
        return ""
    asked = environment.asked_at is not None and now - environment.asked_at < _LATELY
    if environment.name != PRODUCTION and not asked:
        return ""
    what = f"{environment.name} of {environment.project} is live: {environment.url}"
    if asked and environment.asked_at is not None:
        what += f", last asked for {format_ago(environment.asked_at, now)}"
    return what


@command(
    "doctor",
    ("check this machine before the first gantry up", "gantry doctor"),
    (
        "only what is wrong, for a program",
        "gantry doctor --json | jq '.[] | select(.state != \"ok\")'",
    ),
)
@json_option
@pass_session
def doctor(session: Session) -> None:
    """Check that this machine has what Gantry needs.

    Says how to fix what is wrong, and changes nothing. Ends with exit code 1 when something would keep Gantry from
    working.
    """
    findings = session.platform.doctor()
    if session.as_json:
        session.json(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            show_finding(session, finding)
    if any(finding.state == "bad" for finding in findings):
        session.exit(1)


def show_finding(session: Session, finding: Finding) -> None:
    """What a check has found, and what to do about it."""
    mark, style = _MARKS[finding.state]
    session.print(Text.assemble((f"{mark} ", style), (finding.name, "bold"), f"  {finding.detail}"))
    if finding.fix and finding.state != "ok":
        print_labelled(session.out, "    fix  ", finding.fix)


@command(
    "version",
    ("of this program and of the control plane", "gantry version"),
    ("what may be relied on", "gantry version --features"),
    ("for a program", "gantry version --json"),
)
@click.option(
    "--features",
    is_flag=True,
    help="Show instead what this version can do, and how far each capability may be relied on.",
)
@json_option
@pass_session
def version(session: Session, features: bool) -> None:
    """Show the versions of this program and of the control plane."""
    if features:
        _show_features(session)
        return
    python, home = platform.python_version(), str(session.settings.home)
    control = _control_version(session)
    if session.as_json:
        found = {
            "version": __version__,
            "python": python,
            "control_plane": control or None,
            "home": home,
        }
        session.json(json.dumps(found))
        return
    session.print(f"gantry {__version__}, Python {python}")
    session.print(f"control plane {control or 'is not answering'}")
    session.print(f"home {home}")


def _show_features(session: Session) -> None:
    if session.as_json:
        session.json(json.dumps([asdict(capability) for capability in CAPABILITIES]))
        return
    for maturity, capabilities in by_maturity():
        session.print(Text.assemble((maturity, "bold"), (f"  {maturity.meaning}", "dim")))
        rows = Listing("capability", "what it does", flexible=("what it does",), headers=False)
        for capability in capabilities:
            rows.add_row(f"  {capability.name}", capability.sentence)
        session.show(rows)
        session.print("")


def _control_version(session: Session) -> str:
    try:
        return session.api.get(HealthBody, path("health")).version
    except GantryError:
        return ""  # this command is for finding out, also when nothing runs
