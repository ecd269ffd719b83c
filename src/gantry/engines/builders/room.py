"""Whether a build may begin: a machine without memory or disk fails in the middle, and takes others with it."""

from dataclasses import dataclass
from pathlib import Path

from gantry.engines.builders.collect import free_bytes
from gantry.kernel.errors import TransientError
from gantry.kernel.units import format_size


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be free.

    Attributes:
        disk_bytes: where builds lie.
        memory_bytes: at least this, however small a build's own limit is.
        share_of_limit: how much of a build's memory limit must be available; few builds ever reach it.
    """

    disk_bytes: int = 2_000_000_000
    memory_bytes: int = 300_000_000
    share_of_limit: float = 0.5


def check_room(needs: Needs, builds: Path, limit_bytes: int | None) -> None:
    """Refuse a build that this machine has no room for now.

    Raises:
        TransientError: `build.low-memory`, `build.low-disk`.
    """
    free = free_bytes(builds)
    if free < needs.disk_bytes:
        raise TransientError(
            "build.low-disk",
            f"{format_size(free)} of disk are free at {builds}; a build needs {format_size(needs.disk_bytes)}",
            hint="gantry doctor shows what uses the disk",
            where=str(builds),
        )
    wanted = max(needs.memory_bytes, int(needs.share_of_limit * (limit_bytes or 0)))
    available = available_memory_bytes()
    if available < wanted:
        raise TransientError(
            "build.low-memory",
            f"{format_size(available)} of memory are available; this build needs {format_size(wanted)}",
            hint='wait for other builds, or lower [build] memory = "..." in gantry.toml',
        )


def available_memory_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """What programs may still take without swapping, as the kernel estimates it."""
    for line in meminfo.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    raise TransientError("build.low-memory", f"{meminfo} does not say how much memory is available")
