"""What instances print: read, or followed as it comes."""

from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar

from fastapi import Depends, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import AwareDatetime

from gantry.engines.runtime.protocol import ProcessStatus
from gantry.features.instances import store
from gantry.features.instances.bodies import Line, LogBody, merged
from gantry.features.instances.levels import Level
from gantry.features.instances.model import Instance
from gantry.features.platform.bodies import EnvironmentBody
from gantry.features.projects import store as projects
from gantry.features.releases import store as releases
from gantry.kernel.clock import range_fault
from gantry.kernel.errors import NotFoundError, UserError
from gantry.kernel.names import API_PREFIX
from gantry.kernel.redact import Redactor
from gantry.web.access import Viewer
from gantry.web.environments import read_environment
from gantry.web.frame import EnvironmentCard, Page, frame_of
from gantry.web.noun import Noun
from gantry.web.openapi import ENVIRONMENT, KnownEnvironment, KnownProject
from gantry.web.render import render
from gantry.web.services import Has, Services
from gantry.web.streams import (
    INTERVAL_S,
    Event,
    Follow,
    Follower,
    FollowSlot,
    HasMasks,
    Masks,
    event_stream,
    of_lines,
)

noun = Noun("logs", "What instances print.")

MAX_LINES = 5_000
# So much of each log is read at most for one search: all that is kept of it.
_MAX_SEARCHED_BYTES = 32_000_000


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which lines are wanted.

    Attributes:
        instance: only this one; empty for all.
        process: only this one: `web`, `worker.mail`, or `mail` in short; empty for all.
        release: only instances of the release of this number.
        since, until: only what was written from, and before, this moment.
        text: only lines that have it, in capitals or not.
        level: only lines that say that they are as urgent or more; one that tells no level counts as `info`.
    """

    instance: str = ""
    process: str = ""
    release: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""
    level: Level | None = None

    @property
    def searches(self) -> bool:
        """Lines are looked for: everything that is kept is read, also of instances that are gone."""
        looked_for = (self.release, self.since, self.until, self.level)
        return bool(self.text) or any(value is not None for value in looked_for)

    def takes(self, source: LogBody) -> bool:
        """Whether a log is one of those that are wanted."""
        return (
            self.instance in ("", source.source)
            and self.process in ("", source.process, source.process.partition(".")[2])
            and self.release in (None, source.release_number)
        )

    def lines(self, body: LogBody) -> Iterator[Line]:
        """The lines of a log's part that are wanted."""
        wanted = self.text.casefold()
        for line in body.lines():
            if line.at is not None and (
                (self.since is not None and line.at < self.since)
                or (self.until is not None and line.at >= self.until)
            ):
                continue
            if self._is_urgent(line) and wanted in line.text.casefold():
                yield line

    def _is_urgent(self, line: Line) -> bool:
        return self.level is None or Level(line.level or Level.INFO).rank >= self.level.rank


async def _filter(
    instance: Annotated[
        str, Query(max_length=80, description="Only this instance; empty for all of them.")
    ] = "",
    process: Annotated[
        str, Query(max_length=80, description="Only this process: `web`, or the name of a worker.")
    ] = "",
    release: Annotated[
        int | None, Query(ge=1, description="Only of this release's number.")
    ] = None,
    since: Annotated[
        AwareDatetime | None, Query(description="Only what was written from then on.")
    ] = None,
    until: Annotated[
        AwareDatetime | None, Query(description="Only what was written before.")
    ] = None,
    grep: Annotated[
        str, Query(max_length=200, description="Only lines with this text, in capitals or not.")
    ] = "",
    level: Annotated[
        Level | None,
        Query(
            description="Only lines that say that they are as urgent or more. One that tells no level counts as `info`; one that "
            "continues another has its level."
        ),
    ] = None,
) -> LogFilter:
    if (fault := range_fault(since, until)) is not None:
        raise UserError("logs.bad-range", fault, hint="since is the earlier one of the two")
    return LogFilter(instance, process, release, since, until, grep, level)


@dataclass(frozen=True, slots=True)
class EnvironmentLogs:
    """Reads what the instances of one environment print, as far as the filter takes it."""

    services: Services
    masks: Masks
    project: str
    environment: str
    filter: LogFilter = LogFilter()

    async def check(self) -> None:
        """Refuse what does not exist.

        Raises:
            NotFoundError: `project.unknown`, `environment.unknown`, `instance.unknown`.
        """
        sources, _ = await self._observe()
        if self.filter.instance and not sources:
            raise NotFoundError(
                "instance.unknown",
                f"{self.environment} of {self.project} has no instance {self.filter.instance!r}",
                hint="gantry status lists the instances",
            )

    async def tail(self, lines: int) -> tuple[LogBody, ...]:
        """The last wanted lines of each instance; of one that is gone only where lines are looked for."""
        sources, redact = await self._observe()
        if not self.filter.searches:
            follower = Follower(self.services)
            return tuple([await self._first(follower, log, redact, lines) for log in sources])
        found = [await self._search(log, redact, lines) for log in sources]
        return tuple(body for body in found if body.text)

    async def follow(self, lines: int) -> AsyncIterator[Event | None]:
        """The last lines, then new ones as they come; `None` after each observation that brought nothing new."""
        follower = Follower(self.services)
        begun: set[str] = set()
        lines_now = lines
        while not self.services.closing():
            sources, redact = await self._observe(present=True)
            new = []
            for log in sources:
                if log.source in begun:
                    body = named(await follower.read(log.source, redact), log)
                else:
                    # An instance that starts meanwhile is shown from its first line.
                    body = await self._first(follower, log, redact, lines_now)
                new.append(of_lines(body, tuple(self.filter.lines(body))))
            for body in merged(new):
                yield "log", body
            begun.update(log.source for log in sources)
            lines_now = MAX_LINES
            yield None
            await self.services.clock.sleep(INTERVAL_S)

    async def _first(
        self, follower: Follower, log: LogBody, redact: Redactor, lines: int
    ) -> LogBody:
        return named(await follower.first(log.source, redact, lines=lines), log)

    async def _search(self, log: LogBody, redact: Redactor, lines: int) -> LogBody:
        """The last wanted lines of everything that is kept of a log."""
        runtime, since = self.services.runtime, self.filter.since
        begin = await runtime.find_in_log(log.source, since) if since is not None else 0
        follower = Follower(self.services, {log.source: begin})
        kept: deque[Line] = deque(maxlen=lines)
        read = 0
        while read < _MAX_SEARCHED_BYTES:
            body = await follower.read(log.source, redact)
            if not body.text:
                break
            read += len(body.text)
            kept.extend(self.filter.lines(body))
            last = body.times[-1].at if body.times else None
            if self.filter.until is not None and last is not None and last >= self.filter.until:
                break
        whole = log.model_copy(update={"text": "\n"})
        return of_lines(whole, tuple(kept))

    async def _observe(self, *, present: bool = False) -> tuple[tuple[LogBody, ...], Redactor]:
        """The logs that are wanted, without their text.

        Parameters:
            present: only those of instances that are there.
        """
        async with self.services.database.transaction() as session:
            found = await projects.get_environment(session, self.project, self.environment)
            there = await store.list_for_environments(session, (found.id,))
            gone = [] if present or not self.filter.searches else await self._gone(there)
            named_releases = {instance.release for instance in there}
            named_releases |= {status.labels["release"] for status in gone}
            numbers = await releases.numbers(session, named_releases)
            redact = await self.masks.of(session, found.id, numbers)
        logs = [
            LogBody(
                source=instance.id,
                text="",
                next_offset=0,
                process=instance.process,
                slot=instance.slot,
                release_number=numbers.get(instance.release),
            )
            for instance in there
        ]
        logs += [
            LogBody(
                source=status.id,
                text="",
                next_offset=0,
                process=status.labels["process"],
                release_number=numbers.get(status.labels["release"]),
            )
            for status in gone
        ]
        return tuple(log for log in logs if self.filter.takes(log)), redact

    async def _gone(self, there: Iterable[Instance]) -> list[ProcessStatus]:
        """Processes of instances that are no more, whose logs are still kept."""
        present = {instance.id for instance in there}
        mine = {"project": self.project, "environment": self.environment}
        return [
            status
            for name, status in sorted((await self.services.runtime.statuses()).items())
            if name not in present
            and status.labels.get("process")
            and mine.items() <= status.labels.items()
        ]


def named(body: LogBody, log: LogBody) -> LogBody:
    """The body with the names of the log that it is a part of."""
    names = {"process": log.process, "slot": log.slot, "release_number": log.release_number}
    return body.model_copy(update=names)


async def _logs(
    services: Has,
    _caller: Viewer,
    masks: HasMasks,
    project: KnownProject,
    environment: KnownEnvironment,
    wanted: Annotated[LogFilter, Depends(_filter)],
) -> EnvironmentLogs:
    logs = EnvironmentLogs(services, masks, project, environment, wanted)
    await logs.check()  # while the answer can still be a 404
    return logs


@noun.api.get(
    f"{ENVIRONMENT}/logs", summary="Read or follow logs", response_model=tuple[LogBody, ...]
)
async def read_logs(
    logs: Annotated[EnvironmentLogs, Depends(_logs)],
    _slot: FollowSlot,
    *,
    tail: Annotated[int, Query(ge=0, le=MAX_LINES, description="Lines of each instance.")] = 200,
    follow: Follow = False,
) -> tuple[LogBody, ...] | Response:
    """The last lines of every instance of the environment, with their times. Values of its variables are masked.

    With `grep`, `level`, `since`, `until` or `release` everything that is kept is searched, also of instances that are gone:
    their logs are kept for three days.

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
