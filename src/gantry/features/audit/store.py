"""Appends to and verifies the audit log.

Each entry's hash covers the entry and the hash before it, so that an entry cannot be altered or removed
without breaking every later one.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gantry.engines.database.protocol import Session
from gantry.kernel.errors import IntegrityError

_GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One change: who did what to what, and when."""

    seq: int
    at: datetime
    actor: str
    action: str
    target: str
    details: Mapping[str, Any]
    hash: str


def entry_hash(previous: str, entry: Mapping[str, Any]) -> str:
    """SHA-256, hex, over the previous hash and the canonical JSON of the entry without its own hash."""
    body = json.dumps(
        {key: entry[key] for key in ("seq", "actor", "action", "target", "details")}
        | {"at": entry["at"].isoformat()},
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(f"{previous}{body}".encode()).hexdigest()


async def record(
    session: Session,
    *,
    at: datetime,
    actor: str,
    action: str,
    target: str,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Append an entry inside the caller's transaction, so that a change and its entry are one."""
    # Entries must form one chain: writers queue here until the transaction before them has ended.
    await session.execute("LOCK TABLE audit IN EXCLUSIVE MODE")
    last = await session.one("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
    entry: dict[str, Any] = {
        "seq": last["seq"] + 1 if last else 1,
        "at": at,
        "actor": actor,
        "action": action,
        "target": target,
        "details": dict(details or {}),
    }
    await session.execute(
        """INSERT INTO audit (seq, at, actor, action, target, details, hash)
           VALUES (%(seq)s, %(at)s, %(actor)s, %(action)s, %(target)s, %(details_json)s, %(hash)s)""",
        {
            **entry,
            "details_json": json.dumps(entry["details"]),
            "hash": entry_hash(last["hash"] if last else _GENESIS, entry),
        },
    )


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries are wanted; what is empty does not matter.

    Attributes:
        actor: who did it.
        subjects: what the action begins with, before its dot.
        without: actions that are left out.
        target: a part of what was changed.
        before: only those older than the entry of this number.
    """

    actor: str = ""
    subjects: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    target: str = ""
    before: int | None = None


async def latest(
    session: Session, wanted: EntryFilter | None = None, *, limit: int = 100
) -> tuple[Entry, ...]:
    """The newest entries of those that are wanted, newest first."""
    wanted = wanted or EntryFilter()
    rows = await session.rows(
        """SELECT seq, at, actor, action, target, details, hash FROM audit
           WHERE (%(actor)s = '' OR actor = %(actor)s)
             AND (%(subjects)s::text[] = '{}' OR split_part(action, '.', 1) = ANY(%(subjects)s))
             AND NOT action = ANY(%(without)s)
             AND strpos(lower(target), lower(%(target)s)) > 0
             AND (%(before)s::bigint IS NULL OR seq < %(before)s)
           ORDER BY seq DESC LIMIT %(limit)s""",
        {
            "actor": wanted.actor,
            "subjects": list(wanted.subjects),
            "without": list(wanted.without),
            "target": wanted.target,
            "before": wanted.before,
            "limit": limit,
        },
    )
    return tuple(Entry(**row) for row in rows)


async def list_actors(session: Session, *, limit: int = 200) -> tuple[str, ...]:
    """Everybody who has changed something, by name."""
    rows = await session.rows(
        "SELECT DISTINCT actor FROM audit ORDER BY actor LIMIT %(limit)s", {"limit": limit}
    )
    return tuple(row["actor"] for row in rows)


async def verify(session: Session) -> int:
    """Check the whole chain; the number of entries.

    Raises:
        IntegrityError: `audit.broken` naming the first entry that does not fit.
    """
    previous = _GENESIS
    rows = await session.rows(
        "SELECT seq, at, actor, action, target, details, hash FROM audit ORDER BY seq"
    )
    for position, row in enumerate(rows, start=1):
        if row["seq"] != position or row["hash"] != entry_hash(previous, row):
            raise IntegrityError(
                "audit.broken",
                f"audit entry {row['seq']} is not what was written",
                hint="compare with a backup: an entry was altered or removed here",
            )
        previous = row["hash"]
    return len(rows)
