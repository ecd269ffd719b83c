"""Which failed requests are the platform's fault: those that no injected fault, and no bad candidate, explains."""

from collections.abc import Iterator
from dataclasses import dataclass

from gantry.drill.observed import Failure, ObservedDrill
from gantry.drill.schedule import CandidateKind, Fault, Schedule

# An instance reports ten times a second; on a machine with much to do, or just before its memory is full, later.
_REPORT_GAP_S = 0.5
# One that reported nothing for so long before the drill's end is dead. Longer than any hang but an injected one.
_DEAD_S = 1.0
# A visitor's connection that was idle when the edge was killed is found broken with its next request only.
_LATE_S = 0.5
# Until the kernel has cleared a killed process away and the edge has heard of it, requests are sent to it.
_UNNOTICED_S = 0.5


@dataclass(frozen=True, slots=True)
class Death:
    """The end of an instance that nobody had told to end, somewhere between two times.

    Attributes:
        run: the process that ended; empty where only the port is known.
    """

    from_s: float
    to_s: float
    release: str
    port: int
    run: str = ""


def deaths(schedule: Schedule, observed: ObservedDrill) -> tuple[Death, ...]:
    """Those that the drill itself is the cause of. Any other is the platform's doing, and excuses nothing."""
    return (*_killed(observed), *_out_of_memory(schedule, observed))


def _killed(observed: ObservedDrill) -> Iterator[Death]:
    for injected in observed.hits(Fault.INSTANCE_KILLED, Fault.CANDIDATE_KILLED):
        yield Death(injected.at_s, injected.at_s, injected.release, injected.port)


def _out_of_memory(schedule: Schedule, observed: ObservedDrill) -> Iterator[Death]:
    """The kernel kills a leaking candidate, and nobody says when: it has reported for the last time."""
    if schedule.candidate is not CandidateKind.LEAKING:
        return
    heard_s = max((run.last_s for run in observed.runs), default=0.0)
    for run in observed.runs:
        of_the_candidate = run.release == observed.candidate != ""
        if of_the_candidate and run.told_to_end_s is None and run.last_s < heard_s - _DEAD_S:
            yield Death(run.last_s, run.last_s + _REPORT_GAP_S, run.release, run.port, run.id)


def unexcused(schedule: Schedule, observed: ObservedDrill) -> tuple[Failure, ...]:
    """Failed requests that nothing excuses."""
    died = deaths(schedule, observed)
    return tuple(
        failure
        for failure in observed.failures
        if not _of_a_bad_candidate(failure, schedule, observed)
        and not _while_the_edge_was_dead(failure, observed)
        and not _with_its_instance(failure, observed, died)
    )


def _of_a_bad_candidate(failure: Failure, schedule: Schedule, observed: ObservedDrill) -> bool:
    """An error that the bad candidate itself answered with counts as its share, not as a fault of the platform."""
    return schedule.candidate.is_bad and failure.release == observed.candidate != ""


def _while_the_edge_was_dead(failure: Failure, observed: ObservedDrill) -> bool:
    """What a release answered has come through an edge that was there; while it only hangs, visitors wait."""
    return not failure.from_release and any(
        outage.from_s <= failure.at_s <= outage.to_s + _LATE_S
        for outage in observed.outages
        if not outage.hung_s
    )


def _with_its_instance(failure: Failure, observed: ObservedDrill, died: tuple[Death, ...]) -> bool:
    """An order cannot be sent a second time: one that an instance had when it was killed is lost, and no other."""
    if not failure.order or failure.from_release:
        return False
    arrived = [order for order in observed.orders if order.number == failure.order]
    if not arrived:
        # Sent to an instance that could not take it any more.
        return any(
            failure.began_s - _UNNOTICED_S <= death.to_s and death.from_s <= failure.at_s
            for death in died
        )
    return all(
        any(
            _ended(death, order.run, observed)
            and order.at_s <= death.to_s
            and death.from_s <= failure.at_s
            for death in died
        )
        for order in arrived
    )


def _ended(death: Death, run_id: str, observed: ObservedDrill) -> bool:
    if death.run:
        return death.run == run_id
    return any(run.id == run_id and run.port == death.port for run in observed.runs)
