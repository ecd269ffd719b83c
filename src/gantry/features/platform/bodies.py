"""What the API says of the whole platform at a glance."""

from datetime import datetime
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from gantry.config.setting_table import SETTINGS
from gantry.features.deploys.bodies import DeployBody
from gantry.features.instances.bodies import InstanceBody
from gantry.features.platform.capabilities import Maturity
from gantry.features.releases.bodies import ReleaseBody
from gantry.features.rollouts.bodies import CandidateBody
from gantry.features.routes.bodies import CacheBody, ClosedBody, LimitBody
from gantry.kernel.bodies import Answer, Open

if TYPE_CHECKING:
    from gantry.config.setting_table import Scope, Setting
    from gantry.config.settings import Settings
    from gantry.features.platform.capabilities import Capability
    from gantry.features.platform.model import (
        Context,
        EnvironmentRecord,
        ProjectRecord,
        RefusedDomain,
    )


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


class RefusedDomainBody(Answer):
    """A domain that an environment's live release declares, and that leads elsewhere."""

    domain: str
    project: str = Field(description="That it leads to; empty where only Gantry gives such names.")
    environment: str = ""

    @classmethod
    def of(cls, refused: "RefusedDomain") -> Self:
        """A refused domain."""
        return cls(domain=refused.domain, project=refused.project, environment=refused.environment)

    @property
    def sentence(self) -> str:
        """Where it leads and what to do about it."""
        if not self.project:
            return (
                f"{self.domain} does not lead here: it lies below this platform's own domain, where only Gantry gives names. "
                "Take it out of gantry.toml and deploy"
            )
        return (
            f"{self.domain} leads to {self.environment} of {self.project}, which had it first. "
            "Take it out of the gantry.toml of one of the two and deploy that one"
        )


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
    limits: tuple[LimitBody, ...] = Field(
        (), description="How often visitors may ask, where the live release says so."
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

    asked_at: datetime | None = Field(
        None,
        description="When a request was last seen to go to the live release; Gantry's own count.",
    )
    refused_domains: tuple[RefusedDomainBody, ...] = Field(
        (), description="Domains of the live release that lead to another environment."
    )

    @classmethod
    def of(cls, record: "EnvironmentRecord", context: "Context") -> Self:
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
            removing=environment.removing,
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
            limits=LimitBody.all_of(
                record.limits, context.limited.get(live.release.id, {}) if live else {}
            ),
            closed=ClosedBody.of(record.closed) if record.closed is not None else None,
            deploy=_deploy(record, context),
            asked_at=context.asked_at.get(live.release.id) if live else None,
            refused_domains=tuple(
                RefusedDomainBody.of(refused) for refused in context.refused_domains(record)
            ),
            scaled=tuple(
                f"{scale.process} {scale.count} (gantry.toml: {scale.declared})"
                for scale in record.scales
            ),
        )

    def is_warm(self, instance: InstanceBody) -> bool:
        """Whether it runs on for a rollback and for pages of its build, while visitors get another release."""
        arriving = (
            self.deploy.release if self.deploy is not None and not self.deploy.ended else None
        )
        visited = {
            self.live.id if self.live is not None else None,
            self.candidate.release if self.candidate is not None else None,
            arriving,
        }
        return instance.state == "healthy" and instance.release not in visited

    @property
    def instances_by_use(self) -> tuple[InstanceBody, ...]:
        """Its instances, those that are kept warm last."""
        return tuple(sorted(self.instances, key=self.is_warm))


def _deploy(record: "EnvironmentRecord", context: "Context") -> DeployBody | None:
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


def _cache(record: "EnvironmentRecord", context: "Context") -> CacheBody | None:
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
    def of(cls, record: "ProjectRecord", context: "Context") -> Self:
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


class SettingBody(Answer):
    """A setting of the platform, and where its value comes from."""

    key: str = Field(description="Its name in the settings file.")
    variable: str = Field(description="The variable of the environment that wins over the file.")
    value: str = Field(description="Empty for none; a value that may hold a password is not shown.")
    default: str
    origin: str = Field(
        description="`default`, a variable, or the settings file with the line, such as `/etc/gantry/gantry.conf:3`."
    )
    meaning: str

    @classmethod
    def of(cls, setting: "Setting", settings: "Settings") -> Self:
        """A setting with the value that it has here."""
        return cls(
            key=setting.key,
            variable=setting.variable,
            value=setting.shown(settings),
            default=setting.default,
            origin=settings.origins.get(setting.key, "default"),
            meaning=setting.meaning,
        )


def settings_of(settings: "Settings", *scopes: "Scope") -> tuple[SettingBody, ...]:
    """The settings of these scopes, in the order in which people read them."""
    return tuple(
        SettingBody.of(setting, settings) for setting in SETTINGS if setting.scope in scopes
    )


class CapabilityBody(Answer):
    """Something that this version of Gantry can do, and how far it may be relied on."""

    name: str
    maturity: Open[Maturity]
    since: str = Field(description="First version that has it; empty while it is planned.")
    sentence: str

    @classmethod
    def of(cls, capability: "Capability") -> Self:
        """A capability as it is listed."""
        return cls(
            name=capability.name,
            maturity=capability.maturity,
            since=capability.since,
            sentence=capability.sentence,
        )
