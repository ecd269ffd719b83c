"""Whether counts show that the candidate is worse, valid however often one looks.

While a step lasts both releases serve the same minutes, and the candidate serves a known share of the requests. If it
is no worse, each bad request (one that failed, or took longer than some bound) belongs to it with just that
probability, whatever the rate of bad requests is and however it changes with the hour. That is the conditional test of
J. Przyborowski and H. Wilenski ("Homogeneity of results in testing samples from Poisson series", 1940): of `total`
bad requests, the candidate's are binomial with its share of the traffic. A burst that hits both releases is no
evidence; neither is a quiet hour.

The rollout looks every second, and a test made for one look errs far more often than it says when it is repeated
(P. Armitage, C. K. McPherson and B. C. Rowe, "Repeated significance tests on accumulating data", 1969). Here the risk
is spent on *how many* bad requests the candidate had instead of on looks: its c-th bad request convicts it when it
comes among the first few bad requests of both releases. Each c is one event that happens once, so that looking more
often adds nothing. Two families of such rules share the risk, and either convicts:

- the first 24 bad requests: limits chosen one after the other, so that the probability of ever being convicted wrongly
  is known exactly and follows a spending plan (K. K. G. Lan and D. L. DeMets, "Discrete sequential boundaries for
  clinical trials", 1983), about half of what is left for each further request. This makes small numbers speak early;
- every count c: the exact binomial tail against a part of the risk proportional to 1 / (c (c - 1)). These parts
  sum to one from c = 2 on (George Boole's inequality), so that this holds for numbers of any size.

What is assumed: bad requests are independent of each other given the rate of the moment, and the candidate's share of
the traffic is steady while a step lasts. The edge sees to the second.
"""

import functools
import math

from gantry.features.rollouts.verdict.tails import at_least

# One bad request is an anecdote.
FEWEST = 2
_FIRST = 24
_EARLY_PART = 0.9
_LONGEST = 400
_GRID = math.log(1.01)


def is_worse(count: int, total: int, share: float, risk: float) -> bool:
    """Whether `count` of `total` bad requests are too many for `share` of the traffic.

    Parameters:
        count: bad requests of the candidate since the step began.
        total: bad requests of both releases since the step began.
        share: the candidate's part of all requests since the step began, 0 to 1.
        risk: the probability of ever saying yes in this step when the candidate is no worse, 0 to 1.
    """
    if count < FEWEST or count <= total * share or share >= 1.0:
        return False
    others = total - count
    if others <= early_limits(_rounded_up(share), risk * _EARLY_PART)[min(count, _FIRST)]:
        return True
    part = (1.0 - _EARLY_PART) / (count * (count - 1))
    return at_least(count, total, share) <= risk * part


def is_beyond(count: int, of: int, tolerated: float) -> bool:
    """Whether `count` bad requests of `of` are more than luck makes of a share of `tolerated`.

    The c-th bad request needs a probability of 1 / c at most: with two, twice as many as tolerated are enough; with
    hundreds, hardly more than tolerated are, but chance that comes and goes while one looks is not. This bounds no risk:
    it keeps a candidate within the tolerance from failing for a difference that is certain but small.
    """
    if count <= of * tolerated:
        return False
    return at_least(count, of, tolerated) <= 1.0 / count


@functools.lru_cache(maxsize=8192)
def early_limits(share: float, risk: float) -> tuple[int, ...]:
    """How many bad requests the current release may have had for the candidate's c-th one to convict, at c = 0 to 24.

    -1 where no number is few enough. Follows the probability that the c-th bad request of the candidate is the s-th of
    both and nothing has convicted before; what convicts leaves the race, so the sum of what left is exact.
    """
    longest = min(_LONGEST, math.ceil(_FIRST / share))
    # arrivals[s]: the candidate's latest bad request is the s-th of both, unconvicted.
    arrivals = [0.0] * (longest + 1)
    arrivals[0] = 1.0
    spent = 0.0
    limits = [-1]
    for count in range(1, _FIRST + 1):
        arrivals = _next_arrivals(arrivals, share)
        last, spent = _convict(arrivals, spent, risk * _plan(count))
        limits.append(max(limits[-1], last - count))
    return tuple(limits)


def _plan(count: int) -> float:
    """The part of the risk that may be spent up to the candidate's `count`-th bad request."""
    if count == _FIRST:
        return 1.0
    return 0.9 * (1.0 - 0.5 ** (count - 1)) + 0.1 * (1.0 - 1.0 / count)


def _next_arrivals(arrivals: list[float], share: float) -> list[float]:
    """From where the latest bad request of the candidate stands to where the next one will."""
    following = [0.0] * len(arrivals)
    waiting = 0.0
    for place in range(1, len(arrivals)):
        waiting = waiting * (1.0 - share) + arrivals[place - 1] * share
        following[place] = waiting
    return following


def _convict(arrivals: list[float], spent: float, budget: float) -> tuple[int, float]:
    """Take the earliest arrivals out as long as the budget allows; the last place taken, and what is spent then."""
    place = 0
    while place + 1 < len(arrivals) and spent + arrivals[place + 1] <= budget:
        place += 1
        spent += arrivals[place]
        arrivals[place] = 0.0
    return place, spent


def _rounded_up(share: float) -> float:
    """`share` on a grid of one percent, so that limits are computed once; upwards is the careful side."""
    return min(0.999999, math.exp(math.ceil(math.log(share) / _GRID) * _GRID))
