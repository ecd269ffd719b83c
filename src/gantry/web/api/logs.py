"""What instances print."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Query, Request, Response

from gantry.features.instances.bodies import LogBody
from gantry.web.access import Viewer
from gantry.web.api.shared import KnownEnvironment, KnownProject, area
from gantry.web.services import Has
from gantry.web.streams import event_stream, place
from gantry.web.views.environment_logs import EnvironmentLogs
from gantry.web.views.logs import Masks

router = area("logs")

Follow = Annotated[bool, Query(description="Keep sending new lines as server-sent events.")]


async def _logs(
    services: Has,
    _caller: Viewer,
    request: Request,
    project: KnownProject,
    environment: KnownEnvironment,
    instance: Annotated[
        str, Query(max_length=80, description="Only this instance; empty for all of them.")
    ] = "",
) -> EnvironmentLogs:
    masks = request.app.state.masks
    assert isinstance(masks, Masks)
    logs = EnvironmentLogs(services, masks, project, environment, instance)
    await logs.check()  # while the answer can still be a 404
    return logs


async def _place_if(request: Request, *, follow: Follow = False) -> AsyncIterator[None]:
    if not follow:
        yield
        return
    with place(request):
        yield


@router.get(
    "/projects/{project}/environments/{environment}/logs",
    summary="Read or follow logs",
    response_model=tuple[LogBody, ...],
)
async def read_logs(
    logs: Annotated[EnvironmentLogs, Depends(_logs)],
    _place: Annotated[None, Depends(_place_if)],
    *,
    tail: Annotated[int, Query(ge=0, le=5_000, description="Lines of each instance.")] = 200,
    follow: Follow = False,
) -> tuple[LogBody, ...] | Response:
    """The last lines of every instance of the environment. Values of its variables are masked.

    With `follow=true` the answer is an event stream: events named `log`, each a `LogBody`, first with those last
    lines, then with new ones as they come, also of instances that start meanwhile.
    """
    if follow:
        return event_stream(logs.follow(tail), logs.services)
    return await logs.tail(tail)
