"""What was seen, and what is said of it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Self

from gantry.features.rollouts.verdict.histogram import Histogram
from gantry.kernel.errors import IntegrityError


class Outcome(StrEnum):
    """What is said of a release, or of one check of it."""

    PASS = "pass"  # noqa: S105 -- the domain's word
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class Check(StrEnum):
    """What is compared, the plainest first: reasons are told in this order."""

    SMOKE = "smoke checks"
    OUT_OF_MEMORY = "out of memory"
    RESTARTS = "restarts"
    NEW_ERRORS = "new errors"
    ERRORS = "errors"
    WAITING = "waiting"
    P50 = "p50"
    P95 = "p95"
    P99 = "p99"
    TRAFFIC = "traffic"
    OWN = "own requests"

    @property
    def unit(self) -> Literal["share", "ms", "count"]:
        """What is compared: shares of requests, milliseconds, or counts."""
        if self in (Check.P50, Check.P95, Check.P99):
            return "ms"
        return "share" if self in (Check.ERRORS, Check.WAITING, Check.OWN) else "count"


@dataclass(frozen=True, slots=True)
class Numbers:
    """What was seen of one release over a window, or since its counters began.

    Parameters:
        requests: answered or given up; each counts once, retries within the edge do not.
        errors: of those, how many were answered with 5xx or not at all.
        latency: how long they took; may cover fewer requests than were counted.
        waiting: requests without an answer at the end of the window. A level, not a counter.
        restarts: instances that ended by themselves.
        out_of_memory_kills: of those, how many had reached their memory limit.
        smoke_failures: smoke checks that failed.
        new_error_groups: kinds of errors never seen before, as telemetry groups them.

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
    new_error_groups: int = 0

    def __post_init__(self) -> None:
        counts = (self.requests, self.waiting, self.restarts, self.out_of_memory_kills)
        if min(*counts, self.smoke_failures, self.new_error_groups) < 0:
            raise IntegrityError("verdict.numbers", "a release cannot have negative numbers")
        if not 0 <= self.errors <= self.requests:
            raise IntegrityError(
                "verdict.numbers", f"{self.errors} of {self.requests} requests cannot have failed"
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
            _counted(self.new_error_groups, start.new_error_groups),
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
            self.new_error_groups + later.new_error_groups,
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
class Look:
    """Which look at a rollout this is.

    Parameters:
        step: of the rollout, counted from 1.
        number: of the looks in this step, counted from 1, this one too.
        at_end: the step's time is over. Only then can there be a pass; a fail may come at any look.
    """

    step: int = 1
    number: int = 1
    at_end: bool = True

    def __post_init__(self) -> None:
        assert self.step >= 1 and self.number >= 1, "steps and looks are counted from 1"


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts behind a reason: so many, of so many. `of` is 0 for what is not a share of requests."""

    candidate: int
    candidate_of: int
    current: int
    current_of: int


@dataclass(frozen=True, slots=True)
class Reason:
    """What one check says.

    Parameters:
        candidate: the value compared: a share for errors and waiting requests, milliseconds for latency, else a
            count.
        current: the same of the current release.
        numbers: the counts behind it.
    """

    check: Check
    outcome: Outcome
    sentence: str
    candidate: float
    current: float
    numbers: Counts


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a candidate.

    Parameters:
        reasons: of every check, in the order of `Check`.
        summary: one sentence for people.
    """

    outcome: Outcome
    reasons: tuple[Reason, ...]
    summary: str

    def of(self, check: Check) -> Reason | None:
        """What `check` said, or `None` when the policy leaves it out."""
        return next((reason for reason in self.reasons if reason.check is check), None)
