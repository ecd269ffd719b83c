"""What the API says of the audit log."""

from datetime import datetime
from typing import Any, Self

from gantry.features.audit.store import Entry
from gantry.kernel.bodies import Answer


class AuditBody(Answer):
    """One entry of the audit log."""

    seq: int
    at: datetime
    actor: str
    action: str
    target: str
    details: dict[str, Any]
    hash: str

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
