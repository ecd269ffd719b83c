"""What became of requests: in all, and for each backend within the last hour; and the status that is made of it.

An hour, because releases come and go: numbers since the process began would be those of releases that nobody asks any
more. Kept by the minute, so that what is old falls out by itself and backends that are gone are forgotten.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from gantry.cache.store import Store

# What became of a request, or of an answer that made room for others while it could still be given.
Event = Literal["hits", "stale", "misses", "bypassed", "evicted"]

_MINUTES = 60


class Tally:
    """Counts of events.

    Parameters:
        now_s: a clock that does not jump.

    Attributes:
        total: event -> how often, since the process began.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._minutes: deque[tuple[int, Counter[tuple[str, Event]]]] = deque()
        self.total: Counter[Event] = Counter()

    def count(self, backend: str, event: Event) -> None:
        """Count an event of a backend, now."""
        minute = self._minute()
        if not self._minutes or self._minutes[-1][0] != minute:
            self._forget(minute)
            self._minutes.append((minute, Counter()))
        self._minutes[-1][1][backend, event] += 1
        self.total[event] += 1

    def lately(self) -> Mapping[str, Mapping[Event, int]]:
        """Backend -> event -> how often, in this minute and the 59 before."""
        self._forget(self._minute())
        found: dict[str, Counter[Event]] = {}
        for _, counted in self._minutes:
            for (backend, event), times in counted.items():
                found.setdefault(backend, Counter())[event] += times
        return found

    def _minute(self) -> int:
        return int(self._now_s() // 60)

    def _forget(self, minute: int) -> None:
        while self._minutes and self._minutes[0][0] <= minute - _MINUTES:
            self._minutes.popleft()


def status_of(store: Store, tally: Tally) -> dict[str, Any]:
    """The status of a cache that runs, for JSON: its limit, and numbers in all and of each backend lately."""
    lately = tally.lately()
    return {
        "running": True,
        "limit_bytes": store.limit_bytes,
        "total": _numbers(len(store), store.size_bytes, tally.total),
        "lately": {
            name: _numbers(store.entries_of[name], store.bytes_of[name], lately.get(name, {}))
            for name in sorted({*lately, *store.entries_of})
        },
    }


def _numbers(entries: int, size_bytes: int, counts: Mapping[Event, int]) -> dict[str, int]:
    events = {event: counts.get(event, 0) for event in get_args(Event)}
    return {"entries": entries, "size_bytes": size_bytes, **events}
