"""Starts a program of Gantry's own and waits until it answers. A program that ends is not waited for."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from gantry.engines.runtime.protocol import ProcessSpec, ProcessState, ProcessStatus, Runtime
from gantry.kernel.clock import Clock
from gantry.kernel.units import format_duration

_FIRST_PAUSE_S = 0.01
_MAX_PAUSE_S = 0.1
_MAX_LOG_BYTES = 4_000
_LINES = 5


class StartError(Exception):
    """A program was started and does not answer; its text says why, with the last lines that it wrote since.

    Attributes:
        output: those lines; empty when it wrote nothing.
        ended: it has ended; otherwise its time is over, and it still runs.
    """

    def __init__(self, how: str, output: str, *, ended: bool) -> None:
        super().__init__(f"{how}: {output or 'it wrote nothing'}")
        self.output = output
        self.ended = ended


async def start_and_wait(
    runtime: Runtime,
    clock: Clock,
    spec: ProcessSpec,
    answers: Callable[[], Awaitable[bool]],
    timeout_s: float,
) -> None:
    """Run `spec`, or find it running, and return once it answers. One that was found at its end is run anew.

    Parameters:
        answers: asks it; false as long as it does not.

    Raises:
        StartError: it has ended, which is noticed at once, or does not answer within `timeout_s`.
        GantryError: as `Runtime.start`.
    """
    deadline_s = clock.monotonic_s() + timeout_s
    found = (await runtime.statuses()).get(spec.id)
    while True:
        # A process that was there before goes on in the same log: what it wrote is not this one's reason.
        begin = (await runtime.read_log(spec.id, offset=-1)).next_offset
        status = await runtime.start(spec)
        ended = await _until_answers(runtime, clock, status, answers, deadline_s)
        if ended is None:
            return
        if ended.state is ProcessState.RUNNING:
            how = f"it does not answer after {format_duration(timeout_s)}"
        elif found is not None and found.started_at == status.started_at:
            found = None  # it was at its end when it was found: this is no failure of a start
            continue
        elif ended.exit_code is None:
            how = "it ended at once"
        else:
            how = f"it ended with exit code {ended.exit_code}"
        lines = await _last_lines(runtime, spec.id, begin)
        raise StartError(how, lines, ended=ended.state is not ProcessState.RUNNING)


async def _until_answers(
    runtime: Runtime,
    clock: Clock,
    status: ProcessStatus,
    answers: Callable[[], Awaitable[bool]],
    deadline_s: float,
) -> ProcessStatus | None:
    """`None` once it answers; else how it ended, or its status at the deadline."""
    pause_s = _FIRST_PAUSE_S
    while status.state is ProcessState.RUNNING:
        if await answers():
            return None
        if clock.monotonic_s() > deadline_s:
            break
        await clock.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _MAX_PAUSE_S)
        seen = (await runtime.statuses()).get(status.id)
        # Somebody has removed it meanwhile.
        status = seen or replace(status, state=ProcessState.LOST)
    return status


async def _last_lines(runtime: Runtime, process: str, begin: int) -> str:
    """The last lines that a process has written from an offset on."""
    end = (await runtime.read_log(process, offset=-1)).next_offset
    chunk = await runtime.read_log(process, offset=max(begin, end - _MAX_LOG_BYTES))
    lines = [line.strip() for line in chunk.text.splitlines()]
    return " / ".join([line for line in lines if line][-_LINES:])
