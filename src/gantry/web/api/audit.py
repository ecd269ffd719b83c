"""Who changed what, and when."""

from typing import Annotated

from fastapi import Query

from gantry.features.audit import store
from gantry.features.audit.bodies import AuditBody
from gantry.web.access import Owner
from gantry.web.api.shared import area
from gantry.web.services import Has
from gantry.web.views.audit import audit_body

router = area("audit")


@router.get("/audit", summary="Read the audit log")
async def read_audit(
    services: Has,
    _caller: Owner,
    limit: Annotated[int, Query(ge=1, le=1_000, description="At most this many.")] = 100,
) -> tuple[AuditBody, ...]:
    """The newest entries, newest first. Each entry's hash covers the one before it."""
    async with services.state.transaction() as session:
        entries = await store.latest(session, limit=limit)
    return tuple(audit_body(entry) for entry in entries)
