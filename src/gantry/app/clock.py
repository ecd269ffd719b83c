"""The platform's clock, and what is kept of it over a restart of the control plane."""

import contextlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from gantry.config.settings import Settings
from gantry.kernel.clock import SteadyClock
from gantry.kernel.files import replace_file
from gantry.kernel.timeline import Epoch

_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class ClockFile:
    """`clock.json` in the platform's home: the steps of the machine's clock since boot."""

    path: Path

    def read(self) -> tuple[Epoch, ...]:
        """What was kept of this boot; nothing when there is nothing of use."""
        try:
            kept = json.loads(self.path.read_text())
            if kept["boot"] != _boot():
                return ()
            return tuple(
                Epoch(float(epoch["begin_s"]), float(epoch["offset_s"])) for epoch in kept["epochs"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            return ()  # the machine's clock is as good, unless it has just been set

    def write(self, epochs: tuple[Epoch, ...]) -> None:
        """Keep it. On a full disk what is there stays."""
        kept = {"boot": _boot(), "epochs": [asdict(epoch) for epoch in epochs]}
        with contextlib.suppress(OSError):
            replace_file(self.path, json.dumps(kept), fsync=False)


def clock_file(settings: Settings) -> ClockFile:
    """Where the clock is kept."""
    return ClockFile(settings.home / "clock.json")


def make_clock(settings: Settings) -> SteadyClock:
    """The platform's clock; in a drill the machine's clock, which it follows, can be made to jump."""
    shift = settings.clock_file

    def wall_s() -> float:
        machine_s = time.time()  # noqa: TID251 -- this is where the clock is made
        return machine_s + (float(shift.read_text()) if shift is not None else 0.0)

    return SteadyClock(wall_s, _since_boot_s, clock_file(settings).read())


def _since_boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _boot() -> str:
    return _BOOT.read_text().strip()
