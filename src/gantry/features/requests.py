"""Requests of visitors to an environment, as the edge has logged them: which, how they were answered, and why not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Self

from pydantic import Field

from gantry.engines.database.protocol import Database
from gantry.engines.edge.protocol import Edge, LoggedRequest
from gantry.features.projects import store as projects
from gantry.features.projects.host_names import HostNames
from gantry.features.releases import store as releases
from gantry.kernel.bodies import Answer
from gantry.kernel.clock import range_fault
from gantry.kernel.errors import UserError

# Envoy's flag -> what happened. https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage
_REASONS = {
    "DC": "the visitor went away",
    "UF": "no instance took the connection",
    "UH": "no instance was healthy",
    "UC": "the instance closed the connection",
    "UR": "the instance reset the request",
    "UT": "the instance did not answer in time",
    "SI": "nothing was sent for too long",
    "URX": "every try failed",
    "NR": "there is no such site",
    "NC": "there is no such site",
    "UO": "too many requests at once",
    "UMSDR": "it lasted longer than a request may",
    "IH": "the request had a header that is not allowed",
    "DPE": "the request was not valid HTTP",
    "UPE": "the instance's answer was not valid HTTP",
    "LR": "the request was reset",
    "DT": "it lasted too long",
    "OM": "the edge had too little memory",
    "RL": "too many requests",
}
# The edge's own code of a reason -> what happened, where Envoy has no flag for it.
_REFUSALS = {
    "edge.limited": "more often than a limit of gantry.toml allows",
    "edge.too-many-at-once": "the visitor had too many requests open at once",
    "edge.misdirected": "the connection's certificate was for another name",
    "edge.headers-too-large": "the address and headers were too long",
}
_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")


class RequestBody(Answer):
    """A request of a visitor, once it has ended."""

    id: str = Field(description="Its identity: the header `x-request-id` that the product gets.")
    at: datetime = Field(description="When it began.")
    host: str
    method: str
    path: str = Field(
        description="Without the query, which may hold what only the visitor should know."
    )
    status: int = Field(description="What the visitor got; 0 when they went away before an answer.")
    duration_ms: int
    size_bytes: int
    release: str = Field(description="Identity of the release that answered; empty when none did.")
    release_number: int | None
    cache: str = Field(
        "", description="What the edge's cache did: `hit`, `miss`; empty where it was not asked."
    )
    attempts: int = Field(description="How often an instance was asked.")
    reason: str = Field(
        "", description="Why the edge answered itself, or the request was cut; else empty."
    )

    @classmethod
    def of(cls, request: LoggedRequest, numbers: Mapping[str, int]) -> Self:
        """A logged request."""
        return cls(
            id=request.request_id,
            at=request.at,
            host=request.host,
            method=request.method,
            path=request.path,
            status=request.status,
            duration_ms=request.duration_ms,
            size_bytes=request.size_bytes,
            release=request.release if request.release in numbers else "",
            release_number=numbers.get(request.release),
            cache=request.cache,
            attempts=request.attempts,
            reason=reason_of(request),
        )


def reason_of(request: LoggedRequest) -> str:
    """Why the edge answered a request itself, or it was cut, in words; empty for an answer of the product's."""
    if request.reason in _REFUSALS:
        return _REFUSALS[request.reason]
    reasons = [_REASONS[flag] for flag in request.flags.split(",") if flag in _REASONS]
    if reasons:
        return ", ".join(dict.fromkeys(reasons))
    # What the edge refuses has no flag, but details: `http1.unexpected_underscore`.
    answered_itself = request.status >= 400 and not request.release and request.details
    return request.details.replace("_", " ") if answered_itself else ""


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests are wanted; what is empty does not matter.

    Attributes:
        statuses: `500`, or a class: `5xx`; `0` for those without an answer.
        path: with `*` for anything.
        method: such as `POST`.
        release: number of the release that answered.
        slower_ms: only those that took longer.
        since, until: only those that began from, and before, this moment.
    """

    statuses: tuple[str, ...] = ()
    path: str = ""
    method: str = ""
    release: int | None = None
    slower_ms: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    def check(self) -> None:
        """Refuse what means nothing.

        Raises:
            UserError: `requests.bad-status`, `requests.bad-range`.
        """
        for status in self.statuses:
            number = int(status) if status.isascii() and status.isdecimal() else -1
            if status not in _CLASSES and not (number == 0 or 100 <= number <= 599):
                raise UserError(
                    "requests.bad-status",
                    f"{status[:20]!r} is no status",
                    hint="write one (404), a class of them (5xx), or 0 for requests without an answer",
                )
        if (fault := range_fault(self.since, self.until)) is not None:
            raise UserError("requests.bad-range", fault, hint="since is the earlier one of the two")

    def takes(self, request: RequestBody) -> bool:
        """Whether a request is one of those that are wanted."""
        status = str(request.status)
        return (
            (not self.statuses or status in self.statuses or f"{status[0]}xx" in self.statuses)
            and (not self.path or fnmatchcase(request.path, self.path))
            and self.method.upper() in ("", request.method)
            and self.release in (None, request.release_number)
            and (self.slower_ms is None or request.duration_ms > self.slower_ms)
            and (self.since is None or request.at >= self.since)
            and (self.until is None or request.at < self.until)
        )


@dataclass(frozen=True, slots=True)
class RequestPart:
    """Requests of an environment in a part of the access log.

    Attributes:
        requests: those that are wanted, in the order of their beginning.
        cursor: where to read on.
    """

    requests: tuple[RequestBody, ...]
    cursor: str


@dataclass(frozen=True, slots=True)
class RequestReader:
    """Reads the edge's access log for one environment at a time."""

    database: Database
    edge: Edge
    host_names: HostNames

    async def read(
        self, project: str, environment: str, wanted: RequestFilter, *, cursor: str = ""
    ) -> RequestPart:
        """What the log has of the environment's visitors since `cursor`; without one, everything that it keeps.

        Raises:
            NotFoundError: `project.unknown`, `environment.unknown`.
            UserError: `requests.bad-status`, `requests.bad-range`.
            TransientError: the log cannot be read.
        """
        wanted.check()
        async with self.database.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            made = await releases.list_for_environment(session, target.id, limit=1_000)
        numbers = {release.id: release.number for release in made}
        live = next((release for release in made if release.id == target.live_release), None)
        hosts = {self.host_names.environment_host(target), *(live.domains if live else ())}
        log = await self.edge.requests(cursor)
        bodies = (
            RequestBody.of(request, numbers)
            for request in log.requests
            if request.host in hosts or request.release in numbers
        )
        return RequestPart(tuple(_wanted(bodies, wanted)), log.cursor)


def _wanted(bodies: Iterable[RequestBody], wanted: RequestFilter) -> Iterable[RequestBody]:
    return (body for body in bodies if wanted.takes(body))
