"""Whether visitors keep what they got.

Regulars: within one rollout, whoever keeps his cookie is answered by the release before until a rise of the share brings
him to the candidate, and by the candidate from then on, until it is taken back. The exception is a candidate that cannot
answer: in the time that a killed instance of it needs to return, a request may be tried on the release before. And no more
of them come to it than were drawn: a cookie is drawn once, so their number is that of one draw for each, whatever the
number of their requests.

Old pages: what asks with `x-deployment-id` is answered by the release that it was loaded from, whatever is live.
"""

from collections.abc import Iterator
from itertools import pairwise

from gantry.features.drills.deaths import Death, deaths
from gantry.features.drills.model import RECOVERY_S, Schedule
from gantry.features.drills.seen import Seen, Share
from gantry.features.drills.shares import FULL, SLACK_S, allowed_at, is_more_than_luck
from gantry.features.drills.visitors import Habit, Turn

# A request that was under way when its instance was killed.
_UNDER_WAY_S = 1.0
# From when a share is recorded until the edge has it: a second on a machine with much to do.
_IN_EFFECT_S = 3.0


def not_kept(schedule: Schedule, seen: Seen) -> Iterator[str]:
    """What did not hold, in words."""
    died = tuple(one for one in deaths(schedule, seen) if one.release == seen.candidate)
    back = sorted(
        (later.at_s, later.release)
        for turns in _turns(Habit.REGULAR, seen)
        for earlier, later in pairwise(turns)
        if earlier.release == seen.candidate and not _may_leave(later.at_s, seen, died)
    )
    if back:
        at_s, release = back[0]
        yield (
            f"{len(back)} times a visitor who keeps his cookie was sent back from the candidate; "
            f"the first after {at_s:.1f} s, to {release}"
        )
    yield from _out_of_turn(seen, died)
    yield from _too_many(seen)
    yield from _pages(seen)


def _turns(habit: Habit, seen: Seen) -> Iterator[tuple[Turn, ...]]:
    yield from (trail.turns for trail in seen.trails if trail.habit is habit)


def _may_leave(at_s: float, seen: Seen, died: tuple[Death, ...]) -> bool:
    # It was taken back a little before somebody was told so, or much before, where nobody could be asked.
    said_next = next((one.taken_back for one in seen.shares if one.at_s >= at_s), False)
    soon = any(one.taken_back for one in seen.shares if one.at_s <= at_s + SLACK_S)
    return _cannot_answer(at_s, died) or said_next or soon


def _cannot_answer(at_s: float, died: tuple[Death, ...]) -> bool:
    return any(one.from_s - _UNDER_WAY_S <= at_s <= one.to_s + RECOVERY_S for one in died)


def _arrivals(seen: Seen) -> list[float]:
    """When each regular who ever got the candidate got it first."""
    firsts = (
        next((turn.at_s for turn in turns if turn.release == seen.candidate), None)
        for turns in _turns(Habit.REGULAR, seen)
    )
    return sorted(at_s for at_s in firsts if at_s is not None)


def _out_of_turn(seen: Seen, died: tuple[Death, ...]) -> Iterator[str]:
    came = [
        at_s
        for at_s in _arrivals(seen)
        if not _has_risen(at_s, seen) and not _cannot_answer(at_s, died)
    ]
    # Where nobody said any share, that is what is held against the drill.
    if came and seen.shares:
        yield (
            f"{len(came)} visitors who keep their cookie came to the candidate while its share did not rise; "
            f"the first after {came[0]:.1f} s"
        )


def _has_risen(at_s: float, seen: Seen) -> bool:
    """Around a moment; what kept the control plane or the edge from doing it makes it later."""
    for earlier, later in pairwise((Share(0.0, 0.0), *seen.shares)):
        late_s = seen.silent_s(earlier.at_s, at_s) + sum(
            one.to_s - one.from_s for one in seen.away if earlier.at_s <= one.to_s <= at_s
        )
        soon = earlier.at_s - SLACK_S <= at_s <= later.at_s + _IN_EFFECT_S + late_s
        if later.percent > earlier.percent and soon:
            return True
    return False


def _too_many(seen: Seen) -> Iterator[str]:
    of = sum(1 for _ in _turns(Habit.REGULAR, seen))
    steps = [allowed_at(at_s, seen) for at_s in _arrivals(seen)]
    came = [percent for percent in steps if percent is not None]
    for percent in sorted({one for one in came if one < FULL}):
        got = sum(one <= percent for one in came)
        if is_more_than_luck(got, of, percent / FULL):
            yield f"{got} of {of} visitors who keep their cookie got the candidate at {percent:g} %"


def _pages(seen: Seen) -> Iterator[str]:
    for trail in seen.trails:
        strangers = [one for one in trail.turns if one.release != trail.page]
        if trail.habit is Habit.PAGE and trail.page and strangers:
            first = strangers[0]
            yield (
                f"a page of {trail.page} was answered by {first.release} after {first.at_s:.1f} s"
            )
