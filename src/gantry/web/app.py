"""Puts the web room together."""

from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from gantry import __version__
from gantry.kernel.errors import GantryError
from gantry.web.access import PUBLIC
from gantry.web.api import (
    accounts,
    audit,
    cache,
    deploys,
    logs as log_api,
    platform,
    projects,
    rollouts,
    sources,
    variables,
)
from gantry.web.assets import STATIC
from gantry.web.attempts import Attempts
from gantry.web.console import (
    actions,
    audit as audit_page,
    deploy as deploy_page,
    environment,
    overview,
    session,
)
from gantry.web.console.contexts import ErrorPage
from gantry.web.console.frame import frame_of
from gantry.web.console.render import render
from gantry.web.errors import Guard, RenderError, answer, handlers, is_api
from gantry.web.files import KeptFiles
from gantry.web.headers import SecurityHeaders
from gantry.web.openapi import DESCRIPTION, TAGS
from gantry.web.services import Services
from gantry.web.streams import Streams
from gantry.web.views.logs import Masks

# Snapshots are streamed and have a bound of their own; everything else is small.
LARGEST_BODY_BYTES = 4_000_000
_PAGES = (overview, environment, deploy_page, audit_page, session, actions)
_AREAS = (
    platform,
    projects,
    sources,
    deploys,
    rollouts,
    cache,
    variables,
    log_api,
    accounts,
    audit,
)


def create_app(services: Services) -> FastAPI:
    """The ASGI application: API and console."""
    refusal = _refusal(services)
    app = FastAPI(
        title="Gantry",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        exception_handlers=handlers(refusal),
        separate_input_output_schemas=False,
    )
    app.state.services = services
    app.state.attempts = Attempts(services.clock)
    app.state.streams = Streams()
    app.state.masks = Masks(services)
    for room in (*_AREAS, *_PAGES):
        app.include_router(room.router)
    app.mount("/static", KeptFiles(directory=STATIC), name="static")
    _add_openapi(app)
    # The last one added is the outermost: what the bound refuses still gets our words and headers.
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=LARGEST_BODY_BYTES)
    app.add_middleware(Guard, render=refusal, ids=services.ids)
    app.add_middleware(SecurityHeaders)
    return app


def _refusal(services: Services) -> RenderError:
    def rendered(request: Request, error: GantryError) -> Response:
        if is_api(request.url.path):
            return answer(error)
        page = ErrorPage.of(error)
        return render(request, "error", page, frame_of(services), status=page.status)

    return rendered


def _add_openapi(app: FastAPI) -> None:
    @app.get("/api/openapi.json", include_in_schema=False, dependencies=[PUBLIC])
    async def openapi() -> dict[str, Any]:
        return app.openapi()
