"""`gantry audit`."""

import json
from collections.abc import Iterable

import rich_click as click
from rich.table import Table
from rich.text import Text

from gantry.cli.command import command, json_option, pass_session
from gantry.cli.session import Session
from gantry.cli.terminal import json_array, table
from gantry.cli.transport import path
from gantry.features.audit.bodies import AuditBody

_MIN_COLUMNS_WIDE = 120


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
        session.out.print(_table(entries, wide=session.out.width >= _MIN_COLUMNS_WIDE))


def _table(entries: Iterable[AuditBody], *, wide: bool) -> Table:
    """Entries as they come; without room for their details beside the target, these stand below it."""
    columns = ("#", "at", "who", "action", "target")
    flexible = "details" if wide else "target"
    rows = table(*columns, *(["details"] * wide), numbers=("#",), flexible=(flexible,))
    for entry in entries:
        text = json.dumps(entry.details, sort_keys=True) if entry.details else ""
        details = Text(text, style="dim")
        target = (
            entry.target
            if wide
            else Text("\n").join([Text(entry.target), *([details] * bool(text))])
        )
        rows.add_row(
            str(entry.seq),
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            entry.actor,
            entry.action,
            target,
            *([details] * wide),
        )
    return rows
