"""Every body of the API, as frozen pydantic models. The OpenAPI document is made from these."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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
OutcomeName = Literal["pass", "fail", "inconclusive"]
RolloutStateName = Literal["running", "paused", "waiting", "passed", "failed", "aborted"]
WishName = Literal["pause", "resume", "promote", "abort"]
StepStateName = Literal["waiting", "running", "done", "skipped", "failed"]
DeployStateName = Literal["queued", "active", "succeeded", "failed", "cancelled"]
InstanceStateName = Literal["starting", "healthy", "unhealthy", "backing-off", "stopping"]


class Shape(BaseModel):
    """Base of all bodies: immutable, and nothing unknown is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ErrorBody(Shape):
    """What every refused request is answered with, below the key `error`."""

    kind: Literal["user", "transient", "permanent", "integrity", "cancelled"]
    code: str = Field(description="Stable dotted identifier; scripts may match it.")
    message: str
    hint: str = ""
    where: str = ""


class CommitBody(Shape):
    """Where a source came from, as far as its sender knows."""

    sha: str = Field("", max_length=64)
    branch: str = Field("", max_length=200)
    message: str = Field("", max_length=500)
    author: str = Field("", max_length=200)
    dirty: bool = False


class SourceBody(Shape):
    """A stored snapshot."""

    digest: str
    files: int
    size_bytes: int


class DeployRequest(Shape):
    """Deploy a snapshot that was uploaded before."""

    source_digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    commit: CommitBody = CommitBody()


class PromoteRequest(Shape):
    """Bring the build that is live in another environment here, without building again."""

    from_environment: str = "staging"


class RollbackRequest(Shape):
    """Go back to a release of this environment; without a number, to the one before."""

    to_release: int | None = Field(None, ge=1)


class StepBody(Shape):
    """One step of a deploy."""

    name: StepName
    state: StepStateName
    started_at: datetime | None = None
    finished_at: datetime | None = None
    elapsed_s: float | None = None
    detail: str = ""


class DeployBody(Shape):
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


class DeployEvent(Shape):
    """One event of a deploy's live stream (server-sent events; `event` is the SSE event's name).

    `deploy` carries the whole deploy whenever a step changes; `log` carries log lines of the running step;
    `end` is the last one.
    """

    event: Literal["deploy", "log", "end"]
    deploy: DeployBody | None = None
    step: StepName | None = None
    text: str = ""


class ReasonBody(Shape):
    """What one check says of a candidate."""

    check: str
    outcome: OutcomeName
    sentence: str
    unit: Literal["share", "ms", "count"]
    candidate: float | None = Field(description="Null where it is unbounded.")
    current: float | None
    numbers: dict[str, int]


class VerdictBody(Shape):
    """What is said of a candidate, from its traffic beside that of the current release."""

    outcome: OutcomeName
    summary: str
    reasons: tuple[ReasonBody, ...]


class StageBody(Shape):
    """One stage of a rollout."""

    kind: Literal["mirror", "canary"]
    percent: int = Field(description="Of the visitors; 0 for a mirror.")
    time_s: float
    state: Literal["waiting", "running", "done"]
    started_at: datetime | None = None
    ended_at: datetime | None = None
    verdict: VerdictBody | None = None


class FailedRequestBody(Shape):
    """A request that a candidate failed."""

    at: str
    method: str
    path: str = Field(description="Without the query.")
    status: int = Field(description="What the visitor got; 0: he went away.")
    flags: str = Field("", description="Envoy's words for what happened.")
    duration_ms: int
    request_id: str


class LogLineBody(Shape):
    """A line that an instance printed."""

    instance: str
    text: str


class EvidenceBody(Shape):
    """What a candidate had done when it was taken back. Secrets are masked."""

    requests: tuple[FailedRequestBody, ...] | None = Field(
        description="The last ones, the newest last; null while they are looked up, which takes two seconds."
    )
    lines: tuple[LogLineBody, ...]


class RolloutBody(Shape):
    """The move of an environment's traffic from one release to another."""

    id: str
    project: str
    environment: str
    deploy: str
    candidate: str
    candidate_number: int
    current: str
    current_number: int
    state: RolloutStateName
    stages: tuple[StageBody, ...]
    stage: int = Field(description="The present one, from 0.")
    approval: bool = Field(description="Somebody must approve each next stage.")
    wish: WishName | None = Field(None, description="Asked for and not done yet.")
    verdict: VerdictBody | None
    reason: str = Field("", description="Why it ended.")
    evidence: EvidenceBody | None = Field(None, description="Of a candidate that failed.")
    started_at: datetime
    ended_at: datetime | None
    elapsed_s: float


class ReleaseBody(Shape):
    """One release."""

    id: str
    number: int
    state: Literal["pending", "running", "retired", "failed"]
    live: bool
    can_roll_back_to: bool
    build: str
    framework: str
    size_bytes: int
    commit: CommitBody
    url: str
    created_at: datetime
    live_at: datetime | None
    left_at: datetime | None


class InstanceBody(Shape):
    """One instance."""

    id: str
    release: str
    release_number: int
    process: str
    slot: int
    state: InstanceStateName
    pid: int | None
    port: int | None
    memory_bytes: int
    restarts: int
    started_at: datetime | None
    message: str = Field("", description="Why it is not healthy, or how it ended last.")


class ReachedBody(Shape):
    """Which release a real request to the public port reached just now."""

    release: str = Field(description="Identity of the release that answered; empty when none did.")
    release_number: int | None
    status: int
    elapsed_s: float
    expected: bool = Field(
        description="It was the live release, or the candidate of a rollout that has visitors."
    )
    error: str = ""


class CandidateBody(Shape):
    """The release that a rollout moves an environment's visitors to."""

    release: str
    release_number: int
    percent: int = Field(description="Of the visitors; 0 while it gets copies of requests only.")
    sentence: str


class CacheBody(Shape):
    """What the edge's cache does for an environment that names paths for it. Counts are of the last hour."""

    running: bool
    hits: int
    stale: int = Field(description="Answered with what was kept, while a newer answer was fetched.")
    misses: int
    bypassed: int = Field(description="Passed on, because the answer must not be kept.")
    share: float | None = Field(
        description="Of these requests, those that were answered from the cache: hits and stale; null where there was none."
    )
    evicted: int = Field(
        description="Answers of the live release that made room for others while they could still be given."
    )
    entries: int = Field(description="Answers that are kept.")
    size_bytes: int
    used_bytes: int = Field(description="What is kept of all environments together.")
    limit_bytes: int = Field(description="Of all together.")
    trouble: str = Field("", description="Why it is of little use, in a sentence.")


class EnvironmentBody(Shape):
    """One environment."""

    project: str
    name: str
    url: str
    domains: tuple[str, ...]
    live: ReleaseBody | None
    candidate: CandidateBody | None = Field(None, description="While a rollout goes on.")
    reached: ReachedBody | None = None
    instances: tuple[InstanceBody, ...]
    services: tuple[str, ...]
    cache: CacheBody | None = Field(
        None, description="Where the live release names paths for the edge to keep."
    )
    deploy: DeployBody | None = Field(
        None, description="The deploy that runs, or else the last one."
    )


class ProjectBody(Shape):
    """One project with its environments."""

    name: str
    created_at: datetime
    environments: tuple[EnvironmentBody, ...]


class PartBody(Shape):
    """One part of the platform: the control plane, the edge, a Postgres cluster."""

    name: str
    running: bool
    memory_bytes: int = 0
    detail: str = ""


class StatusBody(Shape):
    """Everything at a glance."""

    version: str
    home: str
    console_url: str
    parts: tuple[PartBody, ...]
    projects: tuple[ProjectBody, ...]
    warnings: tuple[str, ...] = ()


class VariableBody(Shape):
    """A variable as it may be shown; values are never sent back."""

    name: str
    updated_at: datetime
    updated_by: str


class VariablesRequest(Shape):
    """Set and remove variables in one go."""

    set: dict[str, str] = Field(default_factory=dict, max_length=500)
    unset: tuple[str, ...] = Field((), max_length=500)


class PlanChange(Shape):
    """One thing that a deploy would change."""

    what: Literal[
        "build", "release", "variable", "instances", "service", "route", "setting", "host"
    ]
    action: Literal["create", "change", "remove", "keep"]
    name: str
    before: str = ""
    after: str = ""


class PlanBody(Shape):
    """What a deploy would do."""

    project: str
    environment: str
    changes: tuple[PlanChange, ...]
    blockers: tuple[ErrorBody, ...] = Field((), description="Why the deploy would be refused.")


class PurgeRequest(Shape):
    """What the edge should forget; nothing named means everything of the environment."""

    paths: tuple[str, ...] = Field((), max_length=256, description="`/news/today`, or `/news/*`.")
    tags: tuple[str, ...] = Field((), max_length=256, description="Of the header `Cache-Tag`.")


class PurgeBody(Shape):
    """What the edge has forgotten."""

    project: str
    environment: str
    purged: int = Field(description="Answers.")


class LogBody(Shape):
    """Part of an instance's or a task's log."""

    source: str = Field(description="Id of the instance or task.")
    text: str
    next_offset: int


class LoginLinkBody(Shape):
    """A link that logs one browser in, once."""

    url: str
    expires_at: datetime


class TokenRequest(Shape):
    """A new API token."""

    label: str = Field(min_length=1, max_length=100)
    role: Literal["viewer", "developer", "owner"] = "developer"
    days: int = Field(90, ge=1, le=365)


class TokenBody(Shape):
    """A token. `token` is shown once, when it is made."""

    id: str
    label: str
    role: Literal["viewer", "developer", "owner"]
    created_at: datetime
    expires_at: datetime
    token: str = ""


class AuditBody(Shape):
    """One entry of the audit log."""

    seq: int
    at: datetime
    actor: str
    action: str
    target: str
    details: dict[str, Any]
    hash: str


class HealthBody(Shape):
    """The control plane answers."""

    status: Literal["ok"]
    version: str
    pid: int
