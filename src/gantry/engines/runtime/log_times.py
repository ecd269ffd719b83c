"""When a log was written: marks of how far it had grown at which moment.

A program writes to its log itself, with nobody between, so no line carries a time. The platform notes the size of every
log that grows a few times a second; a line was written before the first mark that lies behind it. What was written
while no control plane ran has the time of its first mark after that.
"""

import array
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

# A mark is two numbers of eight bytes: milliseconds since 1970, and the size of the log in bytes.
_MARK_BYTES = 16
_MAX_MARKS = 65_536


@dataclass(frozen=True, slots=True)
class Marks:
    """What was noted of one log, the oldest first.

    Attributes:
        at_ms: moments, in milliseconds since 1970; never falling.
        sizes: how far the log had grown by then, in bytes; strictly growing.
    """

    at_ms: Sequence[int] = ()
    sizes: Sequence[int] = ()

    def times_of(self, offsets: Iterable[int], otherwise: datetime) -> tuple[datetime, ...]:
        """When what begins at each of the offsets was written, at the latest.

        Parameters:
            otherwise: of what lies behind the last mark.
        """
        places = (bisect_right(self.sizes, offset) for offset in offsets)
        return tuple(
            datetime.fromtimestamp(self.at_ms[place] / 1000, UTC)
            if place < len(self.sizes)
            else otherwise
            for place in places
        )

    def offset_at(self, moment: datetime) -> int:
        """Where to begin reading for everything that was written from `moment` on."""
        place = bisect_left(self.at_ms, int(moment.timestamp() * 1000))
        return self.sizes[place - 1] if place else 0


@dataclass(frozen=True, slots=True)
class LogTimes:
    """The marks of one log, in a file beside it."""

    path: Path

    def read(self) -> Marks:
        """All marks; none where there is no file yet."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return Marks()
        numbers = array.array("Q", data[: len(data) // _MARK_BYTES * _MARK_BYTES])
        return Marks(numbers[0::2], numbers[1::2])

    def mark(self, at: datetime, size: int) -> None:
        """Note that the log has `size` bytes now. One file is written by one process, whole marks at a time."""
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            whole = os.fstat(handle).st_size // _MARK_BYTES * _MARK_BYTES
            # The machine's clock may have been set back since the last one.
            last = array.array("Q", os.pread(handle, _MARK_BYTES, max(0, whole - _MARK_BYTES)))
            at_ms = max(int(at.timestamp() * 1000), last[0] if whole else 0)
            os.write(handle, array.array("Q", (at_ms, size)).tobytes())
            too_many = whole >= _MAX_MARKS * _MARK_BYTES
        finally:
            os.close(handle)
        if too_many:
            self._thin_out()

    def _thin_out(self) -> None:
        """Of the older half every second mark goes: old lines may be a little less exact."""
        marks = self.read()
        half = len(marks.sizes) // 2
        pairs = list(zip(marks.at_ms, marks.sizes, strict=True))
        kept = [*pairs[1:half:2], *pairs[half:]]
        numbers = array.array("Q", (number for pair in kept for number in pair))
        new = self.path.with_suffix(".new")
        new.write_bytes(numbers.tobytes())
        new.replace(self.path)
