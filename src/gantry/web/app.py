"""Puts the web room together."""

from dataclasses import dataclass
from typing import Any, ClassVar

from fastapi import FastAPI, Request, Response
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from gantry import __version__
from gantry.kernel.bodies import ErrorBody
from gantry.kernel.errors import GantryError
from gantry.web import (
    accounts,
    audit,
    builds,
    crons,
    deploys,
    domains,
    environments,
    loans,
    logs,
    maintenance,
    platform,
    projects,
    releases,
    requests,
    rollouts,
    routes,
    runs,
    scales,
    settings,
    sources,
    variables,
)
from gantry.web.access import PUBLIC, Attempts, visitor_of
from gantry.web.assets import STATIC, KeptFiles
from gantry.web.errors import Guard, RenderError, answer, body_of, handlers, is_api
from gantry.web.frame import Page, frame_of
from gantry.web.headers import SecurityHeaders
from gantry.web.openapi import DESCRIPTION
from gantry.web.render import render, templates
from gantry.web.services import Services
from gantry.web.streams import Masks, Streams

# Snapshots are streamed and have a bound of their own; everything else is small.
MAX_BODY_BYTES = 4_000_000

# In the order of the API's description.
NOUNS = (
    platform.noun,
    projects.noun,
    environments.noun,
    releases.noun,
    sources.noun,
    builds.noun,
    rollouts.noun,
    routes.noun,
    maintenance.noun,
    deploys.noun,
    variables.noun,
    domains.noun,
    logs.noun,
    runs.noun,
    loans.noun,
    scales.noun,
    requests.noun,
    crons.noun,
    accounts.noun,
    audit.noun,
    settings.noun,
)


def create_app(services: Services) -> FastAPI:
    """The ASGI application: API and console."""
    refusal = _refusal(services)
    app = FastAPI(
        title="Gantry",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=[
            {"name": noun.tag, "description": noun.description}
            for noun in NOUNS
            if noun.description
        ],
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
    app.state.templates = templates(NOUNS)
    app.state.offers = tuple(noun.offers for noun in NOUNS if noun.offers is not None)
    for noun in NOUNS:
        app.include_router(noun.api)
        app.include_router(noun.console)
    app.mount("/static", KeptFiles(directory=STATIC), name="static")
    _add_openapi(app)
    # The last one added is the outermost: what the bound refuses still gets our words and headers.
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=MAX_BODY_BYTES)
    app.add_middleware(Guard, render=refusal, ids=services.ids)
    app.add_middleware(SecurityHeaders)
    return app


@dataclass(frozen=True, slots=True)
class ErrorPage(Page):
    """A refusal.

    Attributes:
        login: the caller is not known, and is told how to log in.
    """

    template: ClassVar[str] = "error"
    refreshes: ClassVar[bool] = False

    status: int
    error: ErrorBody

    @property
    def login(self) -> bool:
        return self.status == 401


def _refusal(services: Services) -> RenderError:
    async def rendered(request: Request, error: GantryError) -> Response:
        if is_api(request.url.path):
            return answer(error)
        page = ErrorPage(error.http_status, body_of(error))
        # Of a failure of our own nothing is asked that may fail as well.
        known = not page.login and page.status < 500
        caller = await visitor_of(request, services) if known else None
        return render(request, page, frame_of(services, caller), status=page.status)

    return rendered


def _add_openapi(app: FastAPI) -> None:
    @app.get("/api/openapi.json", include_in_schema=False, dependencies=[PUBLIC])
    async def openapi() -> dict[str, Any]:
        return app.openapi()
