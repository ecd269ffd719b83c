"""A wall clock that does not jump.

Everything that Gantry waits for (the deadline of a step, the time at a stage of a rollout, the life of an old release)
is measured between two moments that are written down, and may lie before and after a restart of the control plane. An
operator or NTP that sets the machine's clock an hour ahead must not end all of them at once. So the platform's clock
goes with the time since boot, and is brought to the machine's clock slowly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from gantry.kernel.clock import SystemClock

# A second of difference is made good in ten: what lasts a minute is measured within six seconds.
_SLEW = 0.1
# A machine that wakes up in 1970 and learns the date from the network cannot be followed slowly.
_TOO_FAR_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Anchor:
    """What is kept of the clock over a restart.

    Attributes:
        boot: identity of the machine's boot; its counter of seconds begins anew with each.
        since_boot_s: when this was written.
        wall_s: the platform's clock then, seconds since 1970.
    """

    boot: str
    since_boot_s: float
    wall_s: float


class SteadyClock(SystemClock):
    """The platform's clock.

    Parameters:
        wall_s: the machine's clock, seconds since 1970; it may jump.
        since_boot_s: seconds since boot, time asleep included; it does not.
        boot: identity of this boot.
        kept: what a control plane before this one had; of another boot it is ignored.
    """

    def __init__(
        self,
        wall_s: Callable[[], float],
        since_boot_s: Callable[[], float],
        boot: str,
        kept: Anchor | None = None,
    ) -> None:
        self._wall_s = wall_s
        self._since_boot_s = since_boot_s
        if kept is None or kept.boot != boot or kept.since_boot_s > since_boot_s():
            kept = Anchor(boot, since_boot_s(), wall_s())
        self._anchor = kept

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.fromtimestamp(self._moved().wall_s, UTC)

    def anchor(self) -> Anchor:
        """What the next control plane goes on with."""
        return self._moved()

    def _moved(self) -> Anchor:
        last, at_s = self._anchor, self._since_boot_s()
        passed_s = max(0.0, at_s - last.since_boot_s)
        steady_s = last.wall_s + passed_s
        behind_s = self._wall_s() - steady_s
        if abs(behind_s) < _TOO_FAR_S:
            behind_s = max(-_SLEW * passed_s, min(_SLEW * passed_s, behind_s))
        self._anchor = Anchor(last.boot, at_s, steady_s + behind_s)
        return self._anchor
