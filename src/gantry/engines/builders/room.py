"""Whether a build may begin: a machine without memory or disk fails in the middle, and takes others with it."""

from dataclasses import dataclass
from pathlib import Path

from gantry.engines.builders.collect import free_bytes
from gantry.kernel.errors import PermanentError, TransientError
from gantry.kernel.units import format_size

_LEAST_LIMIT_BYTES = 2_000_000_000
_MOST_LIMIT_BYTES = 8_000_000_000


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be free.

    Attributes:
        disk_bytes: where builds lie.
        memory_bytes: at least this, however small a build's own limit is.
        share_of_limit: how much of a build's memory limit must be available; few builds ever reach it.
        reserve_bytes: of disk that a build leaves to the databases and logs of what serves; a build that would take it
            is stopped.
    """

    disk_bytes: int = 2_000_000_000
    memory_bytes: int = 300_000_000
    share_of_limit: float = 0.5
    reserve_bytes: int = 500_000_000


def share_of_memory_bytes(total_bytes: int) -> int:
    """Most memory of a build whose manifest names none: half of the machine's, from 2 to 8 GB, never more than it has.

    Parameters:
        total_bytes: what the machine has.
    """
    share = min(max(total_bytes // 2, _LEAST_LIMIT_BYTES), _MOST_LIMIT_BYTES)
    return min(share, total_bytes)


def check_room(needs: Needs, builds: Path, limit_bytes: int | None) -> None:
    """Refuse a build that this machine has no room for now.

    Raises:
        PermanentError: `build.low-disk`; a disk does not become empty by waiting.
        TransientError: `build.low-memory`; other builds end.
    """
    free = free_bytes(builds)
    if free < needs.disk_bytes:
        raise PermanentError(
            "build.low-disk",
            f"{format_size(free)} of disk are free at {builds}; a build needs {format_size(needs.disk_bytes)}",
            hint="gantry doctor shows what uses the disk",
            where=str(builds),
        )
    wanted = max(
        needs.memory_bytes, int(needs.share_of_limit * (limit_bytes or _LEAST_LIMIT_BYTES))
    )
    available = available_memory_bytes()
    if available < wanted:
        raise TransientError(
            "build.low-memory",
            f"{format_size(available)} of memory are available; this build needs {format_size(wanted)}",
            hint='wait for other builds, or lower [build] memory = "..." in gantry.toml',
        )


def available_memory_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """What programs may still take without swapping, as the kernel estimates it."""
    return _memory_bytes(meminfo, "MemAvailable")


def total_memory_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """What the machine has."""
    return _memory_bytes(meminfo, "MemTotal")


def _memory_bytes(meminfo: Path, wanted: str) -> int:
    for line in meminfo.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == wanted:
            return int(value.split()[0]) * 1024
    raise TransientError("build.low-memory", f"{meminfo} does not say how much memory is available")
