"""`gantry upgrade`: another version of Gantry takes over."""

import json
from dataclasses import asdict

import rich_click as click
from rich.text import Text

from gantry.cli.command import command, json_option, pass_session
from gantry.cli.machine import show_finding
from gantry.cli.platform import UpgradeReport
from gantry.cli.session import Session, print_labelled
from gantry.kernel.errors import Cancelled


@command(
    "upgrade",
    ("from where it was installed from", "sudo gantry upgrade"),
    ("from a wheel, or a folder with the source", "sudo gantry upgrade ./gantry-0.2.0-py3-none-any.whl"),
    ("to a tag of a repository", "sudo gantry upgrade git+https://git.example.com/gantry@v0.2.0"),
    ("only install it beside this one and check it", "sudo gantry upgrade --check"),
)  # fmt: skip
@click.argument("source", required=False, default="")
@click.option("--check", is_flag=True, help="Install it beside this one, look at it, delete it.")
@click.option("--again", is_flag=True, help="Also where the version is the same.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
@pass_session
def upgrade(session: Session, source: str, check: bool, again: bool, yes: bool) -> None:
    """Replace Gantry by another version; sites go on meanwhile.

    SOURCE is a wheel, a folder, an address or a version; without it the other version comes from where this one came from.
    It is installed beside this one and looked at. Then the control plane ends, the two change places, and the new one
    starts. Where it does not come up the version before runs again, with its database as it was.
    """
    report = session.platform.look_for_upgrade(source, session.cwd)
    _show(session, report)
    if report.refused:
        _end(session, report, done=False)
        return
    with session.progress("Installing") as progress:
        report = session.platform.install_beside(source, session.cwd, progress, again=again)
    _show(session, report)
    if check or report.refused:
        session.platform.forget_upgrade()
        _end(session, report, done=False)
        return
    if not (yes or session.as_json) and not _confirmed(report):
        session.platform.forget_upgrade()
        raise Cancelled("cli.declined", "nothing was changed")
    with session.progress("Upgrading") as progress:
        session.platform.hand_over(progress)
    _end(session, report, done=True)


def _confirmed(report: UpgradeReport) -> bool:
    what = f"Upgrade from {report.version} to {report.next_version}?"
    return click.confirm(what, default=True, err=True)


def _show(session: Session, report: UpgradeReport) -> None:
    if session.as_json:
        return
    if not report.next_version:
        print_labelled(session.out, "  from  ", report.source)
    for finding in report.findings:
        show_finding(session, finding)


def _end(session: Session, report: UpgradeReport, *, done: bool) -> None:
    if session.as_json:
        session.json(json.dumps({**asdict(report), "done": done}))
    elif done:
        what = f"{report.version} → {report.next_version}"
        how = "sites went on" if report.runs else "gantry up starts it"
        session.say(Text.assemble(("✓ ", "bold green"), f"upgraded {what}; {how}"))
    elif not report.refused:
        session.say("it would work; nothing was changed")
    if report.refused:
        session.say(
            f"first correct: {', '.join(report.refused)}; nothing was changed", style="bold red"
        )
        session.exit(1)
