"""What the API takes and says of deploys and plans."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from gantry.features.deploys.model import DeployState
from gantry.features.releases.bodies import CommitBody, CommitRequest
from gantry.kernel.bodies import Answer, ErrorBody, Request

StepName = Literal[
    "source",
    "build",
    "test",
    "release",
    "migrate",
    "start",
    "healthy",
    "smoke",
    "rollout",
    "switch",
    "drain",
]


StepStateName = Literal["waiting", "running", "done", "skipped", "failed"]


DeployStateName = Literal["queued", "active", "succeeded", "failed", "cancelled"]


class DeployRequest(Request):
    """Deploy a snapshot that was uploaded before."""

    source_digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    commit: CommitRequest = CommitRequest()


class PromoteRequest(Request):
    """Bring the build that is live in another environment here, without building again."""

    from_environment: str = "staging"


class RollbackRequest(Request):
    """Go back to a release of this environment; without a number, to the one before."""

    to_release: int | None = Field(None, ge=1)


class StepBody(Answer):
    """One step of a deploy."""

    name: StepName
    state: StepStateName
    started_at: datetime | None = None
    finished_at: datetime | None = None
    elapsed_s: float | None = None
    detail: str = ""


class DeployBody(Answer):
    """One deploy."""

    id: str
    project: str
    environment: str
    kind: Literal["deploy", "promote", "rollback"]
    state: DeployStateName
    step: StepName
    steps: tuple[StepBody, ...]
    commit: CommitBody
    release: str | None
    release_number: int | None
    build: str | None
    url: str = Field(description="The environment's address.")
    release_url: str = Field("", description="The release's own immutable address.")
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    elapsed_s: float | None
    queue_position: int | None = Field(None, description="0 is next; only while queued.")
    cancel_requested: bool
    error: ErrorBody | None

    @property
    def ended(self) -> bool:
        """Whether it succeeded, failed or was cancelled: nothing more happens to it."""
        return DeployState(self.state).ended


class DeployEvent(Answer):
    """One event of a deploy's live stream (server-sent events; `event` is the SSE event's name).

    `deploy` carries the whole deploy whenever a step changes; `log` carries log lines of the running step;
    `end` is the last one.
    """

    event: Literal["deploy", "log", "end"]
    deploy: DeployBody | None = None
    step: StepName | None = None
    text: str = ""


class PlanChange(Answer):
    """One thing that a deploy would change."""

    what: Literal[
        "build", "release", "variable", "instances", "service", "route", "setting", "host"
    ]
    action: Literal["create", "change", "remove", "keep"]
    name: str
    before: str = ""
    after: str = ""


class PlanBody(Answer):
    """What a deploy would do."""

    project: str
    environment: str
    changes: tuple[PlanChange, ...]
    blockers: tuple[ErrorBody, ...] = Field((), description="Why the deploy would be refused.")
