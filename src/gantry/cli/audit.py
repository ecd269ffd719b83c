"""`gantry audit`."""

import re
from collections.abc import Iterable
from datetime import datetime

import rich_click as click
from rich.text import Text

from gantry.cli.command import command, json_option, pass_session
from gantry.cli.listing import Listing
from gantry.cli.session import Session
from gantry.cli.terminal import json_array, printable
from gantry.cli.transport import path
from gantry.features.audit.bodies import AuditBody

_COMMIT = re.compile(r"[0-9a-f]{40}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z)")


@command(
    "audit",
    ("the latest changes", "gantry audit"),
    (
        "only deploys",
        "gantry audit -n 1000 --json | jq '.[] | select(.action[:6] == \"deploy\")'",
    ),
)
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(1, 1_000),
    metavar="NUMBER",
    default=50,
    show_default=True,
    help="How many entries to show.",
)
@json_option
@pass_session
def audit(session: Session, limit: int) -> None:
    """Show who changed what, newest first.

    Each entry carries a hash that covers the entry before it: none can be altered without a trace.
    """
    entries = session.api.get(tuple[AuditBody, ...], path("audit", limit=limit))
    if session.as_json:
        session.json(json_array(entries))
    else:
        session.show(_table(entries))


def _table(entries: Iterable[AuditBody]) -> Listing:
    """Entries as they come."""
    columns = ("#", "at", "who", "action", "target", "details")
    rows = Listing(*columns, numbers=("#",), flexible=("details",))
    for entry in entries:
        rows.add_row(
            str(entry.seq),
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            entry.actor,
            entry.action,
            entry.target,
            Text(printable(_worded(entry)), style="dim"),
        )
    return rows


def _worded(entry: AuditBody) -> str:
    """`role developer · expires at 2026-03-01 09:30`: the details for people; what is empty is left out."""
    texts = ((name, _text(value)) for name, value in entry.details.items())
    return " · ".join(f"{name.replace('_', ' ')} {text}" for name, text in texts if text)


def _text(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return ""
        case list():
            return ", ".join(map(_text, value))
        case dict():
            return ", ".join(f"{name} {_text(inner)}" for name, inner in value.items())
        case _:
            return _short(str(value))


def _short(text: str) -> str:
    if _COMMIT.fullmatch(text):
        return text[:7]
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}" if _MOMENT.fullmatch(text) else text
