"""What became of requests: in all, and for each backend within the last hour.

An hour, because releases come and go: numbers since the process began would be those of releases that nobody asks any
more. Kept by the minute, so that what is old falls out by itself and backends that are gone are forgotten.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Literal

What = Literal["hits", "stale", "misses", "bypassed", "evicted"]

_MINUTES = 60


class Tally:
    """Counts.

    Parameters:
        now_s: a clock that does not jump.

    Attributes:
        total: what -> how often, since the process began.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._minutes: deque[tuple[int, Counter[tuple[str, What]]]] = deque()
        self.total: Counter[What] = Counter()

    def count(self, backend: str, what: What) -> None:
        """Once more."""
        minute = self._minute()
        if not self._minutes or self._minutes[-1][0] != minute:
            self._forget(minute)
            self._minutes.append((minute, Counter()))
        self._minutes[-1][1][backend, what] += 1
        self.total[what] += 1

    def lately(self) -> Mapping[str, Mapping[What, int]]:
        """Backend -> what -> how often, in this minute and the 59 before."""
        self._forget(self._minute())
        found: dict[str, Counter[What]] = {}
        for _, counted in self._minutes:
            for (backend, what), times in counted.items():
                found.setdefault(backend, Counter())[what] += times
        return found

    def _minute(self) -> int:
        return int(self._now_s() // 60)

    def _forget(self, minute: int) -> None:
        while self._minutes and self._minutes[0][0] <= minute - _MINUTES:
            self._minutes.popleft()
