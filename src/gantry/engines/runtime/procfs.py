"""What /proc says of processes."""

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Identity:
    """A process, told from a later one with the same number by the moment it started.

    Attributes:
        start_ticks: since the machine booted.
    """

    pid: int
    start_ticks: int

    def alive(self) -> bool:
        """It runs. One that has ended and waits to be collected (state Z) does not."""
        seen = read(self.pid)
        return seen is not None and seen.start_ticks == self.start_ticks


def now_ticks() -> int:
    """The moment as start times are counted."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS_PER_S)


@dataclass(frozen=True, slots=True)
class Seen:
    """One process that runs now."""

    pid: int
    parent: int
    session: int
    start_ticks: int
    resident_bytes: int

    @property
    def identity(self) -> Identity:
        return Identity(self.pid, self.start_ticks)


def read(pid: int) -> Seen | None:
    """The process, or `None` when it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may contain anything, also spaces and parentheses.
    return _parse(pid, text.rpartition(b") ")[2])


def _parse(pid: int, after_name: bytes) -> Seen | None:
    fields = after_name.split()
    if fields[0] in (b"Z", b"X"):
        return None
    return Seen(
        pid=pid,
        parent=int(fields[1]),
        session=int(fields[3]),
        start_ticks=int(fields[19]),
        resident_bytes=int(fields[21]) * _PAGE_BYTES,
    )


def parse_identity(line: str) -> Identity | None:
    """What `identify` in shim.sh wrote: the number, then the fields of `stat` after the name."""
    pid, _, rest = line.partition(" ")
    fields = rest.split()
    if not pid.isdecimal() or len(fields) < 20:
        return None
    return Identity(int(pid), int(fields[19]))


def children(pid: int) -> tuple[int, ...]:
    """Direct children, whichever of its threads made them."""
    found: list[int] = []
    # It may end, or one of its threads, while it is looked at.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 -- names only
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return tuple(found)


def inner_pid(pid: int) -> int | None:
    """The number of `pid` in its own, innermost pid namespace."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    numbers = next((line for line in lines if line.startswith("NSpid:")), "")
    return int(numbers.split()[-1]) if numbers else None


def descends(pid: int, ancestor: int) -> bool:
    """`pid` is `ancestor` or below it. A chain of ours has at most five links."""
    for _ in range(6):
        if pid == ancestor:
            return True
        seen = read(pid)
        if seen is None:
            return False
        pid = seen.parent
    return False


class Machine:
    """Every process that this user may see, as of the first question about them."""

    @cached_property
    def processes(self) -> Mapping[int, Seen]:
        """By number."""
        names = os.listdir("/proc")  # noqa: PTH208 -- names only, on a hot path
        found = (read(int(name)) for name in names if name.isdecimal())
        return {seen.pid: seen for seen in found if seen is not None}

    @cached_property
    def _belonging(self) -> Mapping[int, tuple[Seen, ...]]:
        """A process -> its children, and the members of the session that it leads."""
        found: dict[int, list[Seen]] = {}
        for seen in self.processes.values():
            for owner in {seen.parent, seen.session} - {seen.pid}:
                found.setdefault(owner, []).append(seen)
        return {owner: tuple(owned) for owner, owned in found.items()}

    def tree(self, root: int) -> tuple[Seen, ...]:
        """`root`, everything below it, and what was started in its session and then orphaned."""
        found: dict[int, Seen] = {}
        waiting = [self.processes[root]] if root in self.processes else []
        while waiting:
            seen = waiting.pop()
            if seen.pid not in found:
                found[seen.pid] = seen
                waiting += self._belonging.get(seen.pid, ())
        return tuple(found.values())


def total_bytes(processes: Iterable[Seen]) -> int:
    """Resident memory, shared pages counted once for each process that maps them."""
    return sum(seen.resident_bytes for seen in processes)
