"""Numbers of both releases since a stage came into effect, from counters that may begin anew. Pure.

Counters begin anew when the edge itself does. Both releases' are read together, so a fall of either ends the count that
went before for both: what was counted between the last reading and that moment is lost for both, and neither is compared
with more than the other.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from gantry.features.rollouts.verdict.histogram import Histogram
from gantry.features.rollouts.verdict.model import Numbers, Pair


@dataclass(frozen=True, slots=True)
class Window:
    """Numbers of one stage.

    Attributes:
        base: what had been counted when the present count began.
        last: what had been counted at the last reading.
        carried: what happened before the present count began.
    """

    base: Pair
    last: Pair
    carried: Pair = field(default_factory=Pair)

    @classmethod
    def begin(cls, now: Pair) -> Self:
        """A window that opens now."""
        return cls(base=now, last=now)

    def at(self, now: Pair) -> Self:
        """The window at a later reading of the counters."""
        if not now.began_anew_since(self.last):
            return replace(self, last=now)
        base = Pair(
            _with_traffic_of(self.last.candidate, now.candidate),
            _with_traffic_of(self.last.current, now.current),
        )
        return replace(self, base=base, last=now, carried=self.total)

    def timed_from(self, now: Pair) -> Self:
        """The same with times that begin at `now`: those until then may be of requests before the window opened."""
        return replace(
            self,
            base=_with_latency_of(self.base, now),
            last=_with_latency_of(self.last, now),
            carried=_with_latency_of(self.carried, Pair()),
        )

    @property
    def total(self) -> Pair:
        """Everything that happened in it."""
        return self.carried + (self.last - self.base)

    def as_dict(self) -> dict[str, Any]:
        """Stored form."""
        return asdict(self)

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> Self:
        """From its stored form."""
        return cls(**{name: _pair(pair) for name, pair in stored.items()})


@dataclass(frozen=True, slots=True)
class StageWindows:
    """The windows of one stage: of visitors' requests, and of Gantry's own."""

    visitors: Window
    own: Window

    @classmethod
    def begin(cls, visitors: Pair, own: Pair) -> Self:
        """Windows that open now."""
        return cls(Window.begin(visitors), Window.begin(own))

    def at(self, visitors: Pair, own: Pair) -> Self:
        """The windows at a later reading of the counters."""
        return type(self)(self.visitors.at(visitors), self.own.at(own))

    def as_dict(self) -> dict[str, Any]:
        """Stored form."""
        return {"visitors": self.visitors.as_dict(), "own": self.own.as_dict()}

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> Self:
        """From its stored form."""
        return cls(Window.parse(stored["visitors"]), Window.parse(stored["own"]))


def _with_traffic_of(numbers: Numbers, other: Numbers) -> Numbers:
    """Restarts and the like are counted elsewhere, and go on."""
    return replace(numbers, requests=other.requests, errors=other.errors, latency=other.latency)


def _with_latency_of(pair: Pair, other: Pair) -> Pair:
    return Pair(
        replace(pair.candidate, latency=other.candidate.latency),
        replace(pair.current, latency=other.current.latency),
    )


def _pair(stored: Mapping[str, Any]) -> Pair:
    return Pair(_numbers(stored["candidate"]), _numbers(stored["current"]))


def _numbers(stored: Mapping[str, Any]) -> Numbers:
    times = stored["latency"]
    return Numbers(
        requests=stored["requests"],
        errors=stored["errors"],
        latency=Histogram(tuple(times["bounds_ms"]), tuple(times["counts"]), times["total"]),
        waiting=stored["waiting"],
        restarts=stored["restarts"],
        out_of_memory_kills=stored["out_of_memory_kills"],
        smoke_failures=stored["smoke_failures"],
    )
