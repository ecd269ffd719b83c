"""Latency as cumulative counts per upper bound, as Envoy and Prometheus count it."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import inf
from operator import add, sub
from typing import Self

from gantry.kernel.errors import IntegrityError


@lru_cache(maxsize=64)
def _rise(bounds_ms: tuple[float, ...]) -> bool:
    return all(low < high for low, high in pairwise(bounds_ms))


@dataclass(frozen=True, slots=True)
class Histogram:
    """How long requests took.

    Parameters:
        bounds_ms: upper bounds in milliseconds, rising. Empty when latency was not measured.
        counts: for each bound, how many requests took at most that long.
        total: all requests, those slower than the last bound too.

    Raises:
        IntegrityError: counts that no requests can have left.
    """

    bounds_ms: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    total: int = 0

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.bounds_ms):
            raise IntegrityError(
                "verdict.histogram",
                f"{len(self.counts)} counts do not fit {len(self.bounds_ms)} bounds",
            )
        if not _rise(self.bounds_ms):
            raise IntegrityError("verdict.histogram", "the bounds of a histogram do not rise")
        # Sorting what is sorted is the cheapest look at it; numbers are made every second.
        rising = [0, *self.counts, self.total]
        if sorted(rising) != rising:
            raise IntegrityError("verdict.histogram", "the counts of a histogram fall")

    @classmethod
    def of(cls, times_ms: Sequence[float], bounds_ms: tuple[float, ...]) -> Self:
        """Count requests that took `times_ms`."""
        ordered = sorted(times_ms)
        counts = tuple(bisect_right(ordered, bound) for bound in bounds_ms)
        return cls(bounds_ms, counts, len(ordered))

    def slower_than(self, place: int) -> int:
        """How many requests took longer than the bound at `place`."""
        return self.total - self.counts[place]

    def first_bound_from(self, latency_ms: float) -> int | None:
        """The place of the first bound that is at least `latency_ms`; `None` when all are lower."""
        place = bisect_left(self.bounds_ms, latency_ms)
        return place if place < len(self.bounds_ms) else None

    def bounds_beside(self, latency_ms: float) -> range:
        """The places of the last bound below `latency_ms` and of the first from there, where there are such."""
        place = bisect_left(self.bounds_ms, latency_ms)
        return range(max(0, place - 1), min(place + 1, len(self.bounds_ms)))

    def quantile_ms(self, part: float) -> float:
        """The latency that `part` of the requests did not exceed, in milliseconds.

        Within a bucket requests are taken to be spread evenly. Infinite when it lies beyond the last bound, 0 when
        there was no request.
        """
        if self.total == 0:
            return 0.0
        rank = part * self.total
        place = bisect_left(self.counts, rank)
        if place == len(self.counts):
            return inf
        low_ms, low = (self.bounds_ms[place - 1], self.counts[place - 1]) if place else (0.0, 0)
        within = (rank - low) / (self.counts[place] - low) if self.counts[place] > low else 1.0
        return low_ms + within * (self.bounds_ms[place] - low_ms)

    def went_back(self, start: Self) -> bool:
        """Whether some count is lower than it was at `start`: the counting began anew."""
        if not self.bounds_ms or not start.bounds_ms:
            return self.total < start.total
        grown = map(sub, (*self.counts, self.total), (*start.counts, start.total))
        return any(low > high for low, high in pairwise((0, *grown)))

    def __sub__(self, start: Self) -> Self:
        """What was added since `start`. Ask `went_back` first. Nothing without bounds fits any histogram."""
        if not start.total and not (start.bounds_ms and self.bounds_ms):
            return self
        self.must_share_bounds(start)
        counts = tuple(map(sub, self.counts, start.counts))
        return type(self)(self.bounds_ms, counts, self.total - start.total)

    def __add__(self, other: Self) -> Self:
        """Both together."""
        if not self.bounds_ms and not self.total:
            return other
        if not other.bounds_ms and not other.total:
            return self
        self.must_share_bounds(other)
        counts = tuple(map(add, self.counts, other.counts))
        return type(self)(self.bounds_ms, counts, self.total + other.total)

    def must_share_bounds(self, other: Self) -> None:
        """Raise an `IntegrityError` when `other` was counted by different bounds."""
        if self.bounds_ms != other.bounds_ms:
            raise IntegrityError(
                "verdict.bounds", "two histograms with different bounds cannot be compared"
            )
