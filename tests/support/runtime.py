"""Waiting for processes, and the specifications that the runtime's tests run."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from gantry.engines.runtime.protocol import (
    Limits,
    ProcessSpec,
    ProcessState,
    ProcessStatus,
    Runtime,
    Sandbox,
)

ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
DEADLINE_S = 20.0


def shell(process_id: str, script: str, **more: str) -> ProcessSpec:
    """A trusted process that runs `script`."""
    return ProcessSpec(process_id, ("sh", "-c", script), ENV | more, "/")


def boxed(
    process_id: str,
    script: str,
    *,
    sandbox: Sandbox | None = None,
    limits: Limits | None = None,
    redact: tuple[str, ...] = (),
    timeout_s: float | None = None,
    **more: str,
) -> ProcessSpec:
    """A sandboxed process that runs `script`."""
    return ProcessSpec(
        process_id,
        ("sh", "-c", script),
        ENV | more,
        "/",
        sandbox=sandbox or Sandbox(),
        limits=limits or Limits(),
        redact=redact,
        timeout_s=timeout_s,
    )


async def ended(runtime: Runtime, process_id: str) -> ProcessStatus:
    """The status of a process once it does not run any more."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            status = (await runtime.statuses())[process_id]
            if status.state is not ProcessState.RUNNING:
                return status
            await runtime.wait_for_exit(0.2)


async def logged(runtime: Runtime, process_id: str, text: str) -> str:
    """The whole log once `text` is in it."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            found = (await runtime.read_log(process_id, limit_bytes=10_000_000)).text
            if text in found:
                return found
            await asyncio.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


def gone(pid: int) -> bool:
    """No such process, or one that only waits to be collected."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"
