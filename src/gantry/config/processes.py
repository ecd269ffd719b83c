"""What runs: the web process, workers and scheduled commands."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import AfterValidator, Field, Strict, field_validator

from gantry.config.fields import (
    Command,
    Count,
    DurationOf,
    HealthPath,
    HostName,
    Section,
    SizeOf,
    Text,
    UrlPath,
    as_duration,
    as_size,
    bad_value,
    kind_of,
    wrong_type,
)

MAX_INSTANCES = 32
MAX_SMOKE_PATHS = 50
MAX_PROCESSES = 50


def _cores(value: float | None) -> float | None:
    if value is not None and not 0.05 <= value <= 256:
        raise bad_value("must be from 0.05 to 256 cores")
    return value


Cores = Annotated[Annotated[float, Strict()] | None, AfterValidator(_cores)]


class Health(Section):
    """How Gantry finds out that an instance of the web process is ready, and stays well."""

    path: HealthPath = Field(
        "/",
        description="Path that answers with a status below 400 when the instance can take visitors. "
        'Empty (`""`): an accepted TCP connection is enough.',
        examples=["/api/health"],
    )
    host: HostName | None = Field(
        None,
        description="Host that is asked for, where the product answers some hosts only. By default the first of "
        "`domains`, else the environment's own name below the platform's.",
        examples=["shop.example.com"],
    )
    timeout_s: Annotated[float, DurationOf("100ms", "1m")] = Field(
        3.0,
        alias="timeout",
        description="An answer that takes longer counts as none.",
        json_schema_extra=as_duration,
    )
    start_deadline_s: Annotated[float, DurationOf("1s", "1h")] = Field(
        60.0,
        alias="start_deadline",
        description="Total time that a new instance has to become healthy; after it the deploy fails "
        "and visitors stay on the old release.",
        json_schema_extra=as_duration,
    )


class Drain(Section):
    """How an old instance ends after the traffic has moved."""

    requests_s: Annotated[float, DurationOf("0s", "1h")] = Field(
        30.0,
        alias="requests",
        description="How long requests that have begun may take to end.",
        json_schema_extra=as_duration,
    )
    streams_s: Annotated[float, DurationOf("0s", "1d")] = Field(
        60.0,
        alias="streams",
        description="How long event streams and WebSockets stay open. At least `requests`.",
        json_schema_extra=as_duration,
    )
    terminate_s: Annotated[float, DurationOf("0s", "10m")] = Field(
        10.0,
        alias="terminate",
        description="Time between SIGTERM and SIGKILL.",
        json_schema_extra=as_duration,
    )


class LongRunning(Section):
    """A process that runs all the time; here the one that answers visitors."""

    command: Command = Field(
        None,
        description="What starts it, in a shell, in the product's folder. The web process listens on "
        "`$HOST:$PORT`; without a command it is started as its framework wants.",
        examples=["node server.js"],
    )
    instances: Annotated[Count, Ge(0), Le(MAX_INSTANCES)] = Field(
        1, description="How many equal instances run. 0 runs none."
    )
    memory_bytes: Annotated[int, SizeOf("32 MB", "1 TB")] = Field(
        512_000_000,
        alias="memory",
        description="Most memory that one instance may use; above it, it is ended and started again.",
        json_schema_extra=as_size,
    )
    cpu: Cores = Field(
        None, description="Most processor cores that one instance may use.", examples=[0.5]
    )
    health: Health = Field(
        default_factory=Health, description="When an instance is ready. Only for the web process."
    )
    smoke: Annotated[tuple[UrlPath, ...], Field(max_length=MAX_SMOKE_PATHS)] = Field(
        (),
        description="Paths that a new release must answer below status 400 before any visitor sees it; "
        "redirects are followed, and none may lead to localhost or to a port that is not public. Only for the web process.",
        examples=[["/", "/login"]],
    )
    drain: Drain = Field(
        default_factory=Drain, description="How it ends. A worker knows `terminate` only."
    )


class Cron(Section):
    """A command, or a request to the web process, on a schedule."""

    command: Command = Field(
        None,
        description="What to run, in a shell. Either this or `path`.",
        examples=["node scripts/expire.mjs"],
    )
    path: UrlPath | None = Field(
        None,
        description="Path of the web process to request instead, with `Authorization: Bearer $CRON_SECRET` "
        "when that variable is set, as Vercel does.",
        examples=["/api/cron/expire"],
    )
    schedule: Text = Field(
        "",
        description="Required. Cron expression of five fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`; in UTC.",
        examples=["*/15 * * * *"],
    )
    overlap: Literal["skip", "queue", "allow"] = Field(
        "skip", description="What happens when a run is due while the one before still runs."
    )
    timeout_s: Annotated[float, DurationOf("1s", "1d")] = Field(
        300.0,
        alias="timeout",
        description="A run that takes longer is ended and has failed.",
        json_schema_extra=as_duration,
    )


class Processes(Section):
    """All processes of a project."""

    web: LongRunning | None = Field(
        default_factory=LongRunning,
        description="The process that answers visitors; present unless it is set to `false`.",
    )
    worker: Annotated[Mapping[str, LongRunning], Field(max_length=MAX_PROCESSES)] = Field(
        default_factory=dict, description="Processes in the background, by name."
    )
    cron: Annotated[Mapping[str, Cron], Field(max_length=MAX_PROCESSES)] = Field(
        default_factory=dict, description="Scheduled commands, by name."
    )

    @field_validator("web", mode="before")
    @classmethod
    def _none_when_false(cls, value: Any) -> Any:  # noqa: ANN401 -- sees the value before its type is known
        if (
            value is not None and not isinstance(value, bool | Mapping | LongRunning)
        ) or value is True:
            raise wrong_type(f"must be a table, or false for none, not {kind_of(value)}")
        return None if value is False else value

    @property
    def by_name(self) -> Mapping[str, LongRunning | Cron]:
        """Every process by its full name: `web`, then `worker.*`, then `cron.*`, each in the order of the file."""
        return dict(self._items())

    def _items(self) -> Iterator[tuple[str, LongRunning | Cron]]:
        if self.web is not None:
            yield "web", self.web
        yield from ((f"worker.{name}", worker) for name, worker in self.worker.items())
        yield from ((f"cron.{name}", cron) for name, cron in self.cron.items())
