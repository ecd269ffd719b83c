"""What the API says of rollouts."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from gantry.kernel.bodies import Answer

OutcomeName = Literal["pass", "fail", "inconclusive"]


RolloutStateName = Literal["running", "paused", "waiting", "passed", "failed", "aborted"]


WishName = Literal["pause", "resume", "promote", "abort"]


class ReasonBody(Answer):
    """What one check says of a candidate."""

    check: str
    outcome: OutcomeName
    sentence: str
    unit: Literal["share", "ms", "count"]
    candidate: float | None = Field(description="Null where it is unbounded.")
    current: float | None
    numbers: dict[str, int]


class VerdictBody(Answer):
    """What is said of a candidate, from its traffic beside that of the current release."""

    outcome: OutcomeName
    summary: str
    reasons: tuple[ReasonBody, ...]


class StageBody(Answer):
    """One stage of a rollout."""

    kind: Literal["mirror", "canary"]
    percent: int = Field(description="Of the visitors; 0 for a mirror.")
    time_s: float
    state: Literal["waiting", "running", "done"]
    started_at: datetime | None = None
    ended_at: datetime | None = None
    verdict: VerdictBody | None = None


class FailedRequestBody(Answer):
    """A request that a candidate failed."""

    at: str
    method: str
    path: str = Field(description="Without the query.")
    status: int = Field(description="What the visitor got; 0: he went away.")
    flags: str = Field("", description="Envoy's words for what happened.")
    duration_ms: int
    request_id: str


class LogLineBody(Answer):
    """A line that an instance printed."""

    instance: str
    text: str


class EvidenceBody(Answer):
    """What a candidate had done when it was taken back. Secrets are masked."""

    requests: tuple[FailedRequestBody, ...] | None = Field(
        description="The last ones, the newest last; null while they are looked up, which takes two seconds."
    )
    lines: tuple[LogLineBody, ...]


class RolloutBody(Answer):
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


class CandidateBody(Answer):
    """The release that a rollout moves an environment's visitors to."""

    release: str
    release_number: int
    percent: int = Field(description="Of the visitors; 0 while it gets copies of requests only.")
    sentence: str
