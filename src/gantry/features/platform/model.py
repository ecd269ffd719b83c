"""The whole platform at a glance: what the database knows of each environment, and what the engines say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from gantry.config.routes import Limit
from gantry.engines.edge.protocol import Closed
from gantry.engines.edge_cache.protocol import CacheStatus
from gantry.engines.runtime.protocol import ProcessStatus
from gantry.features.deploys.model import DeployKind, DeployRecord, DeployState, Step
from gantry.features.instances.model import Health, Instance
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.model import Environment, Project
from gantry.features.releases.model import BuiltRelease, ReleaseState
from gantry.features.releases.reading import manifest_of
from gantry.features.rollouts.model import RolloutRecord
from gantry.features.services.model import ServiceKind


@dataclass(frozen=True, slots=True)
class RefusedDomain:
    """A domain that a live release declares and that leads elsewhere.

    Attributes:
        project, environment: where it leads; empty where the platform alone gives such names.
    """

    domain: str
    project: str = ""
    environment: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """How many instances of a process were asked for by hand, and how many its release's manifest says."""

    process: str
    count: int
    declared: int


@dataclass(frozen=True, slots=True)
class EnvironmentRecord:
    """An environment and everything that is shown of it.

    Attributes:
        releases: those that are live, run or have instances, and as many others as were asked for; newest first.
        instances: of its releases, the newest release's first.
        deploys: the one that is under way and the newest, as many as were asked for; newest first.
        rollout: the newest one, ended or not.
        closed: the page that its visitors get in place of the product.
        refused_domains: of its live release, those that an older environment has.
        scaled: process -> how many instances were asked for by hand.
    """

    environment: Environment
    services: tuple[ServiceKind, ...]
    releases: tuple[BuiltRelease, ...]
    instances: tuple[Instance, ...]
    deploys: tuple[DeployRecord, ...]
    rollout: RolloutRecord | None
    closed: Closed | None
    refused_domains: tuple[RefusedDomain, ...] = ()
    scaled: Mapping[str, int] = field(default_factory=dict)

    @property
    def live(self) -> BuiltRelease | None:
        """The release that visitors get."""
        wanted = self.environment.live_release
        return next((built for built in self.releases if built.release.id == wanted), None)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """How often visitors may ask, as the live release's manifest says."""
        if self.live is None or not self.live.release.limits_visitors:
            return ()
        return manifest_of(self.live.release).routes.limits

    @property
    def scales(self) -> tuple[Scale, ...]:
        """What was scaled by hand of the processes that the live release has."""
        if self.live is None or not self.scaled:
            return ()
        declared = manifest_of(self.live.release).long_running
        return tuple(
            Scale(process, count, declared[process].instances)
            for process, count in sorted(self.scaled.items())
            if process in declared
        )

    @property
    def present(self) -> tuple[str, ...]:
        """Identities of the releases that run or have instances."""
        serving = {instance.release for instance in self.instances}
        return tuple(
            built.release.id
            for built in self.releases
            if built.release.state is ReleaseState.RUNNING or built.release.id in serving
        )

    @property
    def deploy(self) -> DeployRecord | None:
        """The deploy that is under way, or else the newest."""
        active = (record for record in self.deploys if record.deploy.state is DeployState.ACTIVE)
        return next(active, self.deploys[0] if self.deploys else None)

    @property
    def open_rollout(self) -> RolloutRecord | None:
        """The rollout that moves its visitors now; it lasts until all traffic has moved."""
        found = self.rollout
        if found is None or found.deploy_ended or found.rollout.present is None:
            return None
        return found if found.rollout.current == self.environment.live_release else None


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """A project and its environments, production first."""

    project: Project
    environments: tuple[EnvironmentRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What bodies are made with beside the database's records: how things are named, and what is so just now.

    Attributes:
        steps_of: the steps that a kind of deploy takes, in order.
        processes: what runs, by identity; an instance's process has the identity of the instance.
        health: instance -> what its last probes said.
        limited: release -> number of a limit -> requests that the edge refused for it.
        waits: deploy -> what its present step waits for, where it met a fault that may pass.
        asked_at: release -> when a request was last seen to go to it.
    """

    now: datetime
    host_names: HostNames
    steps_of: Callable[[DeployKind], tuple[Step, ...]]
    processes: Mapping[str, ProcessStatus]
    health: Mapping[str, Health]
    cache: CacheStatus
    waits: Mapping[str, str]
    limited: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    asked_at: Mapping[str, datetime] = field(default_factory=dict)

    def refused_domains(self, record: EnvironmentRecord) -> tuple[RefusedDomain, ...]:
        """Of what its live release declares, the platform's own names and those that an older environment has."""
        declared = record.live.release.domains if record.live is not None else ()
        own = [RefusedDomain(name) for name in declared if self.host_names.is_own(name)]
        taken = {refused.domain for refused in own}
        return (*own, *(item for item in record.refused_domains if item.domain not in taken))
