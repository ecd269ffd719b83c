"""Numbers of two releases, the policy that they are judged by, and the verdict on the candidate."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from math import inf, isfinite
from typing import Any, Literal, Protocol, Self

from gantry.features.rollouts.verdict import statistics
from gantry.features.rollouts.verdict.histogram import Histogram
from gantry.kernel.errors import IntegrityError
from gantry.kernel.units import counted


class Outcome(StrEnum):
    """Outcome of a verdict, or of one check of it."""

    PASS = "pass"  # noqa: S105 -- the domain's word
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class CheckName(StrEnum):
    """Names of the checks, the plainest first: reasons are told in this order."""

    SMOKE = "smoke checks"
    OUT_OF_MEMORY = "out of memory"
    RESTARTS = "restarts"
    ERRORS = "errors"
    WAITING = "waiting"
    P50 = "p50"
    P95 = "p95"
    P99 = "p99"
    TRAFFIC = "traffic"
    OWN = "own requests"

    @property
    def unit(self) -> Literal["share", "ms", "count"]:
        """Unit of the values compared: shares of requests, milliseconds, or counts."""
        if self in (CheckName.P50, CheckName.P95, CheckName.P99):
            return "ms"
        if self in (CheckName.ERRORS, CheckName.WAITING, CheckName.OWN):
            return "share"
        return "count"


@dataclass(frozen=True, slots=True)
class Policy:
    """How much worse a candidate may be, and how sure a verdict must be. `docs/verdict.md` says how to tune it.

    Parameters:
        error_margin: how much higher the candidate's share of failed requests may be, 0 to 1.
        latency_ratio: how many times as slow each quantile may be, at least 1.
        latency_floor_ms: how much slower each quantile may always be, in milliseconds.
        restarts: of the candidate's instances, in one stage; those that ran out of memory always fail.
        error_ceiling: what share of failed requests condemns a candidate that has nothing to be compared with.
        alpha: the risk that a rollout of a release that is no worse is failed by mistake.
        confidence: how sure a pass must be that the tolerances hold.
        minimum_requests: fewer requests than this, to either release, are never enough for a pass.
    """

    error_margin: float
    latency_ratio: float
    latency_floor_ms: float
    restarts: int
    error_ceiling: float = 0.5
    alpha: float = 0.01
    confidence: float = 0.95
    minimum_requests: int = 100


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of one release over a window, or since its counters began.

    Parameters:
        requests: answered or given up; each counts once, retries within the edge do not.
        errors: of those, how many were answered with 5xx or not at all.
        latency: how long they took; may cover fewer requests than were counted.
        waiting: requests without an answer at the end of the window. A level, not a counter.
        restarts: instances that ended by themselves.
        out_of_memory_kills: of those, how many had reached their memory limit.
        smoke_failures: smoke checks that failed.

    Raises:
        IntegrityError: negative counts, or more errors than requests.
    """

    requests: int = 0
    errors: int = 0
    latency: Histogram = field(default_factory=Histogram)
    waiting: int = 0
    restarts: int = 0
    out_of_memory_kills: int = 0
    smoke_failures: int = 0

    def __post_init__(self) -> None:
        counts = (self.requests, self.waiting, self.restarts, self.out_of_memory_kills)
        if min(*counts, self.smoke_failures) < 0:
            raise IntegrityError("verdict.numbers", "a release cannot have negative numbers")
        if not 0 <= self.errors <= self.requests:
            raise IntegrityError(
                "verdict.numbers",
                f"{self.errors} of {counted(self.requests, 'request')} cannot have failed",
            )

    def __sub__(self, start: Self) -> Self:
        """What was counted since `start`; what is waiting is taken from the end. Ask `began_anew_since` first.

        Counters are read one after the other while they move, so the error of a request that is not counted yet may
        be seen: the request is counted then.
        """
        errors = self.errors - start.errors
        return type(self)(
            max(self.requests - start.requests, errors),
            errors,
            self.latency - start.latency,
            self.waiting,
            _counted(self.restarts, start.restarts),
            _counted(self.out_of_memory_kills, start.out_of_memory_kills),
            _counted(self.smoke_failures, start.smoke_failures),
        )

    def __add__(self, later: Self) -> Self:
        """These numbers and those of the window that follows; what is waiting is taken from the later one."""
        return type(self)(
            self.requests + later.requests,
            self.errors + later.errors,
            self.latency + later.latency,
            later.waiting,
            self.restarts + later.restarts,
            self.out_of_memory_kills + later.out_of_memory_kills,
            self.smoke_failures + later.smoke_failures,
        )

    def began_anew_since(self, start: Self) -> bool:
        """Whether the counters of traffic are lower than they were at `start`: the edge itself began anew."""
        return (
            self.requests < start.requests
            or self.errors < start.errors
            or self.latency.went_back(start.latency)
        )


def _counted(end: int, start: int) -> int:
    """Of counters that begin anew each by itself: what came between `start` and that moment is lost."""
    return end - start if end >= start else end


@dataclass(frozen=True, slots=True)
class Pair:
    """The numbers of the candidate and of the current release, over the same minutes."""

    candidate: Numbers = field(default_factory=Numbers)
    current: Numbers = field(default_factory=Numbers)

    def __sub__(self, start: Self) -> Self:
        return type(self)(self.candidate - start.candidate, self.current - start.current)

    def __add__(self, later: Self) -> Self:
        return type(self)(self.candidate + later.candidate, self.current + later.current)

    def began_anew_since(self, start: Self) -> bool:
        """Whether the counters of either did."""
        return self.candidate.began_anew_since(start.candidate) or self.current.began_anew_since(
            start.current
        )


@dataclass(frozen=True, slots=True)
class Analysis:
    """Number of an interim analysis of a rollout.

    Parameters:
        stage: of the rollout, counted from 1.
        number: of the analyses in this stage, counted from 1, this one too.
        at_end: the stage's time is over. Only then can there be a pass; a fail may come at any analysis.
    """

    stage: int = 1
    number: int = 1
    at_end: bool = True

    def __post_init__(self) -> None:
        assert self.stage >= 1 and self.number >= 1, "stages and analyses are counted from 1"


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts behind a reason: so many, of so many. `of` is 0 for what is not a share of requests."""

    candidate: int
    candidate_of: int
    current: int
    current_of: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Verdict on one check.

    Parameters:
        candidate: the value compared: a share for errors and waiting requests, milliseconds for latency, else a
            count. Infinite for a latency beyond the last bound of the histogram.
        current: the same of the current release.
        numbers: the counts behind it.
    """

    check: CheckName
    outcome: Outcome
    sentence: str
    candidate: float
    current: float
    numbers: Counts

    def as_dict(self) -> dict[str, Any]:
        """Stored form. JSON knows no infinity: null stands for it."""
        return {
            "check": self.check.value,
            "outcome": self.outcome.value,
            "sentence": self.sentence,
            "candidate": self.candidate if isfinite(self.candidate) else None,
            "current": self.current if isfinite(self.current) else None,
            "numbers": asdict(self.numbers),
        }

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> Self:
        """From its stored form."""
        candidate, current = stored["candidate"], stored["current"]
        return cls(
            check=CheckName(stored["check"]),
            outcome=Outcome(stored["outcome"]),
            sentence=stored["sentence"],
            candidate=inf if candidate is None else candidate,
            current=inf if current is None else current,
            numbers=Counts(**stored["numbers"]),
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Verdict on a candidate.

    Parameters:
        reasons: of every check, in the order of `CheckName`.
        summary: one sentence for people.
    """

    outcome: Outcome
    reasons: tuple[Reason, ...]
    summary: str

    def reason(self, check: CheckName) -> Reason | None:
        """The verdict on one check, or `None` where it was not made."""
        return next((reason for reason in self.reasons if reason.check is check), None)

    def as_dict(self) -> dict[str, Any]:
        """Stored form."""
        return {
            "outcome": self.outcome.value,
            "summary": self.summary,
            "reasons": [reason.as_dict() for reason in self.reasons],
        }

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> Self:
        """From its stored form."""
        reasons = tuple(Reason.parse(reason) for reason in stored["reasons"])
        return cls(Outcome(stored["outcome"]), reasons, stored["summary"])


@dataclass(frozen=True, slots=True)
class CheckInput:
    """Everything that a check may know."""

    candidate: Numbers
    current: Numbers
    policy: Policy
    analysis: Analysis

    @property
    def stage_risk(self) -> float:
        """The probability with which this stage may fail a candidate that is no worse."""
        return statistics.stage_risk(self.policy.alpha, self.analysis.stage)


class Check(Protocol):
    """One check: whether it fails, whether it passes, and why.

    A check fails when two things hold: the numbers *show* that the candidate is worse than the current release (see
    `statistics.py`; the risk of doing so by mistake is bounded), and what was seen exceeds what the policy tolerates. So
    a difference that is certain but small does not fail, and one that is large but could be luck does not either.

    A check passes when the numbers rule out, with the policy's confidence, that the candidate is worse than is tolerated
    (non-inferiority). All checks must pass for a pass, so no correction for their number is due there (R. L. Berger,
    "Multiparameter hypothesis testing and acceptance sampling", 1982: the intersection-union test).
    """

    @property
    def name(self) -> CheckName:
        """Its name."""

    def fails(self, given: CheckInput) -> bool:
        """Whether the candidate is shown to be worse than is tolerated."""

    def passes(self, given: CheckInput) -> bool:
        """Whether the candidate is shown not to be worse than is tolerated."""

    def reason(self, given: CheckInput, outcome: Outcome) -> Reason:
        """`outcome` with the numbers behind it."""
