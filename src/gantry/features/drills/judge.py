"""What must hold in a drill, as a pure function of what was seen."""

import math

from gantry.features.drills.model import Fault, Result, Schedule, Seen

# What the control plane says is in effect a little later, and was asked for a little after it changed.
_SLACK_S = 1.5
# Chance that luck alone shows a candidate with more than its share: about 1 in 30,000 drills.
_SIGMAS = 4.0
_FULL = 100.0
# A visitor's connection that was idle when the edge was killed is found broken with its next request only.
_LATE_S = 0.5
# The edge is back within a second; this is not noise any more.
_EDGE_AWAY_S = 10.0
# Hands of the platform that legitimately end a good deploy: it stops, cleanly, and says why.
_MAY_STOP_A_DEPLOY = frozenset({Fault.DISK_FULL})
# They hit the candidate itself: a verdict against it is no false alarm.
_HITS_THE_CANDIDATE = frozenset({Fault.CANDIDATE_KILLED})


def judge(schedule: Schedule, seen: Seen) -> Result:
    """Compare what was seen with what must hold."""
    failed = tuple(
        failure
        for failure in seen.failures
        if not _is_excused(failure.at_s, seen)
        # An error that the bad candidate itself answered with is counted in its share, not as a fault of the platform.
        and not (schedule.candidate.is_bad and failure.release == seen.candidate != "")
    )
    share, above = _share(seen)
    verdict = _wrong_verdict(schedule, seen) if seen.deploy_ended else ""
    violations = [verdict] if verdict else []
    if seen.deploy_ended:
        violations += _ending(seen)
    else:
        violations.append(f"the deploy is stuck: it is {seen.deploy}")
    if failed:
        first = failed[0]
        violations.append(
            f"{len(failed)} requests failed with a healthy instance there; the first after "
            f"{first.at_s:.1f} s: {first.reason}"
        )
    violations += [
        f"the edge was away for {one.to_s - one.from_s:.1f} s"
        for one in seen.away
        if one.to_s - one.from_s > _EDGE_AWAY_S
    ]
    if above and schedule.candidate.is_bad:
        violations.append(f"the candidate got more than its step: {above}")
    return Result(schedule, seen, bool(verdict), len(failed), share, tuple(violations))


def _is_excused(at_s: float, seen: Seen) -> bool:
    return any(one.from_s <= at_s <= one.to_s + _LATE_S for one in seen.away)


def _wrong_verdict(schedule: Schedule, seen: Seen) -> str:
    """What was decided about the candidate and should not have been; empty for nothing."""
    succeeded = seen.deploy == "succeeded"
    if schedule.candidate.is_bad:
        return f"a candidate that is {schedule.candidate} went live" if succeeded else ""
    if (
        succeeded
        or schedule.has(*_MAY_STOP_A_DEPLOY)
        or (seen.rollout == "failed" and schedule.has(*_HITS_THE_CANDIDATE))
    ):
        return ""
    return f"a good candidate was refused: {seen.code}: {seen.reason}"


def _ending(seen: Seen) -> list[str]:
    wrong = []
    expected = seen.candidate if seen.deploy == "succeeded" else seen.before
    if seen.live != expected:
        wrong.append(f"{seen.live or 'nothing'} is live after a deploy that {seen.deploy}")
    if seen.reached != seen.live:
        wrong.append(
            f"the status says that {seen.live or 'nothing'} is live, the port serves {seen.reached or 'nothing'}"
        )
    if seen.answers and set(seen.answers[-1].by_release) != {seen.live}:
        wrong.append(f"visitors got {sorted(seen.answers[-1].by_release)} in the end")
    return wrong


def _share(seen: Seen) -> tuple[float, str]:
    """The greatest share that the candidate had at one step, in percent; and what was above its step, in words."""
    totals: dict[float, tuple[int, int]] = {}
    for slot in seen.answers:
        allowed = _allowed(slot.at_s, seen)
        if allowed is None or allowed >= _FULL:
            continue
        got, of = totals.get(allowed, (0, 0))
        totals[allowed] = (
            got + slot.by_release.get(seen.candidate, 0),
            of + sum(slot.by_release.values()),
        )
    above = []
    for percent, (got, of) in sorted(totals.items()):
        expected = of * percent / _FULL
        luck = _SIGMAS * math.sqrt(max(expected * (1 - percent / _FULL), 0.0))
        if got > expected + luck:
            above.append(f"{got} of {of} requests at {percent:g} %")
    shares = [_FULL * got / of for percent, (got, of) in totals.items() if of and percent]
    return max(shares, default=0.0), ", ".join(above)


def _allowed(at_s: float, seen: Seen) -> float | None:
    """The greatest share that was in effect around a slot; `None` before anything was known."""
    known = [one.percent for one in seen.shares if at_s - _SLACK_S <= one.at_s <= at_s + _SLACK_S]
    # While nobody could be asked (the control plane was away), what was said last before and first after.
    known += [one.percent for one in seen.shares if one.at_s < at_s][-1:]
    known += [one.percent for one in seen.shares if one.at_s > at_s][:1]
    return max(known, default=None)
