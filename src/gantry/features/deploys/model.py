"""A deploy: the way of a change through the pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from gantry.features.releases.model import Commit


class DeployKind(StrEnum):
    """Where a deploy begins."""

    DEPLOY = "deploy"  # from source
    PROMOTE = "promote"  # from a build of another environment
    ROLLBACK = "rollback"  # from a release of this environment
    REDEPLOY = "redeploy"  # from the build that is live here, with the variables of now
    RESTART = "restart"  # of the live release's instances

    @property
    def makes_release(self) -> bool:
        """Whether it makes a release of its own; otherwise its release was there before."""
        return self in (DeployKind.DEPLOY, DeployKind.PROMOTE, DeployKind.REDEPLOY)


class DeployState(StrEnum):
    """How a deploy stands."""

    QUEUED = "queued"
    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to the deploy."""
        return self not in (DeployState.QUEUED, DeployState.ACTIVE)


class Step(StrEnum):
    """Name of a step. Their order is in `pipeline.py`."""

    SOURCE = "source"
    BUILD = "build"
    TEST = "test"
    SCAN = "scan"
    RELEASE = "release"
    MIGRATE = "migrate"
    START = "start"
    HEALTHY = "healthy"
    SMOKE = "smoke"
    ROLLOUT = "rollout"
    SWITCH = "switch"
    DRAIN = "drain"


class StepState(StrEnum):
    """How one step of a deploy stands."""

    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step of a deploy, as it went."""

    name: Step
    state: StepState
    started_at: datetime
    finished_at: datetime | None
    detail: str


@dataclass(frozen=True, slots=True)
class Deploy:
    """One deploy.

    Attributes:
        manifest: as read from the source and resolved for the environment; `None` before the source step.
        previous_release: what was live when this deploy began to switch.
        error: wire form of the error that ended it.
        process: which kind of process a restart is of; empty for all of them.
        use_cache: its build may be one of before, and begins with what builds before it have left.
    """

    id: str
    environment: str
    kind: DeployKind
    state: DeployState
    step: Step
    source_digest: str
    commit: Commit
    requested_by: str
    requested_at: datetime
    manifest: Mapping[str, Any] | None = field(default=None, repr=False)
    build: str | None = None
    release: str | None = None
    previous_release: str | None = None
    started_at: datetime | None = None
    step_started_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_requested: bool = False
    error: Mapping[str, str] | None = None
    process: str = ""
    use_cache: bool = True

    @property
    def needs(self) -> tuple[str, ...]:
        """The releases that must be able to run until it has ended: the one that it makes live, and the one that is live
        again when it fails.
        """
        return tuple(
            release for release in (self.release, self.previous_release) if release is not None
        )

    @property
    def migrate_task(self) -> str:
        """Id of the process that runs the release command."""
        return f"migrate-{self.id}"


@dataclass(frozen=True, slots=True)
class DeployRecord:
    """A deploy and what is shown beside it.

    Attributes:
        steps: those that have begun, in no order: that is the pipeline's.
        release_number: of the release that it made or returns to.
        queue_position: how many deploys of its environment are queued before it; `None` when it is not queued.
        tools: what its build was made with, name -> version.
    """

    deploy: Deploy
    steps: tuple[StepRecord, ...]
    release_number: int | None
    queue_position: int | None
    tools: Mapping[str, str] = field(default_factory=dict)
