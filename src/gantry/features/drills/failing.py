"""Which failed requests are the platform's."""

from gantry.features.drills.deaths import Death, deaths
from gantry.features.drills.model import Schedule
from gantry.features.drills.seen import Seen
from gantry.features.drills.visitors import Failure

# A visitor's connection that was idle when the edge was killed is found broken with its next request only.
_LATE_S = 0.5
# Until the kernel has cleared a killed process away and the edge has heard of it, requests are sent to it.
_UNHEARD_S = 0.5


def unexcused(schedule: Schedule, seen: Seen) -> tuple[Failure, ...]:
    """Those that nothing excuses."""
    died = deaths(schedule, seen)
    return tuple(
        failure
        for failure in seen.failures
        if not _of_a_bad_one(failure, schedule, seen)
        and not _while_the_edge_was_dead(failure, seen)
        and not _with_its_instance(failure, seen, died)
    )


def _of_a_bad_one(failure: Failure, schedule: Schedule, seen: Seen) -> bool:
    """An error that the bad candidate itself answered with counts as its share, not as a fault of the platform."""
    return schedule.candidate.is_bad and failure.release == seen.candidate != ""


def _while_the_edge_was_dead(failure: Failure, seen: Seen) -> bool:
    """What a release answered has come through an edge that was there; while it only hangs, visitors wait."""
    by_a_release = failure.release not in ("", "edge")
    return not by_a_release and any(
        one.from_s <= failure.at_s <= one.to_s + _LATE_S for one in seen.away if not one.hung_s
    )


def _with_its_instance(failure: Failure, seen: Seen, died: tuple[Death, ...]) -> bool:
    """An order cannot be sent a second time: one that an instance had when it was killed is lost, and no other."""
    if not failure.order or failure.release not in ("", "edge"):
        return False
    arrived = [one for one in seen.orders if one.number == failure.order]
    if not arrived:
        # Sent to an instance that could not take it any more.
        return any(
            failure.began_s - _UNHEARD_S <= death.to_s and death.from_s <= failure.at_s
            for death in died
        )
    return all(
        any(
            _ended(death, order.life, seen) and order.at_s <= death.to_s and death.from_s <= failure.at_s
            for death in died
        )
        for order in arrived
    )  # fmt: skip


def _ended(death: Death, life: str, seen: Seen) -> bool:
    if death.life:
        return death.life == life
    return any(one.id == life and one.port == death.port for one in seen.lives)
