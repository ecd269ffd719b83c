"""Other rules for the same question, on the same traffic; for `benchmarks.verdict`.

Errors only, one stage of 60 s at 5 % of 200 requests a second, each rule with the risk that Gantry gives that stage, and
all of them only where the errors are beyond the tolerance.
"""

import random
from collections.abc import Callable
from functools import cache
from math import exp, lgamma, log, log1p, sqrt
from statistics import NormalDist

from rich.table import Table

from benchmarks.verdict_traffic import poisson
from gantry.features.rollouts.verdict.statistics import (
    MIN_BAD_REQUESTS,
    RISK_PART_ERRORS,
    at_least,
    exceeds_tolerance,
    is_worse,
    stage_risk,
)

_SECONDS = 60
_POOL = 2000
_RATES = (10.0, 190.0)
_ALPHA = stage_risk(0.01, 1) * RISK_PART_ERRORS
_MARGIN = 0.01
_CASES = ((0.001, 0.001), (0.005, 0.005), (0.02, 0.02), (0.05, 0.001))

# Candidate's errors and requests, the current release's errors and requests -> fail?
Rule = Callable[[int, int, int, int], bool]


def _gantry(errors: int, requests: int, others: int, other_requests: int) -> bool:
    share = requests / (requests + other_requests)
    return is_worse(errors, errors + others, share, _ALPHA)


def _boole_only(errors: int, requests: int, others: int, other_requests: int) -> bool:
    """The exact tail at each count, without the early limits."""
    if errors < 2:
        return False
    share = requests / (requests + other_requests)
    return at_least(errors, errors + others, share) <= _ALPHA / (errors * (errors - 1))


def _mixture(errors: int, requests: int, others: int, other_requests: int) -> bool:
    """A likelihood ratio mixed over the candidate's part of the errors, against 1 / alpha.

    The mixture is a beta distribution with weight 1 / 2 on the candidate's share of the traffic (H. Robbins, "Statistical methods
    related to the law of the iterated logarithm", 1970; J. Ville, "Étude critique de la notion de collectif", 1939).
    """
    share = requests / (requests + other_requests)
    if errors <= share * (errors + others):
        return False
    a, b = 1.0, 1.0
    mixed = _log_beta(errors + a, others + b) - _log_beta(a, b)
    return mixed - errors * log(share) - others * log1p(-share) >= -log(_ALPHA)


def _fisher_each_second(errors: int, requests: int, others: int, other_requests: int) -> bool:
    """R. A. Fisher's exact test ("Statistical Methods for Research Workers", 1934), repeated without correction."""
    return _fisher(errors, requests, others, other_requests) <= _ALPHA


def _fisher_by_analyses(errors: int, requests: int, others: int, other_requests: int) -> bool:
    """The same with its risk divided by the number of analyses."""
    return _fisher(errors, requests, others, other_requests) <= _ALPHA / _SECONDS


def _normal_each_second(errors: int, requests: int, others: int, other_requests: int) -> bool:
    """The pooled z-test of two proportions, repeated without correction."""
    pooled = (errors + others) / (requests + other_requests)
    if not 0.0 < pooled < 1.0:
        return False
    deviation = sqrt(pooled * (1 - pooled) * (1 / requests + 1 / other_requests))
    z = (errors / requests - others / other_requests) / deviation
    return z >= NormalDist().inv_cdf(1.0 - _ALPHA)


def _threshold(errors: int, requests: int, others: int, other_requests: int) -> bool:
    """More than the margin above the current release, once 50 requests were seen: no statistics."""
    share = other_requests and others / other_requests
    return requests >= 50 and errors / requests - share > _MARGIN


RULES: dict[str, Rule] = {
    "Gantry": _gantry,
    "exact tails, Boole's inequality only": _boole_only,
    "mixture likelihood ratio (e-process)": _mixture,
    "Fisher's exact test, risk divided by analyses": _fisher_by_analyses,
    "Fisher's exact test at every analysis": _fisher_each_second,
    "z-test at every analysis": _normal_each_second,
    "threshold from 50 requests on": _threshold,
}


def rivals(rollouts: int, seed: int) -> Table:
    """False alarms and speed of each rule, on the same rollouts."""
    same = [f"false alarms, {100 * share:g} % errors" for share, _ in _CASES[:-1]]
    table = Table(
        "rule",
        *same,
        "5 % against 0.1 %: within 12 s",
        "within 13 s",
        "within 20 s",
        title=f"The same question by other rules: errors only, one stage of 60 s, risk {100 * _ALPHA:.2g} %",
    )
    results = [_after(case, rollouts, seed) for case in _CASES]
    for name in RULES:
        alarms = [sum(after <= _SECONDS for after in result[name]) for result in results[:-1]]
        soon = [sum(after <= limit for after in results[-1][name]) for limit in (12, 13, 20)]
        table.add_row(name, *(f"{100 * count / rollouts:.2f} %" for count in (*alarms, *soon)))
    return table


def _after(case: tuple[float, float], rollouts: int, seed: int) -> dict[str, list[int]]:
    """For each rule, the second in which it failed each rollout; beyond the stage when it did not."""
    source = random.Random(f"{seed} rivals {case}")
    answered = [[poisson(source, rate) for _ in range(_POOL)] for rate in _RATES]
    after: dict[str, list[int]] = {name: [] for name in RULES}
    for _ in range(rollouts):
        seconds = _rollout(source, case, answered)
        for name, rule in RULES.items():
            first = (second for second, counts in seconds if rule(*counts))
            after[name].append(next(first, _SECONDS + 1))
    return after


def _rollout(
    source: random.Random, case: tuple[float, float], answered: list[list[int]]
) -> list[tuple[int, tuple[int, int, int, int]]]:
    """The seconds in which there is something to say: errors beyond the margin."""
    counts, telling = [0, 0, 0, 0], []
    for second in range(1, _SECONDS + 1):
        for side in (0, 1):
            bad = poisson(source, _RATES[side] * case[side])
            counts[2 * side] += bad
            counts[2 * side + 1] += bad + source.choice(answered[side])
        errors, requests, others, other_requests = counts
        tolerated = (others / other_requests if other_requests else 0.0) + _MARGIN
        if errors >= MIN_BAD_REQUESTS and exceeds_tolerance(errors, requests, tolerated):
            telling.append((second, (errors, requests, others, other_requests)))
    return telling


@cache
def _fisher(errors: int, requests: int, others: int, other_requests: int) -> float:
    """P(the candidate has at least `errors`), given all counts but which release had them."""
    total, both = errors + others, requests + other_requests
    ways = _log_choose(both, total)
    return sum(
        exp(_log_choose(requests, k) + _log_choose(other_requests, total - k) - ways)
        for k in range(errors, min(total, requests) + 1)
    )


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
