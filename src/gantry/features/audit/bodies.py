"""What the API says of the audit log."""

from datetime import datetime
from typing import Any

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
