"""What must hold in a drill, as a pure function of what was observed.

What excuses something is what was done and when, never what was drawn; and what was not observed has not held.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from gantry.drill.failures import unexcused
from gantry.drill.observed import EdgeOutage, InjectedFault, ObservedDrill, VisitorKind
from gantry.drill.schedule import CandidateKind, Fault, Schedule
from gantry.drill.shares import beyond_share, greatest_share, requests_at_stages
from gantry.kernel.units import counted

# Its shim runs a killed edge again at once, whoever else is dead, and it serves within 0.3 s on an idle machine (decision
# 0025). The rest is for two cores that build, start instances and ask 200 times a second at the same time.
_MAX_OUTAGE_S = 2.5
# A killed instance is held against its release with the next numbers: a second for those, one for the next look, and
# some for a machine that has much to do. A verdict that falls later is about something else.
_NOTICED_S = 6.0
# The control plane is asked four times a second and each question may wait two; a killed database needs two or three to
# be back. Beyond that, and beyond what was done to it, nobody was watching.
_UNWATCHED_S = 6.0
_SAFE_METHODS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class DrillResult:
    """A drill and what is wrong with it.

    Attributes:
        wrong_verdict: a bad candidate went live or was called good, or a good one was refused without a reason.
        failed: requests that failed although a healthy instance existed.
        share: of the visitors, the most that the candidate had while it was held at a stage; percent.
        violations: one sentence for each invariant that did not hold.
    """

    schedule: Schedule
    observed: ObservedDrill
    wrong_verdict: bool
    failed: int
    share: float
    violations: tuple[str, ...] = field(default=())


def judge(schedule: Schedule, observed: ObservedDrill) -> DrillResult:
    """Compare what was observed with what must hold."""
    failed = unexcused(schedule, observed)
    verdict = wrong_verdict(schedule, observed)
    violations = [verdict] if verdict else []
    violations += _wrong_ending(observed)
    if failed:
        violations.append(
            f"{counted(len(failed), 'request')} failed although a healthy instance was there; the first after "
            f"{failed[0].at_s:.1f} s: {failed[0].reason}"
        )
    violations += _long_outages(observed)
    violations += _foreign_releases(observed)
    violations += beyond_share(schedule, observed)
    violations += _wrong_copies(observed)
    violations += _missing(schedule, observed)
    return DrillResult(
        schedule,
        observed,
        bool(verdict),
        len(failed),
        greatest_share(observed),
        tuple(violations),
    )


# -- the end


def _wrong_ending(observed: ObservedDrill) -> Iterator[str]:
    if not observed.deploy_ended:
        yield f"the deploy is stuck: it is {observed.deploy}"
        return
    expected = observed.candidate if observed.deploy == "succeeded" else observed.previous
    if observed.live != expected:
        yield f"{observed.live or 'nothing'} is live after a deploy that {observed.deploy}"
    if observed.served_by != observed.live:
        yield (
            f"the status says that {observed.live or 'nothing'} is live, "
            f"the port serves {observed.served_by or 'nothing'}"
        )
    if observed.answers and set(observed.answers[-1].by_release) != {observed.live}:
        yield f"visitors got {sorted(observed.answers[-1].by_release)} in the end"


# -- the edge


def _long_outages(observed: ObservedDrill) -> Iterator[str]:
    for outage in observed.outages:
        lasted_s = outage.to_s - outage.from_s
        if lasted_s > _MAX_OUTAGE_S + _made_to_hang_s(outage, observed):
            yield f"the edge did not answer for {lasted_s:.1f} s"


def _made_to_hang_s(outage: EdgeOutage, observed: ObservedDrill) -> float:
    """How much of that time the schedule itself had asked for: what was killed may be made to hang as it comes back."""
    return sum(
        max(0.0, min(injected.to_s, outage.to_s) - max(injected.at_s, outage.from_s))
        for injected in observed.hits(Fault.EDGE_HANGS)
    )


def _foreign_releases(observed: ObservedDrill) -> Iterator[str]:
    got = {release for slot in observed.answers for release in slot.by_release}
    got |= {switch.release for history in observed.histories for switch in history.switches}
    if others := sorted(got - {observed.previous, observed.candidate}):
        yield f"visitors got {others}, which is neither the candidate nor the previous release"


def _wrong_copies(observed: ObservedDrill) -> Iterator[str]:
    """Requests that an instance got and should not have got."""
    for copies in observed.copies:
        if copies.method not in _SAFE_METHODS:
            yield f"{counted(copies.count, 'copy', 'copies')} of {copies.method} requests arrived at {copies.release}"
        if copies.release != observed.candidate:
            yield f"{counted(copies.count, 'copy', 'copies')} arrived at {copies.release}, which is not the candidate"
    # A copy that does not say that it is one, or a second try of what had arrived.
    times = Counter(order.number for order in observed.orders)
    twice = sorted(number for number, count in times.items() if count > 1)
    if twice:
        yield f"{counted(len(twice), 'order')} arrived more than once: {', '.join(twice[:3])}"


# -- what was decided about the candidate


def wrong_verdict(schedule: Schedule, observed: ObservedDrill) -> str:
    """What was decided about the candidate and should not have been; empty for nothing."""
    if schedule.candidate.is_bad:
        return _called_good(schedule.candidate, observed)
    refused = observed.deploy_ended and observed.deploy != "succeeded"
    if not refused or _candidate_was_hit(observed) or _disk_was_full(observed):
        return ""
    return f"a good candidate was refused: {observed.code}: {observed.reason}"


def _called_good(candidate: CandidateKind, observed: ObservedDrill) -> str:
    """Of a bad candidate, whatever became of the deploy afterwards."""
    if observed.deploy == "succeeded":
        return f"a candidate that is {candidate} went live"
    if observed.rollout == "passed":
        return f"a candidate that is {candidate} passed its rollout"
    for number, stage in enumerate(observed.stages, 1):
        if stage.outcome == "pass":
            return f"the verdict of stage {number} was pass, of a candidate that is {candidate}"
    if candidate is CandidateKind.NEVER_HEALTHY and observed.rollout:
        return "a rollout was begun with a candidate that was never healthy"
    return ""


def _candidate_was_hit(observed: ObservedDrill) -> bool:
    """The verdict fell because an instance of the candidate had been killed."""
    return observed.rollout == "failed" and any(
        _fell_soon_after(injected, observed) for injected in observed.hits(Fault.CANDIDATE_KILLED)
    )


def _fell_soon_after(injected: InjectedFault, observed: ObservedDrill) -> bool:
    fell_s = observed.taken_back_s
    silent_s = observed.control_silent_s(injected.at_s, fell_s)
    return injected.at_s <= fell_s <= injected.at_s + _NOTICED_S + silent_s


def _disk_was_full(observed: ObservedDrill) -> bool:
    """The deploy stopped when there was no space any more, and says so. A verdict needs no space to be right."""
    says_so = "disk" in f"{observed.code} {observed.reason}"
    filled = any(injected.at_s <= observed.ended_s for injected in observed.hits(Fault.DISK_FULL))
    return observed.rollout != "failed" and says_so and filled


# -- what should have been observed and was not: a rule that had nothing to look at has not held


def _missing(schedule: Schedule, observed: ObservedDrill) -> Iterator[str]:
    for subject in (*_unseen_visitors(observed), *_unseen_stages(schedule, observed)):
        yield f"the drill saw nothing of {subject}"
    yield from _unseen_shares(observed)
    if observed.deploy == "succeeded" and observed.rollout != "passed":
        yield (
            f"it went live without a rollout that passed: that is {observed.rollout or 'not there'}"
        )


def _unseen_visitors(observed: ObservedDrill) -> Iterator[str]:
    if not observed.requests or not observed.answers:
        yield "visitors"
    for kind in (VisitorKind.REGULAR, VisitorKind.PAGE):
        if not any(history.switches for history in observed.histories_of(kind)):
            yield str(kind)
    if not all(history.page for history in observed.histories_of(VisitorKind.PAGE)):
        yield "the release of a page"
    if not observed.cache_hits:
        yield "the edge's cache"
    if not observed.orders:
        yield "orders"
    if not observed.runs:
        yield "instances"


def _unseen_stages(schedule: Schedule, observed: ObservedDrill) -> Iterator[str]:
    """Of those that the next followed; what ended within a second may have been missed."""
    stages = observed.stages
    if schedule.mirror and stages and not any(stage.mirror for stage in stages):
        yield "the mirror"
    asked = {percent for percent, (_, of) in requests_at_stages(observed).items() if of}
    for stage in stages:
        if stage.done and stage.mirror and not observed.copies:
            yield "copies"
        if stage.done and not stage.mirror and observed.shares and stage.percent not in asked:
            yield f"the stage of {stage.percent:g} %"
    drawn = any(stage.done and not stage.mirror for stage in stages)
    if drawn and not any(history.cookie for history in observed.histories):
        yield "cookies"


def _unseen_shares(observed: ObservedDrill) -> Iterator[str]:
    if not observed.shares:
        yield "the drill saw nothing of the candidate's share"
        return
    ends = [slot.at_s for slot in observed.answers[-1:]]
    for from_s, to_s in pairwise([0.0, *(share.at_s for share in observed.shares), *ends]):
        if to_s - from_s > _UNWATCHED_S + observed.control_silent_s(from_s, to_s):
            yield f"the drill saw nothing of the candidate's share from {from_s:.1f} to {to_s:.1f} s"
