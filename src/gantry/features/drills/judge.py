"""What must hold in a drill, as a pure function of what was seen."""

from collections.abc import Iterator

from gantry.features.drills import shares
from gantry.features.drills.cookies import not_kept
from gantry.features.drills.copies import wrong_copies
from gantry.features.drills.failing import unexcused
from gantry.features.drills.missing import missing
from gantry.features.drills.model import Fault, Schedule
from gantry.features.drills.result import Result
from gantry.features.drills.seen import Away, Seen
from gantry.features.drills.verdicts import wrong_verdict

# Its shim runs a killed edge again at once, whoever else is dead, and it serves within 0.3 s on an idle machine (decision
# 0025). The rest is for two cores that build, start instances and ask 200 times a second at the same time.
_EDGE_AWAY_S = 2.5


def judge(schedule: Schedule, seen: Seen) -> Result:
    """Compare what was seen with what must hold."""
    failed = unexcused(schedule, seen)
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
    violations += _somebody_else(seen)
    violations += not_kept(schedule, seen)
    violations += wrong_copies(seen)
    violations += missing(schedule, seen)
    greatest = shares.greatest(seen)
    return Result(schedule, seen, bool(verdict), len(failed), greatest, tuple(violations))


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


def _somebody_else(seen: Seen) -> Iterator[str]:
    got = {name for slot in seen.answers for name in slot.by_release}
    got |= {turn.release for trail in seen.trails for turn in trail.turns}
    if others := sorted(got - {seen.before, seen.candidate}):
        yield f"visitors got {others}, which is neither the candidate nor the release before"
