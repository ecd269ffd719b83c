"""Requests of visitors: looked for, followed as they come, and a page of the console."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from fastapi import Depends, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import AwareDatetime

from gantry.features.requests import RequestBody, RequestFilter, RequestReader
from gantry.web.access import Viewer
from gantry.web.frame import Page, frame_of, path_of
from gantry.web.noun import Noun
from gantry.web.openapi import ENVIRONMENT, KnownEnvironment, KnownProject
from gantry.web.render import render
from gantry.web.services import Has, Services
from gantry.web.streams import Event, Follow, FollowSlot, event_stream

noun = Noun("requests", "Requests of visitors, as the edge has logged them.")

MAX_REQUESTS = 1_000
_SHOWN = 200
# The log is written once a second.
_INTERVAL_S = 1.0


async def _filter(
    status: Annotated[
        list[str] | None,
        Query(
            max_length=20,
            description="Only these: `404`, `5xx`; `0` is no answer. May be repeated.",
        ),
    ] = None,
    path: Annotated[
        str, Query(max_length=300, description="Only this path; `*` is anything.")
    ] = "",
    method: Annotated[str, Query(max_length=20, description="Only this method.")] = "",
    release: Annotated[
        int | None, Query(ge=1, description="Only of this release's number.")
    ] = None,
    slower_ms: Annotated[
        int | None, Query(ge=0, description="Only those that took longer.")
    ] = None,
    since: Annotated[
        AwareDatetime | None, Query(description="Only those that began from then on.")
    ] = None,
    until: Annotated[
        AwareDatetime | None, Query(description="Only those that began before.")
    ] = None,
) -> RequestFilter:
    wanted = RequestFilter(tuple(status or ()), path, method, release, slower_ms, since, until)
    wanted.check()
    return wanted


Wanted = Annotated[RequestFilter, Depends(_filter)]


def _reader(services: Services) -> RequestReader:
    return RequestReader(services.database, services.edge, services.host_names)


@noun.api.get(
    f"{ENVIRONMENT}/requests",
    summary="Look for requests, or follow them",
    response_model=tuple[RequestBody, ...],
)
async def read_requests(
    services: Has,
    _caller: Viewer,
    project: KnownProject,
    environment: KnownEnvironment,
    wanted: Wanted,
    _slot: FollowSlot,
    *,
    limit: Annotated[int, Query(ge=1, le=MAX_REQUESTS, description="The last so many.")] = 100,
    follow: Follow = False,
) -> tuple[RequestBody, ...] | Response:
    """The last requests of the environment's visitors that have ended, in the order of their beginning: some 40,000 of
    all environments are kept. Queries are left out of paths.

    With `follow=true` the answer is an event stream: events named `request`, each a `RequestBody`, first those, then
    new ones within a second of their end.
    """
    if follow:
        events = follow_requests(services, project, environment, wanted, limit=limit)
        return event_stream(events, services)
    return (await _reader(services).read(project, environment, wanted)).requests[-limit:]


async def follow_requests(
    services: Services, project: str, environment: str, wanted: RequestFilter, *, limit: int
) -> AsyncIterator[Event | None]:
    """The last requests, then new ones within a second; `None` after each look."""
    reader = _reader(services)
    part = await reader.read(project, environment, wanted)
    bodies = part.requests[-limit:]
    while not services.closing():
        for body in bodies:
            yield "request", body
        yield None
        await services.clock.sleep(_INTERVAL_S)
        part = await reader.read(project, environment, wanted, cursor=part.cursor)
        bodies = part.requests


@dataclass(frozen=True, slots=True)
class RequestsPage(Page):
    """The last requests of an environment.

    Attributes:
        status, asked_path: what is looked for.
        query: of the page's address, for its refreshes.
    """

    template: ClassVar[str] = "requests"

    project: str
    environment: str
    path: str
    status: str
    asked_path: str
    query: str
    requests: tuple[RequestBody, ...]


@noun.console.get("/projects/{project}/{environment}/requests")
async def requests_page(
    request: Request,
    services: Has,
    caller: Viewer,
    project: KnownProject,
    environment: KnownEnvironment,
    status: Annotated[str, Query(max_length=20)] = "",
    path: Annotated[str, Query(max_length=300)] = "",
) -> HTMLResponse:
    """The last requests, live, with a search by status and path."""
    wanted = RequestFilter(statuses=(status,) if status else (), path=path)
    part = await _reader(services).read(project, environment, wanted)
    page = RequestsPage(
        project=project,
        environment=environment,
        path=path_of(project, environment),
        status=status,
        asked_path=path,
        query=request.url.query,
        requests=part.requests[: -_SHOWN - 1 : -1],
    )
    return render(request, page, frame_of(services, caller, here="overview"))
