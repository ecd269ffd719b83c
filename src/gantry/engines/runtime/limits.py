"""Control groups: limits on memory, processor and number of processes, and an exact list of a process's tree.

Version 1 as root (one tree per controller), version 2 as root or where systemd delegated a subtree. Where neither is
permitted, the watchdog (`watchdog.py`) enforces memory and number of processes from outside.
"""

import contextlib
import hashlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from gantry.engines.runtime.protocol import Limits

_ROOT = Path("/sys/fs/cgroup")
_CONTROLLERS = ("memory", "cpu", "pids")
_CPU_PERIOD_US = 100_000


@dataclass(frozen=True, slots=True)
class Groups:
    """Where the groups of this platform lie.

    Attributes:
        parents: version 1: a folder per controller; version 2: one folder that stands for all; empty: not permitted.
        unified: version 2.
    """

    parents: tuple[Path, ...] = ()
    unified: bool = False

    def of(self, name: str) -> tuple[Path, ...]:
        """The groups of one process, whether they exist or not."""
        return tuple(parent / name for parent in self.parents)

    def create(self, name: str, limits: Limits) -> None:
        """Make the groups of one process and set its limits.

        Raises:
            OSError: the kernel refused.
        """
        for group in self.of(name):
            group.parent.mkdir(exist_ok=True)
            if self.unified:
                _hand_on(group.parent)
            group.mkdir(exist_ok=True)
            for file, value in _settings(limits, unified=self.unified).items():
                path = group / file
                # Files of other controllers, and of swap accounting, are absent.
                if path.exists():
                    path.write_text(value)

    def tidy(self) -> None:
        """Delete the platform's own groups if no process is left in them."""
        remove(self.parents)


def find(home: Path) -> Groups:
    """The groups that this process may make for the platform at `home`."""
    name = "gantry-" + hashlib.sha256(str(home).encode()).hexdigest()[:10]
    if not os.access(_ROOT, os.R_OK | os.X_OK, effective_ids=True):
        return Groups()  # a container may keep its groups from everybody but root
    if (_ROOT / "cgroup.controllers").exists():
        return _find_unified(name)
    if os.geteuid() != 0:
        return Groups()
    parents = tuple(
        _ROOT / controller / name for controller in _CONTROLLERS if (_ROOT / controller).is_dir()
    )
    return Groups(parents) if all(_can_create(parent) for parent in parents) else Groups()


def _find_unified(name: str) -> Groups:
    """The highest own group below which `memory` and `pids` can be handed on."""
    own = Path("/proc/self/cgroup").read_text().rpartition("0::/")[2].strip()
    candidates = [_ROOT / own, *(_ROOT / own).parents]
    for parent in reversed(
        [candidate for candidate in candidates if candidate.is_relative_to(_ROOT)]
    ):
        if os.access(parent, os.W_OK) and os.access(parent / "cgroup.procs", os.W_OK):
            group = parent / name
            if _hand_on(parent) and _can_create(group):
                return Groups((group,), unified=True)
    return Groups()


def _hand_on(group: Path) -> bool:
    for controller in _CONTROLLERS:
        # cpu is often not delegated; memory and pids decide.
        with contextlib.suppress(OSError):
            (group / "cgroup.subtree_control").write_text(f"+{controller}")
    try:
        handed = (group / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False
    return {"memory", "pids"} <= set(handed)


def _can_create(group: Path) -> bool:
    try:
        group.mkdir(exist_ok=True)
        permitted = os.access(group / "cgroup.procs", os.W_OK)
    except OSError:
        return False
    remove((group,))
    return permitted


def _settings(limits: Limits, *, unified: bool) -> dict[str, str]:
    # In this order: version 1 refuses a limit on memory with swap below the one on memory alone.
    settings = {}
    memory = limits.memory_bytes
    cpu = limits.cpu_cores
    quota = "max" if cpu is None else str(max(1000, round(cpu * _CPU_PERIOD_US)))
    if unified:
        settings["memory.max"] = "max" if memory is None else str(memory)
        settings["memory.swap.max"] = "max" if memory is None else "0"
        settings["memory.oom.group"] = "1"
        settings["cpu.max"] = f"{quota} {_CPU_PERIOD_US}"
    else:
        if memory is not None:
            settings["memory.limit_in_bytes"] = str(memory)
            settings["memory.memsw.limit_in_bytes"] = str(memory)
        settings["cpu.cfs_period_us"] = str(_CPU_PERIOD_US)
        settings["cpu.cfs_quota_us"] = "-1" if cpu is None else quota
    settings["pids.max"] = "max" if limits.processes is None else str(limits.processes)
    return settings


def members(groups: tuple[Path, ...]) -> tuple[int, ...]:
    """The processes in the groups."""
    for group in groups:
        try:
            return tuple(map(int, (group / "cgroup.procs").read_text().split()))
        except OSError:
            continue
    return ()


def kill(groups: tuple[Path, ...], *, patience_s: float = 2.0) -> None:
    """SIGKILL to every member, until there is none or `patience_s` have passed."""
    deadline = time.monotonic() + patience_s
    while pids := members(groups):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return
        time.sleep(0.002)


def remove(groups: tuple[Path, ...], *, patience_s: float = 1.0) -> None:
    """Delete groups without members; one with members stays."""
    deadline = time.monotonic() + patience_s
    for group in groups:
        while not _deleted(group) and time.monotonic() < deadline:
            time.sleep(0.002)


def _deleted(group: Path) -> bool:
    """It is gone, or it cannot go."""
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        # A process that is ending is listed no more, but it holds the group until its memory is given back.
        return bool(members((group,))) or any(child.is_dir() for child in group.iterdir())
    return True


def was_out_of_memory(groups: tuple[Path, ...]) -> bool:
    """The kernel killed a member for the memory limit."""
    for group in groups:
        for file in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError):
                counters = dict(
                    line.split(maxsplit=1) for line in (group / file).read_text().splitlines()
                )
                if int(counters.get("oom_kill", "0")) > 0:
                    return True
    return False


def memory_bytes(groups: tuple[Path, ...]) -> int | None:
    """Resident memory of the groups without the page cache; `None` without a memory controller."""
    for group in groups:
        try:
            text = (group / "memory.stat").read_text()
        except OSError:
            continue
        stat = dict(line.split(maxsplit=1) for line in text.splitlines())
        if "total_rss" in stat:
            return int(stat["total_rss"]) + int(stat["total_mapped_file"])
        return int(stat["anon"]) + int(stat["file_mapped"])
    return None
