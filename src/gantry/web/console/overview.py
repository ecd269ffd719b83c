"""The first page."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from gantry.web.access import Viewer
from gantry.web.console.contexts import OverviewPage
from gantry.web.console.frame import frame_of, in_order
from gantry.web.console.render import render
from gantry.web.services import Has
from gantry.web.views.status import status_body

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/")
async def overview(request: Request, services: Has, caller: Viewer) -> HTMLResponse:
    """Every project and environment."""
    status = await status_body(services, probe=False)
    page = OverviewPage(
        projects=tuple((project, in_order(project.environments)) for project in status.projects),
        parts=status.parts,
        warnings=status.warnings,
    )
    return render(request, "overview", page, frame_of(services, caller, here="overview"))
