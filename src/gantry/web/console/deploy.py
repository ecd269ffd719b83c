"""The page of a deploy."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from gantry.features.deploys import store
from gantry.kernel.names import API_PREFIX
from gantry.web.access import Viewer
from gantry.web.console.contexts import DeployPage
from gantry.web.console.frame import frame_of
from gantry.web.console.render import render
from gantry.web.services import Has
from gantry.web.views.deploys import deploy_body
from gantry.web.views.reader import Reader

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

# After its switch a deploy can only be followed by a rollback.
_BEFORE_SWITCH = (
    "source",
    "build",
    "test",
    "release",
    "migrate",
    "start",
    "healthy",
    "smoke",
    "rollout",
)


@router.get("/deploys/{deploy}")
async def deploy_page(request: Request, services: Has, caller: Viewer, deploy: str) -> HTMLResponse:
    """One deploy, live."""
    async with services.state.transaction() as session:
        body = await deploy_body(Reader(services, session), await store.get(session, deploy))
    frame = frame_of(services, caller, here="overview")
    stoppable = body.state == "queued" or (body.state == "active" and body.step in _BEFORE_SWITCH)
    page = DeployPage(
        deploy=body,
        stream=f"{API_PREFIX}/deploys/{body.id}/events",
        may_cancel=frame.may_change and stoppable and not body.cancel_requested,
    )
    return render(request, "deploy", page, frame)
