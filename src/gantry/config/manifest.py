"""The manifest: `gantry.toml` as typed, frozen values."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from gantry.kernel.units import parse_duration, parse_size


def _size(value: object) -> object:
    return parse_size(value) if isinstance(value, str) else value


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


Size = Annotated[int, BeforeValidator(_size)]
Duration = Annotated[float, BeforeValidator(_duration)]


def _unit(name: str, attribute: str) -> AliasChoices:
    return AliasChoices(name, attribute)


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Project(Section):
    name: str
    root: str = ""


class Build(Section):
    framework: Literal["nextjs", "node", "static", "python", "command"] | None = None
    install: str | None = None
    command: str | None = None
    output: str | None = None
    memory_bytes: Size = Field(2_000_000_000, validation_alias=_unit("memory", "memory_bytes"))
    cpu: float | None = None
    timeout_s: Duration = Field(900.0, validation_alias=_unit("timeout", "timeout_s"))
    env: tuple[str, ...] = ()


class Test(Section):
    command: str | None = None
    timeout_s: Duration = Field(600.0, validation_alias=_unit("timeout", "timeout_s"))


class ReleaseCommand(Section):
    command: str | None = None
    timeout_s: Duration = Field(300.0, validation_alias=_unit("timeout", "timeout_s"))


class Health(Section):
    path: str = "/"
    timeout_s: Duration = Field(3.0, validation_alias=_unit("timeout", "timeout_s"))
    start_deadline_s: Duration = Field(
        60.0, validation_alias=_unit("start_deadline", "start_deadline_s")
    )


class Drain(Section):
    requests_s: Duration = Field(30.0, validation_alias=_unit("requests", "requests_s"))
    streams_s: Duration = Field(60.0, validation_alias=_unit("streams", "streams_s"))
    terminate_s: Duration = Field(10.0, validation_alias=_unit("terminate", "terminate_s"))


class LongRunning(Section):
    command: str | None = None
    instances: int = 1
    memory_bytes: Size = Field(512_000_000, validation_alias=_unit("memory", "memory_bytes"))
    cpu: float | None = None
    health: Health = Health()
    smoke: tuple[str, ...] = ()
    drain: Drain = Drain()


class Cron(Section):
    command: str | None = None
    path: str | None = None
    schedule: str
    overlap: Literal["skip", "queue", "allow"] = "skip"
    timeout_s: Duration = Field(300.0, validation_alias=_unit("timeout", "timeout_s"))


class Processes(Section):
    web: LongRunning | None = None
    worker: Mapping[str, LongRunning] = Field(default_factory=dict)
    cron: Mapping[str, Cron] = Field(default_factory=dict)


class Services(Section):
    postgres: bool = False
    redis: bool = False


class Deploy(Section):
    strategy: Literal["blue-green"] = "blue-green"
    keep_warm_s: Duration = Field(600.0, validation_alias=_unit("keep_warm", "keep_warm_s"))
    keep_releases: int = 10


class Redirect(Section):
    source: str
    destination: str
    status: int = 308


class Rewrite(Section):
    source: str
    destination: str


class HeaderRule(Section):
    source: str
    headers: Mapping[str, str]


class Routes(Section):
    redirects: tuple[Redirect, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    headers: tuple[HeaderRule, ...] = ()


class Variables(Section):
    required: tuple[str, ...] = ()
    plain: Mapping[str, str] = Field(default_factory=dict)


class Manifest(Section):
    """A manifest, resolved for one environment or not yet."""

    project: Project
    build: Build = Build()
    test: Test = Test()
    release: ReleaseCommand = ReleaseCommand()
    processes: Processes = Processes()
    services: Services = Services()
    deploy: Deploy = Deploy()
    routes: Routes = Routes()
    variables: Variables = Variables()
    domains: tuple[str, ...] = ()
    environments: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)

    @property
    def web(self) -> LongRunning | None:
        return self.processes.web

    @property
    def long_running(self) -> Mapping[str, LongRunning]:
        web = {"web": self.processes.web} if self.processes.web is not None else {}
        return {**web, **{f"worker.{name}": item for name, item in self.processes.worker.items()}}

    @property
    def crons(self) -> Mapping[str, Cron]:
        return self.processes.cron

    @property
    def drain(self) -> Drain:
        return self.web.drain if self.web is not None else Drain()

    def for_environment(self, name: str) -> "Manifest":
        def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
            out = dict(base)
            for key, value in over.items():
                deep = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
                out[key] = merge(out[key], value) if deep else value
            return out

        base = self.model_dump(exclude={"environments"})
        return Manifest.model_validate(merge(base, self.environments.get(name, {})))
