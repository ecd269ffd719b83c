"""What the API says of the audit log."""

import re
from datetime import datetime
from typing import Any, Self

from gantry.features.audit.store import Entry
from gantry.kernel.bodies import Answer

_COMMIT = re.compile(r"[0-9a-f]{40}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z)")


class AuditBody(Answer):
    """One entry of the audit log."""

    seq: int
    at: datetime
    actor: str
    action: str
    target: str
    details: dict[str, Any]
    hash: str

    @property
    def details_text(self) -> str:
        """`role developer · expires at 2026-03-01 09:30`: the details for people; what is empty is left out."""
        shown = ((name, _text(value)) for name, value in self.details.items())
        return " · ".join(f"{name.replace('_', ' ')} {text}" for name, text in shown if text)

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """An entry as it was written."""
        return cls(
            seq=entry.seq,
            at=entry.at,
            actor=entry.actor,
            action=entry.action,
            target=entry.target,
            details=dict(entry.details),
            hash=entry.hash,
        )


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
    text = str(value)
    if _COMMIT.fullmatch(text):
        return text[:7]
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}" if _MOMENT.fullmatch(text) else text
