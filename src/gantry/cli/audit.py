"""`gantry audit`."""

from collections.abc import Iterable

import rich_click as click

from gantry.cli.command import command, json_option, pass_session
from gantry.cli.listing import Listing
from gantry.cli.session import Session
from gantry.cli.terminal import json_array, printable
from gantry.cli.transport import path
from gantry.features.audit.bodies import AuditBody


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
    rows = Listing("#", "at", "who", "what", numbers=("#",), flexible=("what",))
    for entry in entries:
        rows.add_row(
            str(entry.seq),
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            entry.actor,
            printable(entry.sentence),
        )
    return rows
