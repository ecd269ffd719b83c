"""Whether counts show that the candidate is worse, valid however often they are analysed. Pure.

While a stage lasts both releases serve the same minutes, and the candidate serves a known share of the requests. If it
is no worse, each bad request (one that failed, or took longer than some bound) belongs to it with just that
probability, whatever the rate of bad requests is and however it changes with the hour. That is the conditional test of
J. Przyborowski and H. Wilenski ("Homogeneity of results in testing samples from Poisson series", 1940): of `total`
bad requests, the candidate's are binomial with its share of the traffic. A burst that hits both releases is no
evidence; neither is a quiet hour.

A rollout is analysed every second, and a test made for one analysis errs far more often than it says when it is
repeated (P. Armitage, C. K. McPherson and B. C. Rowe, "Repeated significance tests on accumulating data", 1969). Here
the risk is spent on *how many* bad requests the candidate had instead of on analyses: its c-th bad request convicts it
when it comes among the first few bad requests of both releases. Each c is one event that happens once, so that
analysing more often adds nothing. Two families of such rules share the risk, and either convicts:

- the first 24 bad requests: limits chosen one after the other, so that the probability of ever being convicted wrongly
  is known exactly and follows a spending plan (K. K. G. Lan and D. L. DeMets, "Discrete sequential boundaries for
  clinical trials", 1983), about half of what is left for each further request. This makes small numbers speak early;
- every count c: the exact binomial tail against a part of the risk proportional to 1 / (c (c - 1)). These parts
  sum to one from c = 2 on (George Boole's inequality), so that this holds for numbers of any size.

What is assumed: bad requests are independent of each other given the rate of the moment, and the candidate's share of
the traffic is steady while a stage lasts. The edge sees to the second.
"""

import functools
import math

# One bad request is an anecdote.
MIN_BAD_REQUESTS = 2
_EARLY_REQUESTS = 24
_EARLY_PART = 0.9
_MAX_ARRIVALS = 400
_GRID = math.log(1.01)

# How the risk of a false alarm is divided, so that a whole rollout keeps what its policy says. Whatever the parts are,
# they sum to at most one, and the probability that any of them errs is at most the sum of the probabilities that each
# errs (C. E. Bonferroni, "Teoria statistica delle classi e calcolo delle probabilità", 1936). Parts of unequal size are
# as valid as equal ones. The first stage gets most: the candidate has least traffic then, and that is where stopping
# early spares visitors. Errors get most of a stage, because requests that fail are rare and each one counts; slowness
# shows in every request and needs little.
_FIRST_STAGE_PART = 0.8
RISK_PART_ERRORS = 0.88
RISK_PART_ERRORS_ALONE = 0.02
RISK_PART_LATENCY = 0.08
RISK_PART_WAITING = 0.02

# Stands for zero in a denominator, as W. J. Thompson and A. R. Barnett do (1986).
_TINY = 1e-300
_PRECISION = 1e-14
_MAX_FRACTION_TERMS = 100_000
# The limit of a share is then too high by less than 1e-7.
_HALVINGS = 24


def is_worse(count: int, total: int, share: float, risk: float) -> bool:
    """Whether `count` of `total` bad requests are too many for `share` of the traffic.

    Parameters:
        count: bad requests of the candidate since the stage began.
        total: bad requests of both releases since the stage began.
        share: the candidate's part of all requests since the stage began, 0 to 1.
        risk: the probability of ever saying yes in this stage when the candidate is no worse, 0 to 1.
    """
    if count < MIN_BAD_REQUESTS or count <= total * share or share >= 1.0:
        return False
    others = total - count
    limits = early_limits(_rounded_up(share), risk * _EARLY_PART)
    if others <= limits[min(count, _EARLY_REQUESTS)]:
        return True
    part = (1.0 - _EARLY_PART) / (count * (count - 1))
    return at_least(count, total, share) <= risk * part


def exceeds_tolerance(count: int, of: int, tolerated: float) -> bool:
    """Whether `count` bad requests of `of` are more than luck makes of a share of `tolerated`.

    The c-th bad request needs a probability of 1 / c at most: with two, twice as many as tolerated are enough; with
    hundreds, hardly more than tolerated are, but chance that comes and goes between analyses is not. This bounds no
    risk: it keeps a candidate within the tolerance from failing for a difference that is certain but small.
    """
    if count <= of * tolerated:
        return False
    return at_least(count, of, tolerated) <= 1.0 / count


def stage_risk(alpha: float, stage: int) -> float:
    """The part of `alpha` for one stage, counted from 1: 0.8 for the first, 0.2 / (k (k - 1)) for stage k.

    Sums to `alpha` over any number of stages.
    """
    return alpha * (
        _FIRST_STAGE_PART if stage <= 1 else (1.0 - _FIRST_STAGE_PART) / (stage * (stage - 1))
    )


def analysis_risk(risk: float, number: int) -> float:
    """The part of `risk` for one analysis, counted from 1, where every analysis is a test of its own.

    1 / (j (j + 1)): sums to `risk` over any number of analyses.
    """
    return risk / (number * (number + 1))


@functools.lru_cache(maxsize=8192)
def early_limits(share: float, risk: float) -> tuple[int, ...]:
    """How many bad requests the current release may have had for the candidate's c-th one to convict, at c = 0 to 24.

    -1 where no number is few enough. Follows the probability that the c-th bad request of the candidate is the s-th of
    both and nothing has convicted before; what convicts leaves the race, so the sum of what left is exact.
    """
    longest = min(_MAX_ARRIVALS, math.ceil(_EARLY_REQUESTS / share))
    # arrivals[s]: the candidate's latest bad request is the s-th of both, unconvicted.
    arrivals = [0.0] * (longest + 1)
    arrivals[0] = 1.0
    spent = 0.0
    limits = [-1]
    for count in range(1, _EARLY_REQUESTS + 1):
        arrivals = _next_arrivals(arrivals, share)
        last, spent = _convict(arrivals, spent, risk * _spending_plan(count))
        limits.append(max(limits[-1], last - count))
    return tuple(limits)


def _spending_plan(count: int) -> float:
    """The part of the risk that may be spent up to the candidate's `count`-th bad request."""
    if count == _EARLY_REQUESTS:
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


# A tail of the binomial distribution is a regularized incomplete beta function, P(X >= k) = I_p(k, n - k + 1)
# (Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, 26.5.24), which a continued fraction gives in a few
# terms whatever the size of n (DLMF 8.17.22, evaluated as in W. J. Lentz, "Generating Bessel functions in Mie scattering
# calculations using continued fractions", 1976).


def at_least(count: int, of: int, share: float) -> float:
    """P(X >= count) where X is how many of `of` trials succeed, each with probability `share`.

    Relative error under 1e-8 up to ten million trials; exact rational arithmetic agrees in the tests.
    """
    if count <= 0:
        return 1.0
    if count > of or share <= 0.0:
        return 0.0
    if share >= 1.0:
        return 1.0
    return _incomplete_beta(float(count), float(of - count + 1), share)


def at_most(count: int, of: int, share: float) -> float:
    """P(X <= count); see `at_least`. Computed from its own side, so that small values stay exact."""
    return at_least(of - count, of, 1.0 - share)


def upper_limit(count: int, of: int, risk: float) -> float:
    """The share that the true one exceeds with probability `risk` at most, when `count` of `of` were seen.

    The one-sided limit of C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in
    the case of the binomial", 1934: the share at which `count` or fewer have probability `risk`. It never
    understates; 1 when nothing was seen.
    """
    if count >= of:
        return 1.0
    low, high = count / of, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if at_most(count, of, middle) > risk:
            low = middle
        else:
            high = middle
    return high


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b) for positive a, b and 0 < x < 1."""
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    # The fraction converges fast on one side of the mean only; the other side is one minus the mirror image.
    if x < (a + 1.0) / (a + b + 2.0):
        return min(1.0, front * _continued_fraction(a, b, x) / a)
    return max(0.0, 1.0 - front * _continued_fraction(b, a, 1.0 - x) / b)


def _continued_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method."""
    upper, lower = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0) or _TINY)
    value = lower
    for m in range(1, _MAX_FRACTION_TERMS):
        place = a + 2 * m
        even = m * (b - m) * x / ((place - 1.0) * place)
        lower = 1.0 / (1.0 + even * lower or _TINY)
        upper = 1.0 + even / upper or _TINY
        value *= lower * upper
        odd = -(a + m) * (a + b + m) * x / (place * (place + 1.0))
        lower = 1.0 / (1.0 + odd * lower or _TINY)
        upper = 1.0 + odd / upper or _TINY
        value *= lower * upper
        if abs(lower * upper - 1.0) < _PRECISION:
            break
    return value
