"""Entries of the audit log as bodies."""

from gantry.features.audit.bodies import AuditBody
from gantry.features.audit.store import Entry


def audit_body(entry: Entry) -> AuditBody:
    """One entry."""
    return AuditBody(
        seq=entry.seq,
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        target=entry.target,
        details=dict(entry.details),
        hash=entry.hash,
    )
