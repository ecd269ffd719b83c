"""When instances died that nobody had told to end: by the drill's own hands, or by what was planted in the candidate."""

from collections.abc import Iterator
from dataclasses import dataclass

from gantry.features.drills.model import Candidate, Fault, Schedule
from gantry.features.drills.seen import Seen

# An instance speaks ten times a second; on a machine with much to do, or just before its memory is full, later.
_SPEAKS_S = 0.5
# One that said nothing for so long before the witness left is dead. Longer than the longest hang but for the hands'.
_DEAD_S = 1.0


@dataclass(frozen=True, slots=True)
class Death:
    """It died between the two times.

    Attributes:
        life: the run that ended; empty where only the port is known.
    """

    from_s: float
    to_s: float
    release: str
    port: int
    life: str = ""


def deaths(schedule: Schedule, seen: Seen) -> tuple[Death, ...]:
    """Those that the drill itself is the cause of. Any other is the platform's doing, and excuses nothing."""
    return (*_by_hand(seen), *_by_memory(schedule, seen))


def _by_hand(seen: Seen) -> Iterator[Death]:
    for deed in seen.did(Fault.INSTANCE_KILLED, Fault.CANDIDATE_KILLED):
        yield Death(deed.at_s, deed.at_s, deed.release, deed.port)


def _by_memory(schedule: Schedule, seen: Seen) -> Iterator[Death]:
    """The kernel kills a leaking candidate, and nobody says when: it has spoken for the last time."""
    if schedule.candidate is not Candidate.LEAKING:
        return
    heard_s = max((life.last_s for life in seen.lives), default=0.0)
    for life in seen.lives:
        of_the_candidate = life.release == seen.candidate != ""
        if of_the_candidate and life.told_s is None and life.last_s < heard_s - _DEAD_S:
            yield Death(life.last_s, life.last_s + _SPEAKS_S, life.release, life.port, life.id)
