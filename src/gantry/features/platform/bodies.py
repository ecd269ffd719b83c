"""What the API says of the whole platform at a glance."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from gantry.features.deploys.bodies import DeployBody
from gantry.features.instances.bodies import InstanceBody
from gantry.features.releases.bodies import ReleaseBody
from gantry.features.rollouts.bodies import CandidateBody
from gantry.features.routes.bodies import CacheBody
from gantry.kernel.bodies import Answer


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
    cache: CacheBody | None = Field(
        None, description="Where the live release names paths for the edge to keep."
    )
    deploy: DeployBody | None = Field(
        None, description="The deploy that runs, or else the last one."
    )


class ProjectBody(Answer):
    """One project with its environments."""

    name: str
    created_at: datetime
    environments: tuple[EnvironmentBody, ...]


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

    status: Literal["ok"]
    version: str
    pid: int
