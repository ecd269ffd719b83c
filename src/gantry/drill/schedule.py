"""What a drill consists of, and how a seed draws it."""

import random
from dataclasses import dataclass
from enum import StrEnum

# A killed instance is back and healthy after this.
RECOVERY_S = 6.0

# In which the deploy is at work: building, starting, and both stages of its rollout.
_SPAN_S = 14.0
_MAX_FAULTS = 3
# Not always: in its copies a bad candidate is found before any visitor could be given to it.
_MIRROR_CHANCE = 0.5


class CandidateKind(StrEnum):
    """How the release that is deployed behaves."""

    GOOD = "good"
    WRONG = "wrong"
    SLOW = "slow"
    LEAKING = "leaking"
    NEVER_HEALTHY = "never healthy"

    @property
    def is_bad(self) -> bool:
        """It must not go live."""
        return self is not CandidateKind.GOOD


class Fault(StrEnum):
    """What is done to the platform. Kills are SIGKILL; what hangs is stopped by SIGSTOP, and continued later."""

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

_WEIGHTS = {
    CandidateKind.GOOD: 40,
    CandidateKind.WRONG: 24,
    CandidateKind.SLOW: 14,
    CandidateKind.LEAKING: 12,
    CandidateKind.NEVER_HEALTHY: 10,
}
_DURATIONS_S = {
    Fault.INSTANCE_HANGS: (1.0, 4.0),
    Fault.CONTROL_KILLED: (0.2, 3.0),
    Fault.CONTROL_HANGS: (1.0, 5.0),
    Fault.EDGE_HANGS: (0.2, 1.0),
    Fault.DISK_FULL: (2.0, 5.0),
}
_CLOCK_JUMP_S = (60.0, 3600.0)
_TAKES_AN_INSTANCE = frozenset({Fault.INSTANCE_KILLED, Fault.INSTANCE_HANGS})


@dataclass(frozen=True, slots=True)
class ScheduledFault:
    """One fault of a schedule, and when it is injected.

    Attributes:
        at_s: after the deploy was requested.
        lasts_s: until it is undone: the process continues, the control plane is started again, the disk has space again.
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
        faults: in the order of their times.
        mirror: the candidate is tried on copies of requests before any visitor gets it.
    """

    seed: int
    candidate: CandidateKind
    faults: tuple[ScheduledFault, ...]
    mirror: bool = False

    @property
    def summary(self) -> str:
        """The candidate and its faults, for people."""
        faults = ", ".join(scheduled.fault for scheduled in self.faults)
        return f"{self.candidate} candidate, {'mirror, ' if self.mirror else ''}{faults}"


def draw(seed: int, possible: frozenset[Fault]) -> Schedule:
    """The schedule of `seed`.

    Parameters:
        possible: faults that can be injected on this machine. Another set draws other schedules.
    """
    chance = random.Random(seed)
    candidate = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    count = chance.randint(1, _MAX_FAULTS)
    faults: list[ScheduledFault] = []
    for fault in chance.sample(sorted(possible), min(count, len(possible))):
        duration_s = _DURATIONS_S.get(fault)
        scheduled = ScheduledFault(
            fault,
            at_s=round(chance.uniform(0.0, _SPAN_S), 2),
            lasts_s=round(chance.uniform(*duration_s), 2) if duration_s else 0.0,
            jump_s=round(chance.uniform(*_CLOCK_JUMP_S)) if fault is Fault.CLOCK_FORWARD else 0.0,
        )
        if not _leaves_no_instance(scheduled, faults):
            faults.append(scheduled)
    in_time = tuple(sorted(faults, key=lambda scheduled: scheduled.at_s))
    return Schedule(seed, candidate, in_time, mirror=chance.random() < _MIRROR_CHANCE)


def _leaves_no_instance(scheduled: ScheduledFault, others: list[ScheduledFault]) -> bool:
    """Two instances that are away at the same time are all there are."""
    return scheduled.fault in _TAKES_AN_INSTANCE and any(
        other.fault in _TAKES_AN_INSTANCE
        and scheduled.at_s < other.at_s + other.lasts_s + RECOVERY_S
        and other.at_s < scheduled.at_s + scheduled.lasts_s + RECOVERY_S
        for other in others
    )
