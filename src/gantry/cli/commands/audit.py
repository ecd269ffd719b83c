"""`gantry audit`."""

import rich_click as click

from gantry.cli.command import command, json_option, pass_session
from gantry.cli.session import Session
from gantry.cli.views import documents, tables


@command(
    "audit",
    ("who changed what lately", "gantry audit"),
    (
        "only deploys",
        "gantry audit --limit 1000 --json | jq '.[] | select(.action | startswith(\"deploy\"))'",
    ),
)
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(1, 1_000),
    default=50,
    show_default=True,
    help="At most this many.",
)
@json_option
@pass_session
def audit(session: Session, limit: int) -> None:
    """Show who changed what, newest first.

    Each entry's hash covers the one before it, so that none can be changed unseen.
    """
    entries = session.api.audit(limit)
    if session.as_json:
        session.json(documents.array(entries))
    else:
        session.out.print(tables.audit(entries))


COMMANDS = {"audit": audit}
