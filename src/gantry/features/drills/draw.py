"""Schedules from seeds."""

import random

from gantry.features.drills.model import RECOVERY_S, Candidate, Fault, Moment, Schedule

# In which the deploy is at work: building, starting, and both stages of its rollout.
_SPAN_S = 14.0
_MOST_FAULTS = 3
# Not always: in its copies a bad candidate is found before any visitor could be given to it.
_MIRROR = 0.5
_WEIGHTS = {
    Candidate.GOOD: 40,
    Candidate.WRONG: 24,
    Candidate.SLOW: 14,
    Candidate.LEAKING: 12,
    Candidate.NEVER_HEALTHY: 10,
}
_LASTS_S = {
    Fault.INSTANCE_HANGS: (1.0, 4.0),
    Fault.CONTROL_KILLED: (0.2, 3.0),
    Fault.CONTROL_HANGS: (1.0, 5.0),
    Fault.EDGE_HANGS: (0.2, 1.0),
    Fault.DISK_FULL: (2.0, 5.0),
}
_JUMP_S = (60.0, 3600.0)
_TAKES_AN_INSTANCE = frozenset({Fault.INSTANCE_KILLED, Fault.INSTANCE_HANGS})


def draw(seed: int, faults: frozenset[Fault]) -> Schedule:
    """The schedule of `seed`.

    Parameters:
        faults: those that can be done on this machine. Another set draws other schedules.
    """
    chance = random.Random(seed)
    candidate = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    possible = sorted(faults)
    count = chance.randint(1, _MOST_FAULTS)
    moments: list[Moment] = []
    for fault in chance.sample(possible, min(count, len(possible))):
        lasts = _LASTS_S.get(fault)
        moment = Moment(
            fault,
            at_s=round(chance.uniform(0.0, _SPAN_S), 2),
            lasts_s=round(chance.uniform(*lasts), 2) if lasts else 0.0,
            jump_s=round(chance.uniform(*_JUMP_S)) if fault is Fault.CLOCK_FORWARD else 0.0,
        )
        if not _leaves_nobody(moment, moments):
            moments.append(moment)
    in_time = tuple(sorted(moments, key=lambda one: one.at_s))
    return Schedule(seed, candidate, in_time, mirror=chance.random() < _MIRROR)


def _leaves_nobody(moment: Moment, others: list[Moment]) -> bool:
    """Two instances that are away at the same time are all there are."""
    return moment.fault in _TAKES_AN_INSTANCE and any(
        other.fault in _TAKES_AN_INSTANCE
        and moment.at_s < other.at_s + other.lasts_s + RECOVERY_S
        and other.at_s < moment.at_s + moment.lasts_s + RECOVERY_S
        for other in others
    )
