"""The page of the audit log."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from gantry.features.audit import store
from gantry.kernel.errors import IntegrityError
from gantry.web.access import Owner
from gantry.web.console.contexts import AuditPage
from gantry.web.console.frame import frame_of
from gantry.web.console.render import render
from gantry.web.services import Has
from gantry.web.views.audit import audit_body

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/audit")
async def audit_page(request: Request, services: Has, caller: Owner) -> HTMLResponse:
    """The newest entries, and whether the whole log is as it was written."""
    total, fault = 0, ""
    async with services.state.transaction() as session:
        entries = await store.latest(session, limit=200)
        try:
            total = await store.verify(session)
        except IntegrityError as error:
            fault = error.message
    page = AuditPage(
        entries=tuple(audit_body(entry) for entry in entries),
        total=total,
        intact=not fault,
        fault=fault,
    )
    return render(request, "audit", page, frame_of(services, caller, here="audit"))
