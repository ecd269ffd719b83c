"""What the API says of the whole platform at a glance."""

from datetime import datetime
from typing import Literal, Self

from pydantic import Field

from gantry.features.deploys.bodies import DeployBody
from gantry.features.instances.bodies import InstanceBody
from gantry.features.platform.capabilities import Capability, Maturity
from gantry.features.platform.model import Context, EnvironmentRecord, ProjectRecord
from gantry.features.releases.bodies import ReleaseBody
from gantry.features.releases.reading import manifest_of
from gantry.features.rollouts.bodies import CandidateBody
from gantry.features.routes.bodies import CacheBody, ClosedBody
from gantry.kernel.bodies import Answer, Open


class ReachedBody(Answer):
    """Which release a real request to the public port reached just now."""

    release: str = Field(description="Identity of the release that answered; empty when none did.")
    release_number: int | None
    status: int
    elapsed_s: float
    expected: bool = Field(
        description="It was the live release, or the candidate of a rollout that has visitors."
    )
    error: str = ""


class EnvironmentBody(Answer):
    """One environment."""

    project: str
    name: str
    url: str
    domains: tuple[str, ...]
    live: ReleaseBody | None
    candidate: CandidateBody | None = Field(None, description="While a rollout goes on.")
    reached: ReachedBody | None = None
    removing: bool = Field(
        default=False, description="Somebody asked for its end, which is under way."
    )
    instances: tuple[InstanceBody, ...]
    services: tuple[str, ...]
    crons: tuple[str, ...] = Field(
        (), description="Names of the live release's scheduled commands."
    )
    cache: CacheBody | None = Field(
        None, description="Where the live release names paths for the edge to keep."
    )
    closed: ClosedBody | None = Field(
        None, description="While visitors get a page in place of the product."
    )
    deploy: DeployBody | None = Field(
        None, description="The deploy that runs, or else the last one."
    )
    scaled: tuple[str, ...] = Field(
        (),
        description="Where other numbers of instances run than gantry.toml asks for, in words: "
        "`web 3 (gantry.toml: 2)`.",
    )

    @classmethod
    def of(cls, record: EnvironmentRecord, context: Context) -> Self:
        """An environment as the database and the engines have it just now."""
        environment, live, moving = record.environment, record.live, record.open_rollout
        numbers = {built.release.id: built.release.number for built in record.releases}
        return cls(
            project=environment.project,
            name=environment.name,
            url=context.host_names.url(context.host_names.environment_host(environment)),
            domains=live.release.domains if live else (),
            live=ReleaseBody.of(live, environment, context.host_names) if live else None,
            candidate=CandidateBody.of(moving) if moving else None,
            instances=tuple(
                InstanceBody.of(
                    instance,
                    release_number=numbers[instance.release],
                    process=context.processes.get(instance.id),
                    health=context.health.get(instance.id),
                    now=context.now,
                )
                for instance in record.instances
            ),
            services=tuple(kind.value for kind in record.services),
            crons=live.release.crons if live else (),
            cache=_cache(record, context),
            closed=ClosedBody.of(record.closed) if record.closed is not None else None,
            deploy=_deploy(record, context),
            scaled=_scaled(record),
        )


def _scaled(record: EnvironmentRecord) -> tuple[str, ...]:
    if record.live is None or not record.scaled:
        return ()
    declared = manifest_of(record.live.release).long_running
    return tuple(
        f"{name} {count} (gantry.toml: {declared[name].instances})"
        for name, count in sorted(record.scaled.items())
        if name in declared
    )


def _deploy(record: EnvironmentRecord, context: Context) -> DeployBody | None:
    if record.deploy is None:
        return None
    return DeployBody.of(
        record.deploy,
        record.environment,
        context.host_names,
        steps=context.steps_of(record.deploy.deploy.kind),
        now=context.now,
        waits=context.waits,
    )


def _cache(record: EnvironmentRecord, context: Context) -> CacheBody | None:
    live = record.live
    if live is None or not live.release.caches:
        return None
    return CacheBody.of(context.cache, live.release.id, record.present)


class ProjectBody(Answer):
    """One project with its environments."""

    name: str
    created_at: datetime
    environments: tuple[EnvironmentBody, ...]

    @classmethod
    def of(cls, record: ProjectRecord, context: Context) -> Self:
        """A project as the database and the engines have it just now."""
        return cls(
            name=record.project.name,
            created_at=record.project.created_at,
            environments=tuple(
                EnvironmentBody.of(environment, context) for environment in record.environments
            ),
        )


class PartBody(Answer):
    """One part of the platform: the control plane, the edge, a Postgres cluster."""

    name: str
    running: bool
    memory_bytes: int = 0
    detail: str = ""


class StatusBody(Answer):
    """Everything at a glance."""

    version: str
    home: str
    console_url: str
    parts: tuple[PartBody, ...]
    projects: tuple[ProjectBody, ...]
    warnings: tuple[str, ...] = ()


class HealthBody(Answer):
    """The control plane answers."""

    status: Open[Literal["ok"]]
    version: str
    pid: int


class CapabilityBody(Answer):
    """Something that this version of Gantry can do, and how far it may be relied on."""

    name: str
    maturity: Open[Maturity]
    since: str = Field(description="First version that has it; empty while it is planned.")
    sentence: str

    @classmethod
    def of(cls, capability: Capability) -> Self:
        """A capability as it is listed."""
        return cls(
            name=capability.name,
            maturity=capability.maturity,
            since=capability.since,
            sentence=capability.sentence,
        )
