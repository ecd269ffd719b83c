"""How much memory a tree of processes holds and how much disk is left, and an end to what takes too much."""

import contextlib
import os
import shutil
from pathlib import Path


class MemoryWatch:
    """Looks at a process and everything below it.

    Private memory is counted (`RssAnon` and shared memory), not the pages of program files that processes share.

    Parameters:
        limit_bytes: `None` only measures.
    """

    def __init__(self, pid: int, limit_bytes: int | None) -> None:
        self._pid = pid
        self._limit_bytes = limit_bytes
        self._kernel_kills = kernel_kills()
        self.peak_bytes = 0
        self.exceeded = False

    def look(self) -> bool:
        """Whether the tree holds, or held, more than it may."""
        used = sum(private_bytes(pid) for pid in descendants(self._pid))
        self.peak_bytes = max(self.peak_bytes, used)
        if self._limit_bytes is not None and used > self._limit_bytes:
            self.exceeded = True
        return self.exceeded

    def killed_by_kernel(self) -> bool:
        """The kernel has killed something in our control group since the beginning, or near the limit."""
        near = self._limit_bytes is not None and self.peak_bytes > 0.8 * self._limit_bytes
        return near or kernel_kills() > self._kernel_kills


class DiskWatch:
    """Looks at the file system that a command writes to."""

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self.exceeded = False

    def look(self) -> bool:
        """Whether less than the reserve is free, or was."""
        if shutil.disk_usage(self._folder).free < self._reserve_bytes:
            self.exceeded = True
        return self.exceeded


def descendants(pid: int) -> list[int]:
    """`pid` and everything below it."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 -- names only, on a hot path
        if name.isdecimal():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The name in parentheses may contain anything, also spaces and parentheses.
                stat = Path(f"/proc/{name}/stat").read_bytes().rpartition(b") ")[2].split()
                children.setdefault(int(stat[1]), []).append(int(name))
    found = [pid]
    for parent in found:
        found += children.get(parent, ())
    return found


def private_bytes(pid: int) -> int:
    """Resident memory of one process that it shares with no file; 0 when it is gone."""
    total = 0
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_bytes().splitlines():
            if line.startswith((b"RssAnon:", b"RssShmem:")):
                total += int(line.split()[1]) * 1024
    return total


def kernel_kills() -> int:
    """Processes that the kernel has killed for memory in this process's own control group."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in ("", "memory"):
                base = Path("/sys/fs/cgroup") / controllers / path.lstrip("/")
                for file in ("memory.events", "memory.oom_control"):
                    if (kills := _counter(base / file)) is not None:
                        return kills
    return 0


def _counter(file: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in file.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return None
