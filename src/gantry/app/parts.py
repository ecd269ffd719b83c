"""What runs of the platform itself, for `gantry status`."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from gantry.engines.runtime.protocol import ProcessState, ProcessStatus, Runtime
from gantry.features.platform.bodies import PartBody


@dataclass(frozen=True, slots=True)
class PartsView:
    """Looks at the control plane and at the engines' processes."""

    runtime: Runtime
    is_engine: Callable[[str], bool]
    leads: Callable[[], bool]

    async def parts(self) -> tuple[PartBody, ...]:
        """The control plane first, then every engine that was started."""
        own = psutil.Process(os.getpid())
        control = PartBody(
            name="control plane",
            running=True,
            memory_bytes=own.memory_info().rss,
            detail=f"pid {own.pid}" if self.leads() else f"pid {own.pid}, another one leads",
        )
        statuses = await self.runtime.statuses()
        found = [control]
        for key in sorted(statuses):
            if not self.is_engine(key):
                continue
            status = statuses[key]
            running = status.state is ProcessState.RUNNING
            detail = _running(status) if running else f"{status.state}: {status.exit_code}"
            # Which generation of the edge it is says nothing to people.
            name = "edge" if key.startswith("edge-") else key
            found.append(
                PartBody(
                    name=name, running=running, memory_bytes=status.memory_bytes, detail=detail
                )
            )
        return tuple(found)


def _running(status: ProcessStatus) -> str:
    pid = f"pid {status.pid}" if status.pid else "starting"
    return f"{pid}, restarts: {status.restarts}" if status.restarts else pid
