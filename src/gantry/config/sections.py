"""The tables of a manifest other than processes and routes."""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MaxLen
from pydantic import AfterValidator, Field, WithJsonSchema, field_validator

from gantry.config.fields import (
    MAX_HOST_LENGTH,
    MAX_LABEL_LENGTH,
    MAX_NAME_LENGTH,
    Command,
    Count,
    DurationOf,
    Flag,
    FolderInside,
    Section,
    SizeOf,
    Text,
    VariableName,
    as_duration,
    as_size,
    bad_value,
    kind_of,
    label_fault,
    project_name_fault,
    shown,
    wrong_type,
)
from gantry.config.processes import Cores

Framework = Literal["nextjs", "node", "static", "python", "command"]
ENVIRONMENTS = ("development", "staging", "production", "preview")


def _project_name(value: str) -> str:
    fault = project_name_fault(value)
    if fault is None:
        return value
    well_formed = label_fault(value) is None and "--" not in value
    raise bad_value(fault, suggestion="" if well_formed else _as_label(value))


def _as_label(text: str) -> str:
    """`My Shop_2` as a name that would do: `my-shop-2`; empty when nothing is left."""
    kept = "".join(char if char.isascii() and char.isalnum() else "-" for char in text.lower())
    return "-".join(part for part in kept.split("-") if part)[:MAX_NAME_LENGTH].strip("-")


def _domain(value: str) -> str:
    host = value.lower().removesuffix(".")
    if "://" in host or "/" in host or ":" in host:
        raise bad_value(
            f"is {shown(value)}; write the bare name, without scheme, port or path",
            suggestion=host.split("://")[-1].split("/")[0].split(":")[0],
        )
    if host == "localhost" or host.endswith(".localhost"):
        raise bad_value(f"is {shown(value)}; names below .localhost are given by Gantry itself")
    labels = host.split(".")
    too_long = len(host) > MAX_HOST_LENGTH or any(len(label) > MAX_LABEL_LENGTH for label in labels)
    if too_long or len(labels) < 2 or any(label_fault(label) for label in labels):
        raise bad_value(f"is {shown(value)}, which is not a host name like 'example.org'")
    if _is_address(host):
        raise bad_value(f"is {shown(value)}; an address cannot be a domain")
    return host


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


Domain = Annotated[Text, AfterValidator(_domain)]


class Project(Section):
    """What the project is called and where its product lies."""

    name: Annotated[Text, AfterValidator(_project_name)] = Field(
        description="Part of every address: lower-case letters, digits and single hyphens, at most 40 characters.",
        examples=["smart-sign"],
    )
    root: FolderInside = Field(
        "",
        description="Folder of the product inside the repository; empty is the top.",
        examples=["apps/web"],
    )
    default_environment: Literal["development", "staging", "production"] | None = Field(
        None,
        description="Where commands go that name no environment; left out, to `production`.",
        examples=["staging"],
    )


class Build(Section):
    """How the artifact is made. A key that is left out follows the framework."""

    framework: Framework | None = Field(
        None, description="What the product is made with. Left out: Gantry detects it."
    )
    install: Command = Field(
        None, description="Installs dependencies, in a shell.", examples=["npm ci"]
    )
    command: Command = Field(
        None, description="Builds the product, in a shell.", examples=["npm run build"]
    )
    output: FolderInside | None = Field(
        None, description="Folder that the build leaves its result in.", examples=["dist"]
    )
    prune: Flag = Field(
        True,  # noqa: FBT003 -- a default
        description="Packages that only development needs are removed from what serves, where they can be told apart and "
        "the start command needs none of them. Release commands, workers and crons have them in any case.",
        examples=[False],
    )
    node: Text | None = Field(
        None,
        description="Version of Node, such as `22` or `>=20`. Left out: what the product declares (`.nvmrc`, "
        "`.node-version`, `.tool-versions`, `volta`, `engines.node`), else the newest that Gantry has.",
        examples=["22"],
    )
    python: Text | None = Field(
        None,
        description="Version of Python, such as `3.12`. Left out: what the product declares (`.python-version`, "
        "`runtime.txt`, `.tool-versions`, `requires-python`), else the one that Gantry runs on.",
        examples=["3.12"],
    )
    memory_bytes: Annotated[int, SizeOf("64 MB", "1 TB")] | None = Field(
        None,
        alias="memory",
        description="Most memory that the build may use. Left out: half of the machine's, from 2 to 8 GB.",
        examples=["4 GB"],
        json_schema_extra=as_size,
    )
    cpu: Cores = Field(
        None, description="Most processor cores that the build may use.", examples=[2]
    )
    timeout_s: Annotated[float, DurationOf("1s", "6h")] = Field(
        900.0,
        alias="timeout",
        description="A build that takes longer is ended and has failed.",
        json_schema_extra=as_duration,
    )
    env: tuple[VariableName, ...] = Field(
        (),
        description="Names of further variables that the build may read. Public ones, which the framework writes into "
        "pages (`NEXT_PUBLIC_…`, `VITE_…`), reach it anyway; no other one does, so that changing a secret makes no new "
        "build.",
        examples=[["SENTRY_AUTH_TOKEN"]],
    )


class Test(Section):
    """The project's own tests, run after the build and before anything is released."""

    __test__ = False  # not a test of Gantry's

    command: Command = Field(
        None, description="Runs the tests, in a shell. Left out: none.", examples=["npm test"]
    )
    timeout_s: Annotated[float, DurationOf("1s", "6h")] = Field(
        600.0,
        alias="timeout",
        description="Tests that take longer are ended and have failed.",
        json_schema_extra=as_duration,
    )


class ReleaseCommand(Section):
    """A command of the new artifact that runs before it gets any traffic: migrations."""

    command: Command = Field(
        None, description="In a shell. Left out: none.", examples=["node scripts/migrate.mjs"]
    )
    timeout_s: Annotated[float, DurationOf("1s", "6h")] = Field(
        300.0,
        alias="timeout",
        description="A command that takes longer is ended and has failed.",
        json_schema_extra=as_duration,
    )


MAX_ALIASES = 20
POSTGRES_VARIABLES = ("DATABASE_URL", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE")
REDIS_VARIABLES = ("REDIS_URL",)


def _aliases(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if name in POSTGRES_VARIABLES or name in REDIS_VARIABLES:
            raise bad_value(f"names {name}, which is set by its service anyway; leave it out")
    return tuple(dict.fromkeys(value))


Aliases = Annotated[tuple[VariableName, ...], MaxLen(MAX_ALIASES), AfterValidator(_aliases)]


class PostgresService(Section):
    """A Postgres database of the environment's own."""

    aliases: Aliases = Field(
        (),
        alias="as",
        description="Further variables that hold what `DATABASE_URL` holds.",
        examples=[["POSTGRES_URL", "POSTGRES_PRISMA_URL"]],
    )

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables that it sets."""
        return (*POSTGRES_VARIABLES, *self.aliases)


class RedisService(Section):
    """A Redis cache of the environment's own."""

    memory_bytes: Annotated[int, SizeOf("8 MB", "256 GB")] = Field(
        64_000_000,
        alias="memory",
        description="Most memory for data; the least recently used keys go first.",
        json_schema_extra=as_size,
    )
    aliases: Aliases = Field(
        (),
        alias="as",
        description="Further variables that hold what `REDIS_URL` holds: a `redis://` address, without TLS.",
        examples=[["KV_URL"]],
    )

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables that it sets."""
        return (*REDIS_VARIABLES, *self.aliases)


class Services(Section):
    """Managed dependencies. Each environment gets its own."""

    postgres: PostgresService | None = Field(
        None,
        description="A Postgres database, as `DATABASE_URL`, and as `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD` and `PGDATABASE`: "
        "`true`, or a table with `as`.",
    )
    redis: RedisService | None = Field(
        None,
        description="A Redis cache, as `REDIS_URL`: `true`, or a table with `memory` and `as`.",
    )

    @field_validator("postgres", "redis", mode="before")
    @classmethod
    def _table_or_flag(cls, value: Any) -> Any:  # noqa: ANN401 -- sees the value before its type is known
        if isinstance(value, bool):
            return {} if value else None
        if value is not None and not isinstance(value, Mapping | PostgresService | RedisService):
            raise wrong_type(f"must be true, false or a table, not {kind_of(value)}")
        return value

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of all variables that the services set."""
        return tuple(
            name for service in (self.postgres, self.redis) if service for name in service.variables
        )


Share = Annotated[float, Gt(0.0), Lt(1.0)]


class RolloutStage(Section):
    """Stage of a canary."""

    percent: Annotated[Count, Ge(1), Le(99)] = Field(
        description="Visitors that get the new release in this stage. Each keeps the release that they got."
    )
    time_s: Annotated[float, DurationOf("1s", "7d")] = Field(
        60.0,
        alias="time",
        description="How long the two releases are compared before the stage ends.",
        json_schema_extra=as_duration,
    )


class VerdictRules(Section):
    """When the new release is bad, good, or not yet known well enough."""

    error_margin: Share = Field(
        0.01, description="By how much more of its requests the new release may fail: 0.01 is 1 %."
    )
    latency_ratio: Annotated[float, Ge(1.0), Le(100.0)] = Field(
        1.25, description="How many times slower it may be, at each of p50, p95 and p99."
    )
    latency_floor_s: Annotated[float, DurationOf("0s", "1m")] = Field(
        0.02,
        alias="latency_floor",
        description="A difference smaller than this is never held against it.",
        json_schema_extra=as_duration,
    )
    restarts: Annotated[Count, Ge(0), Le(1000)] = Field(
        0, description="How often its instances may end by themselves."
    )
    when_inconclusive: Literal["promote", "abort"] = Field(
        "promote",
        description="What to do at the end of a stage with too few requests to know.",
    )


class Deploy(Section):
    """How a new release takes over."""

    strategy: Literal["blue-green", "canary"] = Field(
        "blue-green",
        description="`blue-green`: all traffic moves at once, when every instance of the new release is healthy. "
        "`canary`: in stages, with a verdict in each.",
    )
    mirror_s: Annotated[float, DurationOf("0s", "1h")] = Field(
        0.0,
        alias="mirror",
        description="With `canary`: how long copies of GET and HEAD requests go to the new release before any "
        "visitor does. Their answers are thrown away.",
        json_schema_extra=as_duration,
    )
    steps: tuple[RolloutStage, ...] = Field(
        default_factory=lambda: tuple(RolloutStage(percent=percent) for percent in (5, 25, 50)),
        description="With `canary`: the stages, with rising shares of visitors; after the last all traffic moves. Left out: 5, 25 "
        "and 50 %, a minute each.",
        max_length=20,
    )
    approval: Flag = Field(
        False,  # noqa: FBT003 -- a default
        description="With `canary`: after each stage wait for `gantry rollout promote`.",
    )
    verdict: VerdictRules = Field(
        default_factory=VerdictRules, description="With `canary`: when the new release is bad."
    )
    keep_warm_s: Annotated[float, DurationOf("0s", "7d")] = Field(
        600.0,
        alias="keep_warm",
        description="How long the old release keeps running, for an immediate rollback and for its open pages.",
        json_schema_extra=as_duration,
    )
    skew_protection_s: Annotated[float, DurationOf("0s", "1d")] = Field(
        600.0,
        alias="skew_protection",
        description="How long older releases keep running after their last request, for pages that were loaded from "
        "them; the newest three, a day at most.",
        json_schema_extra=as_duration,
    )
    keep_releases: Annotated[Count, Ge(1), Le(1000)] = Field(
        10, description="How many releases can be rolled back to."
    )


class Variables(Section):
    """Variables of the project. Secrets do not belong here: `gantry env set` keeps them."""

    required: tuple[VariableName, ...] = Field(
        (),
        description="A deploy is refused while one of these is not set. `.env.example` adds to them.",
        examples=[["SESSION_SECRET"]],
    )
    optional: tuple[VariableName, ...] = Field(
        (),
        description="Not required, whatever `.env.example` says.",
        examples=[["SENTRY_DSN"]],
    )
    plain: Mapping[VariableName, Text] = Field(
        default_factory=dict,
        description="Values that anyone may read. `gantry env set` wins over them. `${DATABASE_URL}` in a value stands for what "
        "a service of the environment sets, `${GANTRY_URL}` for its address.",
        examples=[{"LOG_LEVEL": "info"}],
    )


OVERRIDES = "x-overrides"


def _overrides(definition: str, what: str) -> WithJsonSchema:
    """Shown as the table that it overrides; `gantry.config.schema` turns the mark into a reference."""
    return WithJsonSchema(
        {"type": "object", "description": f"Overrides of [{what}] here.", OVERRIDES: definition}
    )


class Environment(Section):
    """What differs in one environment. Tables are merged key by key; values and lists replace."""

    domains: tuple[Domain, ...] = Field(
        (),
        description="Domains of the team's own that lead here.",
        examples=[["example.org", "www.example.org"]],
    )
    branch: Text | None = Field(
        None,
        description="Only commits of this branch are deployed here; builds may be promoted from anywhere.",
        examples=["main"],
    )
    build: Annotated[Mapping[str, Any], _overrides("Build", "build")] = {}
    test: Annotated[Mapping[str, Any], _overrides("Test", "test")] = {}
    release: Annotated[Mapping[str, Any], _overrides("ReleaseCommand", "release")] = {}
    processes: Annotated[Mapping[str, Any], _overrides("Processes", "processes")] = {}
    services: Annotated[Mapping[str, Any], _overrides("Services", "services")] = {}
    deploy: Annotated[Mapping[str, Any], _overrides("Deploy", "deploy")] = {}
    routes: Annotated[Mapping[str, Any], _overrides("Routes", "routes")] = {}
    variables: Annotated[Mapping[str, Any], _overrides("Variables", "variables")] = {}

    @property
    def overrides(self) -> dict[str, Mapping[str, Any]]:
        """The tables that this environment changes."""
        own = {"domains", "branch"}
        return {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name not in own and getattr(self, name)
        }
