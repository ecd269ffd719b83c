"""How long ago a recorded moment was, whatever happened to the machine's clock since.

Recorded times are the machine's: people, certificates and logs go by it. What Gantry waits for (the deadline of a step, the
time at a stage of a rollout, the life of an old release) is measured between a recorded moment and now, which may lie before
and after a restart of the control plane. An operator or NTP that sets the clock an hour ahead must not end all of them at
once. So the steps of the machine's clock are remembered, as offsets of the wall clock from the seconds since boot.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# Below that a difference is drift, which NTP corrects by itself.
STEP_S = 1.0
# A recorded moment may lie this far ahead: a pause that ends in a minute. What lies further ahead was recorded before the
# clock was set back.
_AHEAD_S = 120.0
# A clock that is set more often than that between two restarts of the machine is somebody's experiment.
_MAX_EPOCHS = 32

_T = TypeVar("_T", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class Epoch:
    """A time during which the machine's clock went evenly.

    Attributes:
        begin_s: seconds since boot when it began.
        offset_s: wall clock (seconds since 1970) less seconds since boot.
    """

    begin_s: float
    offset_s: float


class Timeline:
    """The steps of the machine's clock since boot.

    Parameters:
        kept: epochs that a control plane before this one saw in the same boot.
    """

    def __init__(self, kept: Iterable[Epoch] = ()) -> None:
        self._epochs = list(kept)

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        """What the next control plane goes on with."""
        return tuple(self._epochs)

    def look(self, since_boot_s: float, wall_s: float) -> None:
        """Note where the clocks stand now; to be called at every look at the wall clock."""
        offset_s = wall_s - since_boot_s
        if not self._epochs:
            self._epochs.append(Epoch(since_boot_s, offset_s))
        elif abs(offset_s - self._epochs[-1].offset_s) > STEP_S:
            self._epochs.append(Epoch(since_boot_s, offset_s))
            del self._epochs[:-_MAX_EPOCHS]

    def elapsed_s(self, recorded_wall_s: float, since_boot_s: float) -> float:
        """Seconds that have passed since a moment that was recorded as `recorded_wall_s`; negative when it is yet to come."""
        before_next = False
        end_s = since_boot_s
        for epoch in reversed(self._epochs):
            at_s = recorded_wall_s - epoch.offset_s
            # The newest epoch goes on; and what an epoch planned may lie beyond the step ahead that ended it.
            ahead_s = _AHEAD_S if before_next or epoch is self._epochs[-1] else 0.0
            if epoch.begin_s <= at_s <= end_s + ahead_s:
                return since_boot_s - at_s
            if at_s > end_s and before_next:
                return since_boot_s - end_s  # in the gap that a step ahead left: recorded by nobody
            before_next, end_s = at_s < epoch.begin_s, epoch.begin_s
        # Before the first epoch, thus before this boot: its offset is the best that is known.
        return since_boot_s - (recorded_wall_s - self._epochs[0].offset_s)

    @property
    def is_even(self) -> bool:
        """The clock was never set: recorded moments are what they say."""
        return len(self._epochs) < 2


class EvenClock(Protocol):
    """What can tell how long ago a recorded moment really was."""

    def even(self, recorded: datetime) -> datetime:
        """`recorded` as the present clock would have recorded it: now, less the time that has really passed."""
        ...


def with_even_times(record: _T, clock: EvenClock) -> _T:
    """A dataclass whose moments are those that the present clock would have recorded."""
    changes = {
        field.name: evened
        for field in fields(record)
        if isinstance(moment := getattr(record, field.name), datetime)
        # Nearly always no clock was set: then each record is what it was, and nothing is copied.
        and (evened := clock.even(moment)) is not moment
    }
    return replace(record, **changes) if changes else record
