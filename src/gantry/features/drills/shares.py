"""Whether the candidate got more of the visitors than it was given."""

import math
from collections.abc import Mapping

from gantry.features.drills.seen import Seen

# What the control plane says is in effect a little later, and was asked for a little after it changed.
SLACK_S = 1.5
FULL = 100.0
# That luck alone shows so many, at one step of one drill. The exact chance, because steps that end soon have few requests.
_LUCK = 1e-5


def at_steps(seen: Seen) -> Mapping[float, tuple[int, int]]:
    """Step in percent -> how many requests the candidate got, of how many."""
    totals: dict[float, tuple[int, int]] = {}
    for slot in seen.answers:
        allowed = allowed_at(slot.at_s, seen)
        if allowed is None or allowed >= FULL:
            continue
        got, of = totals.get(allowed, (0, 0))
        totals[allowed] = (
            got + slot.by_release.get(seen.candidate, 0),
            of + sum(slot.by_release.values()),
        )
    return totals


def above(seen: Seen) -> str:
    """What was above its step, in words; of any candidate, also a good one. Empty for nothing."""
    return ", ".join(
        f"{got} of {of} requests at {percent:g} %"
        for percent, (got, of) in sorted(at_steps(seen).items())
        if is_more_than_luck(got, of, percent / FULL)
    )


def greatest(seen: Seen) -> float:
    """The greatest share that it had at one step, in percent."""
    shares = [FULL * got / of for percent, (got, of) in at_steps(seen).items() if of and percent]
    return max(shares, default=0.0)


def is_more_than_luck(got: int, of: int, share: float) -> bool:
    """Whether `of` draws of `share` hardly ever give `got` or more: the exact tail of the binomial distribution."""
    if got <= of * share:
        return False
    if share <= 0:
        return True
    tail = sum(math.exp(_log_chance(k, of, share)) for k in range(got, of + 1))
    return tail < _LUCK


def _log_chance(k: int, of: int, share: float) -> float:
    ways = math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)
    return ways + k * math.log(share) + (of - k) * math.log1p(-share)


def allowed_at(at_s: float, seen: Seen) -> float | None:
    """The greatest share that was in effect around a moment, in percent; `None` where nobody ever said any."""
    known = [one.percent for one in seen.shares if at_s - SLACK_S <= one.at_s <= at_s + SLACK_S]
    # While nobody could be asked (the control plane was away), what was said last before and first after.
    known += [one.percent for one in seen.shares if one.at_s < at_s][-1:]
    known += [one.percent for one in seen.shares if one.at_s > at_s][:1]
    return max(known, default=None)
