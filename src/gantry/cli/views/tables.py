"""Tables of releases, variables, tokens and the audit log."""

import json
from collections.abc import Iterable
from datetime import datetime

from rich.table import Table
from rich.text import Text

from gantry.cli.views import words
from gantry.features.accounts.bodies import TokenBody
from gantry.features.audit.bodies import AuditBody
from gantry.features.deploys.bodies import PlanBody, PlanChange
from gantry.features.releases.bodies import ReleaseBody
from gantry.features.variables.bodies import VariableBody
from gantry.kernel.units import format_size

_SIGNS = {"create": ("+", "green"), "change": ("~", "yellow"), "remove": ("-", "red")}


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in ("release", "size", "#") else "left")
    return table


def releases(bodies: Iterable[ReleaseBody], now: datetime) -> Table:
    """Releases, newest first."""
    table = _table("release", "state", "commit", "size", "went live", "address")
    for each in bodies:
        table.add_row(
            str(each.number),
            _release_state(each),
            words.commit(each.commit),
            format_size(each.size_bytes),
            words.ago(each.live_at, now) if each.live_at else "never",
            words.url(each.url),
        )
    return table


def _release_state(each: ReleaseBody) -> Text:
    if each.live:
        return Text("live", style="bold green")
    if each.state == "failed":
        return Text("failed", style="red")
    if each.can_roll_back_to:
        return Text("ready for rollback", style="cyan")
    return Text(each.state, style="dim")


def variables(bodies: Iterable[VariableBody], now: datetime) -> Table:
    """Names; the values never leave the control plane."""
    table = _table("variable", "set", "by")
    for each in bodies:
        table.add_row(each.name, words.ago(each.updated_at, now), each.updated_by)
    return table


def tokens(bodies: Iterable[TokenBody], now: datetime) -> Table:
    """API tokens."""
    table = _table("id", "label", "role", "made", "ends")
    for each in bodies:
        table.add_row(
            each.id,
            each.label,
            each.role,
            words.ago(each.created_at, now),
            words.until(each.expires_at, now),
        )
    return table


def audit(bodies: Iterable[AuditBody]) -> Table:
    """Entries of the audit log, as they come."""
    table = _table("#", "at", "who", "what", "target", "details")
    for each in bodies:
        table.add_row(
            str(each.seq),
            f"{each.at:%Y-%m-%d %H:%M:%S}",
            each.actor,
            each.action,
            each.target,
            Text(json.dumps(each.details, sort_keys=True) if each.details else "", style="dim"),
        )
    return table


def plan(body: PlanBody) -> list[Text]:
    """One line for each thing that would change."""
    shown = [_change(change) for change in body.changes]
    return shown or [Text("nothing would change")]


def _change(change: PlanChange) -> Text:
    sign, style = _SIGNS.get(change.action, (" ", "dim"))
    text = Text.assemble((f"{sign} ", f"bold {style}"), (f"{change.what:<10}", style), change.name)
    if change.before and change.after:
        text.append(f"  {change.before} → {change.after}", style="dim")
    elif change.before or change.after:
        text.append(f"  {change.after or f'was {change.before}'}", style="dim")
    return text
