"""Which visitors the candidate may get: no more than its stage allows, the same ones until it is taken back.

Regulars: within one rollout, whoever keeps their cookie is answered by the previous release until a rise of the share
brings them to the candidate, and by the candidate from then on, until it is taken back. The exception is a candidate that
cannot answer: in the time that a killed instance of it needs to return, a request may be tried on the previous release. And
no more of them come to it than were drawn: a cookie is drawn once, so their number is that of one draw for each, whatever
the number of their requests.

Old pages: what asks with `x-deployment-id` is answered by the release that it was loaded from, whatever is live.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise

from gantry.drill.failures import Death, deaths
from gantry.drill.observed import CandidateShare, ObservedDrill, VisitorKind
from gantry.drill.schedule import RECOVERY_S, Schedule
from gantry.features.rollouts.verdict.statistics import at_least
from gantry.kernel.units import counted

# What the control plane says is in effect a little later, and was asked for a little after it changed.
_SLACK_S = 1.5
# A request that was under way when its instance was killed.
_UNDER_WAY_S = 1.0
# From when a share is recorded until the edge has it: a second on a machine with much to do.
_IN_EFFECT_S = 3.0
_ALL_PERCENT = 100.0
# That luck alone shows so many, at one stage of one drill. The exact chance, because stages that end soon have few requests.
_LUCK = 1e-5


def requests_at_stages(observed: ObservedDrill) -> Mapping[float, tuple[int, int]]:
    """Stage in percent -> how many requests the candidate got, of how many."""
    totals: dict[float, tuple[int, int]] = {}
    for slot in observed.answers:
        allowed = _allowed_at(slot.at_s, observed)
        if allowed is None or allowed >= _ALL_PERCENT:
            continue
        got, of = totals.get(allowed, (0, 0))
        totals[allowed] = (
            got + slot.by_release.get(observed.candidate, 0),
            of + sum(slot.by_release.values()),
        )
    return totals


def greatest_share(observed: ObservedDrill) -> float:
    """The greatest share of the requests that the candidate had at one stage, in percent."""
    totals = requests_at_stages(observed)
    shares = [_ALL_PERCENT * got / of for percent, (got, of) in totals.items() if of and percent]
    return max(shares, default=0.0)


def is_more_than_luck(got: int, of: int, share: float) -> bool:
    """Whether `of` draws of `share` (0 to 1) hardly ever give `got` or more: the exact tail of the binomial distribution."""
    return got > of * share and at_least(got, of, share) < _LUCK


def beyond_share(schedule: Schedule, observed: ObservedDrill) -> Iterator[str]:
    """One sentence for each way in which visitors were not shared out as the stages say; of any candidate, also a good one."""
    above = ", ".join(
        f"{got} of {counted(of, 'request')} at {percent:g} %"
        for percent, (got, of) in sorted(requests_at_stages(observed).items())
        if is_more_than_luck(got, of, percent / _ALL_PERCENT)
    )
    if above:
        yield f"the candidate got more than its stage allows: {above}"
    died = tuple(
        death for death in deaths(schedule, observed) if death.release == observed.candidate
    )
    yield from _sent_back(observed, died)
    yield from _out_of_turn(observed, died)
    yield from _too_many_regulars(observed)
    yield from _strangers_to_their_page(observed)


def _sent_back(observed: ObservedDrill, died: tuple[Death, ...]) -> Iterator[str]:
    back = sorted(
        (later.at_s, later.release)
        for history in observed.histories_of(VisitorKind.REGULAR)
        for earlier, later in pairwise(history.switches)
        if earlier.release == observed.candidate and not _may_leave(later.at_s, observed, died)
    )
    if back:
        at_s, release = back[0]
        yield (
            f"{counted(len(back), 'time')} a visitor who keeps their cookie was sent back from the candidate; "
            f"the first after {at_s:.1f} s, to {release}"
        )


def _may_leave(at_s: float, observed: ObservedDrill, died: tuple[Death, ...]) -> bool:
    # It was taken back a little before the control plane said so, or much before, where nobody could be asked.
    said_next = next((share.taken_back for share in observed.shares if share.at_s >= at_s), False)
    soon = any(share.taken_back for share in observed.shares if share.at_s <= at_s + _SLACK_S)
    return _cannot_answer(at_s, died) or said_next or soon


def _cannot_answer(at_s: float, died: tuple[Death, ...]) -> bool:
    return any(death.from_s - _UNDER_WAY_S <= at_s <= death.to_s + RECOVERY_S for death in died)


def _arrivals(observed: ObservedDrill) -> list[float]:
    """When each regular who ever got the candidate got it first."""
    firsts = (
        next((turn.at_s for turn in history.switches if turn.release == observed.candidate), None)
        for history in observed.histories_of(VisitorKind.REGULAR)
    )
    return sorted(at_s for at_s in firsts if at_s is not None)


def _out_of_turn(observed: ObservedDrill, died: tuple[Death, ...]) -> Iterator[str]:
    came = [
        at_s
        for at_s in _arrivals(observed)
        if not _has_risen(at_s, observed) and not _cannot_answer(at_s, died)
    ]
    # Where nobody said any share, that is what is held against the drill.
    if came and observed.shares:
        yield (
            f"{counted(len(came), 'visitor')} with a kept cookie came to the candidate while its share did not rise; "
            f"the first after {came[0]:.1f} s"
        )


def _has_risen(at_s: float, observed: ObservedDrill) -> bool:
    """Around a moment; what kept the control plane or the edge from doing it makes it later."""
    for earlier, later in pairwise((CandidateShare(0.0, 0.0), *observed.shares)):
        late_s = observed.control_silent_s(earlier.at_s, at_s) + sum(
            outage.to_s - outage.from_s
            for outage in observed.outages
            if earlier.at_s <= outage.to_s <= at_s
        )
        soon = earlier.at_s - _SLACK_S <= at_s <= later.at_s + _IN_EFFECT_S + late_s
        if later.percent > earlier.percent and soon:
            return True
    return False


def _too_many_regulars(observed: ObservedDrill) -> Iterator[str]:
    of = len(observed.histories_of(VisitorKind.REGULAR))
    percents = [_allowed_at(at_s, observed) for at_s in _arrivals(observed)]
    came = [percent for percent in percents if percent is not None]
    for percent in sorted({percent for percent in came if percent < _ALL_PERCENT}):
        got = sum(allowed <= percent for allowed in came)
        if is_more_than_luck(got, of, percent / _ALL_PERCENT):
            yield f"{got} of {counted(of, 'visitor')} with a kept cookie got the candidate at {percent:g} %"


def _strangers_to_their_page(observed: ObservedDrill) -> Iterator[str]:
    for history in observed.histories_of(VisitorKind.PAGE):
        others = [switch for switch in history.switches if switch.release != history.page]
        if history.page and others:
            yield (
                f"a page of {history.page} was answered by {others[0].release} "
                f"after {others[0].at_s:.1f} s"
            )


def _allowed_at(at_s: float, observed: ObservedDrill) -> float | None:
    """The greatest share that was in effect around a moment, in percent; `None` where nobody ever said any."""
    shares = observed.shares
    known = [share.percent for share in shares if at_s - _SLACK_S <= share.at_s <= at_s + _SLACK_S]
    # While nobody could be asked (the control plane was away), what was said last before and first after.
    known += [share.percent for share in shares if share.at_s < at_s][-1:]
    known += [share.percent for share in shares if share.at_s > at_s][:1]
    return max(known, default=None)
