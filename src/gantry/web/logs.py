"""What instances print: read, or followed as it comes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from fastapi import Depends, Query, Request, Response
from fastapi.responses import HTMLResponse

from gantry.features.instances import store
from gantry.features.instances.bodies import LogBody
from gantry.features.platform.bodies import EnvironmentBody
from gantry.features.projects import store as projects
from gantry.kernel.errors import NotFoundError
from gantry.kernel.names import API_PREFIX
from gantry.kernel.redact import Redactor
from gantry.web.access import Viewer
from gantry.web.environments import read_environment
from gantry.web.frame import EnvironmentCard, Page, frame_of
from gantry.web.noun import Noun
from gantry.web.openapi import ENVIRONMENT, KnownEnvironment, KnownProject
from gantry.web.render import render
from gantry.web.services import Has, Services
from gantry.web.streams import INTERVAL_S, Event, Follower, HasMasks, Masks, event_stream, slot

noun = Noun("logs", "What instances print.")

MAX_LINES = 5_000

Follow = Annotated[bool, Query(description="Keep sending new lines as server-sent events.")]


@dataclass(frozen=True, slots=True)
class EnvironmentLogs:
    """Reads what the instances of one environment print.

    Attributes:
        instance: only this one; empty for all.
    """

    services: Services
    masks: Masks
    project: str
    environment: str
    instance: str = ""

    async def check(self) -> None:
        """Refuse what does not exist.

        Raises:
            NotFoundError: `project.unknown`, `environment.unknown`, `instance.unknown`.
        """
        sources, _ = await self._observe()
        if self.instance and not sources:
            raise NotFoundError(
                "instance.unknown",
                f"{self.environment} of {self.project} has no instance {self.instance!r}",
                hint="gantry status lists the instances",
            )

    async def tail(self, lines: int) -> tuple[LogBody, ...]:
        """The last lines of each instance."""
        sources, redact = await self._observe()
        follower = Follower(self.services)
        return tuple([await follower.first(source, redact, lines=lines) for source in sources])

    async def follow(self, lines: int) -> AsyncIterator[Event | None]:
        """The last lines, then new ones as they come; `None` after each observation that brought nothing new."""
        follower = Follower(self.services)
        begun: set[str] = set()
        lines_now = lines
        while not self.services.closing():
            sources, redact = await self._observe()
            for source in sources:
                if source in begun:
                    body = await follower.read(source, redact)
                else:
                    # An instance that starts meanwhile is shown from its first line.
                    body = await follower.first(source, redact, lines=lines_now)
                if body.text:
                    yield "log", body
            begun.update(sources)
            lines_now = MAX_LINES
            yield None
            await self.services.clock.sleep(INTERVAL_S)

    async def _observe(self) -> tuple[tuple[str, ...], Redactor]:
        async with self.services.database.transaction() as session:
            found = await projects.get_environment(session, self.project, self.environment)
            present = await store.list_for_environments(session, (found.id,))
            redact = await self.masks.of(session, found.id, (item.release for item in present))
        wanted = (item.id for item in present if self.instance in ("", item.id))
        return tuple(wanted), redact


async def _logs(
    services: Has,
    _caller: Viewer,
    masks: HasMasks,
    project: KnownProject,
    environment: KnownEnvironment,
    instance: Annotated[
        str, Query(max_length=80, description="Only this instance; empty for all of them.")
    ] = "",
) -> EnvironmentLogs:
    logs = EnvironmentLogs(services, masks, project, environment, instance)
    await logs.check()  # while the answer can still be a 404
    return logs


async def _slot_if(request: Request, *, follow: Follow = False) -> AsyncIterator[None]:
    if not follow:
        yield
        return
    with slot(request):
        yield


@noun.api.get(
    f"{ENVIRONMENT}/logs", summary="Read or follow logs", response_model=tuple[LogBody, ...]
)
async def read_logs(
    logs: Annotated[EnvironmentLogs, Depends(_logs)],
    _slot: Annotated[None, Depends(_slot_if)],
    *,
    tail: Annotated[int, Query(ge=0, le=MAX_LINES, description="Lines of each instance.")] = 200,
    follow: Follow = False,
) -> tuple[LogBody, ...] | Response:
    """The last lines of every instance of the environment. Values of its variables are masked.

    With `follow=true` the answer is an event stream: events named `log`, each a `LogBody`, first with those last
    lines, then with new ones as they come, also of instances that start meanwhile.
    """
    if follow:
        return event_stream(logs.follow(tail), logs.services)
    return await logs.tail(tail)


@dataclass(frozen=True, slots=True)
class LogsPage(Page):
    """The logs of an environment's instances."""

    template: ClassVar[str] = "logs"
    refreshes: ClassVar[bool] = False

    card: EnvironmentCard

    @property
    def stream(self) -> str:
        """Where its lines are."""
        body: EnvironmentBody = self.card.body
        path = ENVIRONMENT.format(project=body.project, environment=body.name)
        return f"{API_PREFIX}{path}/logs?follow=true&tail=500"


@noun.console.get("/projects/{project}/{environment}/logs")
async def logs_page(
    request: Request,
    services: Has,
    caller: Viewer,
    project: KnownProject,
    environment: KnownEnvironment,
) -> HTMLResponse:
    """The environment's logs, live."""
    body = await read_environment(services, project, environment)
    page = LogsPage(EnvironmentCard.of(body))
    return render(request, page, frame_of(services, caller, here="overview"))
