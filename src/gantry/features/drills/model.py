"""What a drill of a deploy consists of."""

from dataclasses import dataclass
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


# A killed instance is back and healthy after this.
RECOVERY_S = 6.0
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
    """One drill: a candidate and the faults while it is deployed. The same seed draws the same.

    Attributes:
        mirror: the candidate is tried on copies of requests before any visitor gets it.
    """

    seed: int
    candidate: Candidate
    moments: tuple[Moment, ...]
    mirror: bool = False

    def has(self, *faults: Fault) -> bool:
        """Whether any of `faults` is in it."""
        return any(moment.fault in faults for moment in self.moments)

    @property
    def words(self) -> str:
        """The candidate and what is done, for people."""
        faults = ", ".join(moment.fault for moment in self.moments)
        return f"{self.candidate} candidate, {'mirror, ' if self.mirror else ''}{faults}"
