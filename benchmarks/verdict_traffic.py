"""Synthetic traffic of two releases, second by second, from a seed; for `benchmarks.verdict`.

Requests arrive as a Poisson process, each fails by itself with the scenario's probability, and takes a log-normal time.
Seconds of latency are drawn once for each rate and reused in random order; errors are drawn anew for every rollout.
"""

import random
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from math import exp, log, log1p
from operator import add

from gantry.features.rollouts.verdict.histogram import Histogram
from gantry.features.rollouts.verdict.model import Numbers

# 30 bounds from 1 ms to 60 s, as the edge is configured.
BOUNDS_MS = tuple(round(60_000 ** (place / 29), 2) for place in range(30))
STAGE_S = 60
SHARES = (0.05, 0.10, 0.25, 0.50)
_MEDIAN_MS = 50.0
_SPREAD = 0.6
_POOL_REQUESTS = 80_000
_POOL_REQUESTS_CHANGING = 10_000
_MIN_SECONDS = 200
_MAX_SECONDS = 20_000
_BURST_S = range(20, 23)

# How many times as long a request takes, `second` seconds into the rollout.
Slowness = Callable[[random.Random, int], float]


def unchanged(_random: random.Random, _second: int) -> float:
    """As on the current release."""
    return 1.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A candidate, and the release that it is compared with.

    Parameters:
        requests_s: of both together.
        bursts: both releases fail half of their requests for three seconds of every minute.
        slowness_every_s: after so many seconds slowness is drawn anew; 0 when it does not change with time.
    """

    name: str
    requests_s: float = 200.0
    current_errors: float = 0.001
    candidate_errors: float = 0.001
    bursts: bool = False
    answers: bool = True
    slowness: Slowness = unchanged
    slowness_every_s: int = 0


@dataclass(frozen=True, slots=True)
class _Second:
    requests: int
    cumulative: tuple[int, ...]


# Seconds of traffic by rate, slowness and how far into the rollout; shared by scenarios.
Pools = dict[tuple[float, Slowness, int], list[_Second]]


@dataclass(slots=True)
class Traffic:
    """What both releases see in a rollout of `scenario`."""

    scenario: Scenario
    random: random.Random
    pools: Pools = field(default_factory=dict)

    def stage(self, stage: int) -> Iterator[tuple[Numbers, Numbers]]:
        """The candidate's and the current release's numbers after each second of stage `stage`, counted from 0."""
        share, scenario = SHARES[stage], self.scenario
        candidate = _Running(scenario.candidate_errors, self.random)
        current = _Running(scenario.current_errors, self.random)
        then: list[_Second] = []
        draw = self.random.random
        hung, every = 0, scenario.slowness_every_s or STAGE_S
        now = self._pool((1.0 - share) * scenario.requests_s, unchanged, 0)
        for second in range(STAGE_S):
            if second % every == 0:
                at = (stage * STAGE_S + second) if scenario.slowness_every_s else 0
                then = self._pool(share * scenario.requests_s, scenario.slowness, at)
            burst = scenario.bursts and second in _BURST_S
            seen = then[int(draw() * len(then))]
            if scenario.answers:
                candidate.add(seen, burst)
            else:
                hung += seen.requests
            current.add(now[int(draw() * len(now))], burst)
            yield candidate.numbers(hung), current.numbers(0)

    def _pool(self, rate: float, slowness: Slowness, at: int) -> list[_Second]:
        key = rate, slowness, at
        if key not in self.pools:
            requests = _POOL_REQUESTS_CHANGING if at else _POOL_REQUESTS
            seconds = min(_MAX_SECONDS, max(_MIN_SECONDS, int(requests / rate)))
            self.pools[key] = [_second(self.random, *key) for _ in range(seconds)]
        return self.pools[key]


@dataclass(slots=True)
class _Running:
    """Counters of one release."""

    error_share: float
    random: random.Random
    requests: int = 0
    errors: int = 0
    cumulative: tuple[int, ...] = (0,) * len(BOUNDS_MS)
    until_error: int = -1

    def add(self, seen: _Second, burst: bool) -> None:
        """Count one more second."""
        self.requests += seen.requests
        self.cumulative = tuple(map(add, self.cumulative, seen.cumulative))
        if burst:
            self.errors += sum(self.random.getrandbits(1) for _ in range(seen.requests))
        elif self.error_share == 1.0:
            self.errors += seen.requests
        elif self.error_share > 0.0:
            self.errors += self._failing(seen.requests)

    def _failing(self, requests: int) -> int:
        """How many of the next `requests` fail; draws only the distances between those that do."""
        failing = 0
        if self.until_error < 0:
            self.until_error = self._distance()
        while self.until_error < requests:
            failing += 1
            self.until_error += 1 + self._distance()
        self.until_error -= requests
        return failing

    def _distance(self) -> int:
        return int(log(1.0 - self.random.random()) / log1p(-self.error_share))

    def numbers(self, waiting: int) -> Numbers:
        """What is known now."""
        timed = Histogram(BOUNDS_MS, self.cumulative, self.requests)
        return Numbers(self.requests, self.errors, timed, waiting)


def _second(source: random.Random, rate: float, slowness: Slowness, at: int) -> _Second:
    requests = poisson(source, rate)
    buckets = [0] * (len(BOUNDS_MS) + 1)
    for _ in range(requests):
        took_ms = _MEDIAN_MS * slowness(source, at) * source.lognormvariate(0.0, _SPREAD)
        buckets[bisect_left(BOUNDS_MS, took_ms)] += 1
    return _Second(requests, tuple(accumulate(buckets[:-1])))


def poisson(source: random.Random, mean: float) -> int:
    """A Poisson number, by D. E. Knuth's product of uniforms in parts small enough for floating point."""
    count = 0
    while mean > 0.0:
        part = min(mean, 500.0)
        mean -= part
        limit, product = exp(-part), source.random()
        while product > limit:
            count += 1
            product *= source.random()
    return count
