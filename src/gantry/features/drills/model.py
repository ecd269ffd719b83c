"""What a drill of a deploy consists of, and what was seen in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Candidate(StrEnum):
    """How the release that is deployed behaves."""

    GOOD = "good"
    WRONG = "wrong"
    SLOW = "slow"
    LEAKING = "leaking"
    NEVER_HEALTHY = "never healthy"

    @property
    def is_bad(self) -> bool:
        """It must not go live."""
        return self is not Candidate.GOOD


class Fault(StrEnum):
    """What is done to the platform. Kills are SIGKILL; what hangs is stopped by SIGSTOP, and goes on later."""

    INSTANCE_KILLED = "instance killed"
    INSTANCE_HANGS = "instance hangs"
    CANDIDATE_KILLED = "candidate killed"
    CONTROL_KILLED = "control plane killed"
    CONTROL_HANGS = "control plane hangs"
    EDGE_KILLED = "edge killed"
    EDGE_HANGS = "edge hangs"
    SYSTEM_DATABASE_KILLED = "system database killed"
    DATA_DATABASE_KILLED = "data database killed"
    DISK_FULL = "disk full"
    CLOCK_FORWARD = "clock forward"


# These need a file system of the drill's own, which only root can mount.
NEEDS_ROOT = frozenset({Fault.DISK_FULL})


@dataclass(frozen=True, slots=True)
class Moment:
    """One fault in a schedule.

    Attributes:
        at_s: after the deploy was asked for.
        lasts_s: until it is mended: the process goes on, the control plane is started again, there is room again.
        jump_s: by how much the clock goes forward.
    """

    fault: Fault
    at_s: float
    lasts_s: float = 0.0
    jump_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """One drill: a candidate and the faults while it is deployed. The same seed draws the same."""

    seed: int
    candidate: Candidate
    moments: tuple[Moment, ...]

    def has(self, *faults: Fault) -> bool:
        """Whether any of `faults` is in it."""
        return any(moment.fault in faults for moment in self.moments)

    @property
    def ends_s(self) -> float:
        """When the last fault is mended."""
        return max((moment.at_s + moment.lasts_s for moment in self.moments), default=0.0)


@dataclass(frozen=True, slots=True)
class Share:
    """What the candidate might get, as the control plane said it at one time.

    Attributes:
        at_s: on the clock of the load.
        percent: of the visitors; 100 once it is live.
    """

    at_s: float
    percent: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that a visitor would have seen fail."""

    at_s: float
    reason: str
    release: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the load got in a slot of time: release -> whole responses."""

    at_s: float
    by_release: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Away:
    """A time in which the edge was killed or stopped on purpose, until it answered again."""

    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that was observed in one drill.

    Attributes:
        before, candidate: identities of the releases; `candidate` is empty when there never was one.
        deploy: how the deploy ended (`succeeded`, `failed`, ...), or its state when patience ended.
        deploy_ended: it is in a final state.
        code: the deploy's error, such as `rollout.failed`; empty for none.
        rollout: how the rollout ended, empty when there was none.
        reason: in the rollout's or the deploy's own words.
        live, reached: what the status says is live, and what a real request reached in the end.
        away: when the edge could not answer.
        slowest_s: of all requests.
    """

    before: str
    candidate: str
    deploy: str
    deploy_ended: bool
    code: str
    rollout: str
    reason: str
    live: str
    reached: str
    requests: int
    failures: tuple[Failure, ...]
    answers: tuple[Answers, ...]
    shares: tuple[Share, ...]
    away: tuple[Away, ...]
    slowest_s: float = 0.0
    took_s: float = 0.0
    done: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """A drill and what is wrong with it.

    Attributes:
        wrong_verdict: a bad candidate went live, or a good one was refused without a reason of its own.
        failed: requests that failed although a healthy instance existed.
        share: of the visitors, that a bad candidate had while it was held at a stage; percent.
        violations: one sentence for each invariant that did not hold.
    """

    schedule: Schedule
    seen: Seen
    wrong_verdict: bool
    failed: int
    share: float
    violations: tuple[str, ...] = field(default=())
