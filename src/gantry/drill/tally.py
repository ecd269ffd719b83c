"""What a load got, as numbers."""

import time
from dataclasses import asdict, dataclass, field

_SLOTS_PER_S = 10_000
# The story of a load is kept in tenths of a second, and of so many failures.
TICKS_PER_S = 10
_TOLD = 2_000


@dataclass(slots=True)
class Tally:
    """What came back.

    Attributes:
        releases: release -> responses that it gave.
        first_seen_s, last_seen_s: release -> monotonic time of the begin of its first request and of the end of its
            last response.
        durations: tenths of a millisecond -> requests that took so long.
        story: tenth of a second (monotonic) -> release -> responses that began to be asked for in it.
        failed: when (monotonic seconds), why, and by which release; the first 2,000.
    """

    requests: int = 0
    failures: int = 0
    reconnects: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    releases: dict[str, int] = field(default_factory=dict)
    first_seen_s: dict[str, float] = field(default_factory=dict)
    last_seen_s: dict[str, float] = field(default_factory=dict)
    durations: dict[int, int] = field(default_factory=dict)
    slowest_s: float = 0.0
    story: dict[int, dict[str, int]] = field(default_factory=dict)
    failed: list[tuple[float, str, str]] = field(default_factory=list)

    def answered(self, release: str, began_s: float, took_s: float) -> None:
        """Count a whole response."""
        self.requests += 1
        self.slowest_s = max(self.slowest_s, took_s)
        slot = int(took_s * _SLOTS_PER_S)
        self.durations[slot] = self.durations.get(slot, 0) + 1
        self.releases[release] = self.releases.get(release, 0) + 1
        self.first_seen_s.setdefault(release, began_s)
        self.last_seen_s[release] = began_s + took_s
        tick = self.story.setdefault(int(began_s * TICKS_PER_S), {})
        tick[release] = tick.get(release, 0) + 1

    def percentile_s(self, share: float) -> float:
        """The duration that `share` (0 to 1) of the requests did not exceed, to a tenth of a millisecond."""
        left = share * self.requests
        for slot in sorted(self.durations):
            left -= self.durations[slot]
            if left <= 0:
                return (slot + 1) / _SLOTS_PER_S
        return 0.0

    def overlap_s(self, old: str, new: str) -> float:
        """How long `old` still answered after `new` had begun to; negative: there was a gap between them."""
        return self.last_seen_s[old] - self.first_seen_s[new]

    def summary(self) -> dict[str, object]:
        """Everything, with percentiles in the place of durations."""
        values = asdict(self)
        del values["durations"]
        percentiles = {
            f"p{name}_s": self.percentile_s(share)
            for name, share in (("50", 0.5), ("95", 0.95), ("99", 0.99), ("999", 0.999))
        }
        return values | percentiles

    def fail(self, reason: str, release: str = "") -> None:
        """Count a failure."""
        self.failures += 1
        if len(self.failed) < _TOLD:
            self.failed.append((time.monotonic(), reason, release))
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
