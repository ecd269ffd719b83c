"""What must hold in a drill, as a pure function of what was seen."""

from collections.abc import Iterator

from gantry.features.drills import shares
from gantry.features.drills.missing import missing
from gantry.features.drills.model import Fault, Schedule
from gantry.features.drills.result import Result
from gantry.features.drills.seen import Away, Failure, Seen
from gantry.features.drills.verdicts import wrong_verdict

# A visitor's connection that was idle when the edge was killed is found broken with its next request only.
_LATE_S = 0.5
# Its shim runs a killed edge again at once, whoever else is dead, and it serves within 0.3 s on an idle machine (decision
# 0025). The rest is for two cores that build, start instances and ask 200 times a second at the same time.
_EDGE_AWAY_S = 2.5


def judge(schedule: Schedule, seen: Seen) -> Result:
    """Compare what was seen with what must hold."""
    failed = tuple(one for one in seen.failures if not _is_excused(one, schedule, seen))
    verdict = wrong_verdict(schedule, seen)
    violations = [verdict] if verdict else []
    violations += _ending(seen)
    if failed:
        violations.append(
            f"{len(failed)} requests failed with a healthy instance there; the first after "
            f"{failed[0].at_s:.1f} s: {failed[0].reason}"
        )
    violations += _too_long_away(seen)
    if above := shares.above(seen):
        violations.append(f"the candidate got more than its step: {above}")
    violations += missing(seen)
    greatest = shares.greatest(seen)
    return Result(schedule, seen, bool(verdict), len(failed), greatest, tuple(violations))


def _is_excused(failure: Failure, schedule: Schedule, seen: Seen) -> bool:
    if failure.release and failure.release == seen.candidate:
        # An error that the bad candidate itself answered with counts as its share, not as a fault of the platform.
        return schedule.candidate.is_bad
    # What a release answered has come through an edge that was there.
    return failure.release != seen.before and any(
        one.from_s <= failure.at_s <= one.to_s + _LATE_S for one in seen.away if not one.hung_s
    )


def _ending(seen: Seen) -> Iterator[str]:
    if not seen.deploy_ended:
        yield f"the deploy is stuck: it is {seen.deploy}"
        return
    expected = seen.candidate if seen.deploy == "succeeded" else seen.before
    if seen.live != expected:
        yield f"{seen.live or 'nothing'} is live after a deploy that {seen.deploy}"
    if seen.reached != seen.live:
        yield (
            f"the status says that {seen.live or 'nothing'} is live, "
            f"the port serves {seen.reached or 'nothing'}"
        )
    if seen.answers and set(seen.answers[-1].by_release) != {seen.live}:
        yield f"visitors got {sorted(seen.answers[-1].by_release)} in the end"


def _too_long_away(seen: Seen) -> Iterator[str]:
    for one in seen.away:
        took_s = one.to_s - one.from_s
        if took_s > _EDGE_AWAY_S + _made_to_hang_s(one, seen):
            yield f"the edge was away for {took_s:.1f} s"


def _made_to_hang_s(away: Away, seen: Seen) -> float:
    """How much of that time the schedule itself had asked for: what was killed may be made to hang as it comes back."""
    return sum(
        max(0.0, min(deed.to_s, away.to_s) - max(deed.at_s, away.from_s))
        for deed in seen.did(Fault.EDGE_HANGS)
    )
