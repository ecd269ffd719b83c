"""What the API says of the audit log."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from gantry.features.audit.sentences import sentence_of
from gantry.kernel.bodies import Answer

if TYPE_CHECKING:
    from gantry.features.audit.store import Entry


class AuditBody(Answer):
    """One entry of the audit log."""

    seq: int
    at: datetime
    actor: str
    action: str
    target: str
    details: dict[str, Any]
    hash: str
    sentence: str = Field("", description="What was done, in words; who did it goes before.")

    @classmethod
    def of(cls, entry: "Entry") -> Self:
        """An entry as it was written."""
        return cls(
            seq=entry.seq,
            at=entry.at,
            actor=entry.actor,
            action=entry.action,
            target=entry.target,
            details=dict(entry.details),
            hash=entry.hash,
            sentence=sentence_of(entry),
        )
