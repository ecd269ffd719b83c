"""Tries again later: which pieces of work met a transient fault, and when each may be tried next."""

from dataclasses import dataclass, field

_FIRST_S = 0.2
_MAX_S = 30.0
# Two to the tenth is beyond the longest pause already.
_MAX_DOUBLINGS = 10


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a piece of work waits, and for how long."""

    why: str
    delay_s: float

    @property
    def message(self) -> str:
        """For people."""
        return f"waits: {self.why}; next try in {self.delay_s:.0f} s"


@dataclass(slots=True)
class Backoff:
    """Pauses that double with every fault in a row, by the key of the work. Times are monotonic seconds.

    Attributes:
        waits: what each piece of work waits for. The database may be what is waited for, so this is kept here.
    """

    waits: dict[str, Wait] = field(default_factory=dict)
    _retry_at_s: dict[str, float] = field(default_factory=dict)
    _setbacks: dict[str, int] = field(default_factory=dict)
    _since_s: dict[str, float] = field(default_factory=dict)

    def may_try(self, key: str, now_s: float) -> bool:
        """Whether the work may be tried (again) now."""
        return now_s >= self._retry_at_s.get(key, 0.0)

    def set_back(self, key: str, now_s: float, why: str) -> float:
        """The work met a fault: seconds until the next try."""
        count = self._setbacks.get(key, 0) + 1
        self._setbacks[key] = count
        self._since_s.setdefault(key, now_s)
        delay_s = float(min(_MAX_S, _FIRST_S * 2 ** min(count, _MAX_DOUBLINGS)))
        self._retry_at_s[key] = now_s + delay_s
        self.waits[key] = Wait(why, delay_s)
        return delay_s

    def succeeded(self, key: str) -> None:
        """The work went well, or is not wanted any more."""
        for known in (self.waits, self._retry_at_s, self._setbacks, self._since_s):
            known.pop(key, None)

    def waiting_s(self, key: str, now_s: float) -> float:
        """How long the work has met nothing but faults; 0 when the last try went well."""
        return now_s - self._since_s.get(key, now_s)

    def obstacle(self, key: str) -> str:
        """Why the work waits; empty when it does not."""
        wait = self.waits.get(key)
        return wait.why if wait is not None else ""
