"""Bodies of rollouts in the API, made from rollouts and read by the console and the command line."""

from dataclasses import asdict
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from gantry.features.rollouts.verdict.model import CheckName
from gantry.kernel.bodies import Answer, Open
from gantry.kernel.units import format_measure

if TYPE_CHECKING:
    from gantry.features.projects.model import Environment
    from gantry.features.rollouts.model import Evidence, RolloutRecord, Stage, StageRecord
    from gantry.features.rollouts.verdict.model import Reason, Verdict

OutcomeName = Literal["pass", "fail", "inconclusive"]
RolloutStateName = Literal["running", "paused", "waiting", "passed", "failed", "aborted"]
WishName = Literal["pause", "resume", "promote", "abort"]


class ReasonBody(Answer):
    """What one check says of a candidate."""

    check: str
    outcome: Open[OutcomeName]
    sentence: str
    unit: Open[Literal["share", "ms", "count"]]
    candidate: float | None = Field(description="Null where it is unbounded.")
    current: float | None
    numbers: dict[str, int]

    @classmethod
    def of(cls, reason: "Reason") -> Self:
        """The body of a reason."""
        return cls(
            check=reason.check.value,
            outcome=reason.outcome.value,
            sentence=reason.sentence,
            unit=reason.check.unit,
            candidate=reason.candidate if isfinite(reason.candidate) else None,
            current=reason.current if isfinite(reason.current) else None,
            numbers=asdict(reason.numbers),
        )

    @property
    def candidate_text(self) -> str:
        """The candidate's value with its unit, for people."""
        return format_measure(self.candidate, self.unit)

    @property
    def current_text(self) -> str:
        """The current release's value with its unit, for people."""
        return format_measure(self.current, self.unit)


class VerdictBody(Answer):
    """What is said of a candidate, from its traffic beside that of the current release."""

    outcome: Open[OutcomeName]
    summary: str
    reasons: tuple[ReasonBody, ...]

    @classmethod
    def of(cls, verdict: "Verdict") -> Self:
        """The body of a verdict."""
        return cls(
            outcome=verdict.outcome.value,
            summary=verdict.summary,
            reasons=tuple(ReasonBody.of(reason) for reason in verdict.reasons),
        )


class StageBody(Answer):
    """One stage of a rollout."""

    kind: Open[Literal["mirror", "canary"]]
    percent: int = Field(description="Of the visitors; 0 for a mirror.")
    time_s: float
    state: Open[Literal["waiting", "running", "done"]]
    started_at: datetime | None = None
    ended_at: datetime | None = None
    verdict: VerdictBody | None = None

    @classmethod
    def of(cls, stage: "Stage", record: "StageRecord | None", last: "Verdict | None") -> Self:
        """The body of a stage.

        Parameters:
            record: how it went; `None` when it has not begun.
            last: the verdict on the rollout's present stage; `None` for every other.
        """
        state: Literal["waiting", "running", "done"] = "waiting"
        began_at = ended_at = verdict = None
        if record is not None:
            began_at, ended_at = record.started_at, record.ended_at
            state = "running" if ended_at is None else "done"
            verdict = last or record.verdict
        return cls(
            kind=stage.kind.value,
            percent=stage.percent,
            time_s=stage.time_s,
            state=state,
            started_at=began_at,
            ended_at=ended_at,
            verdict=VerdictBody.of(verdict) if verdict is not None else None,
        )


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

    @classmethod
    def of(cls, evidence: "Evidence") -> Self:
        """The body of evidence."""
        requests = evidence.requests
        return cls(
            requests=None
            if requests is None
            else tuple(FailedRequestBody(**asdict(request)) for request in requests),
            lines=tuple(LogLineBody(**asdict(line)) for line in evidence.lines or ()),
        )


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
    state: Open[RolloutStateName]
    stages: tuple[StageBody, ...]
    stage: int = Field(description="The present one, from 0.")
    approval: bool = Field(description="Somebody must approve each next stage.")
    wish: Open[WishName] | None = Field(None, description="Asked for and not done yet.")
    verdict: VerdictBody | None
    reason: str = Field("", description="Why it ended.")
    evidence: EvidenceBody | None = Field(None, description="Of a candidate that failed.")
    started_at: datetime
    ended_at: datetime | None
    elapsed_s: float

    @classmethod
    def of(cls, record: "RolloutRecord", environment: "Environment", now: datetime) -> Self:
        """The body of a rollout of an environment."""
        rollout = record.rollout
        begun = {stage.number: stage for stage in record.stages}
        stages = (
            StageBody.of(
                stage, begun.get(number), rollout.verdict if number == rollout.stage else None
            )
            for number, stage in enumerate(rollout.stages)
        )
        return cls(
            id=rollout.id,
            project=environment.project,
            environment=environment.name,
            deploy=rollout.deploy,
            candidate=rollout.candidate,
            candidate_number=record.candidate_number,
            current=rollout.current,
            current_number=record.current_number,
            state=rollout.state.value,
            stages=tuple(stages),
            stage=rollout.stage,
            approval=rollout.approval,
            wish=rollout.requested.value if rollout.requested is not None else None,
            verdict=VerdictBody.of(rollout.verdict) if rollout.verdict is not None else None,
            reason=rollout.reason,
            evidence=EvidenceBody.of(rollout.evidence) if rollout.evidence is not None else None,
            started_at=rollout.started_at,
            ended_at=rollout.ended_at,
            elapsed_s=max(0.0, ((rollout.ended_at or now) - rollout.started_at).total_seconds()),
        )

    @property
    def seen_by_visitors(self) -> tuple[int, int]:
        """How many requests of visitors the candidate answered, and how many of these it failed."""
        reasons = [
            reason.numbers
            for stage in self.stages
            if stage.kind == "canary" and stage.verdict is not None
            for reason in stage.verdict.reasons
            if reason.check == CheckName.ERRORS
        ]
        return (
            sum(numbers["candidate_of"] for numbers in reasons),
            sum(numbers["candidate"] for numbers in reasons),
        )

    @property
    def present(self) -> str:
        """What the candidate gets in the present stage, as a sentence."""
        stage = self.stages[self.stage]
        if stage.kind == "mirror":
            return "Copies of requests go to it; no visitor sees its answers"
        return f"{stage.percent} % of the visitors get it"

    @property
    def sentence(self) -> str:
        """Where it is and what is said of the candidate, on one line: `stage 1 of 2, 5 % of visitors: nothing is worse so far`."""
        stage = self.stages[self.stage]
        share = f"{stage.percent} % of visitors" if stage.percent else "copies of requests"
        if self.state == "waiting":
            said = "waiting for approval: gantry rollout promote"
        elif self.state == "paused":
            said = "paused: gantry rollout resume"
        else:
            said = self.verdict.summary if self.verdict is not None else "no measurements yet"
        return f"stage {self.stage + 1} of {len(self.stages)}, {share}: {said}"


class CandidateBody(Answer):
    """The release that a rollout moves an environment's visitors to."""

    release: str
    release_number: int
    percent: int = Field(description="Of the visitors; 0 while it gets copies of requests only.")
    sentence: str
    state: Open[RolloutStateName] = "running"

    @classmethod
    def of(cls, record: "RolloutRecord") -> Self:
        """The body of the candidate of a rollout that is under way."""
        stage, number = record.rollout.present, record.candidate_number
        assert stage is not None, "it is under way"
        gets = f"{stage.percent} % of the visitors" if stage.percent else "copies of requests"
        return cls(
            release=record.rollout.candidate,
            release_number=number,
            percent=stage.percent,
            sentence=f"release {number} gets {gets}",
            state=record.rollout.state.value,
        )
