"""Ending a process of a product: it may finish its work, for as long as it was promised."""

from gantry.engines.runtime.protocol import ProcessState, Runtime
from gantry.kernel.clock import Clock

_LOOK_INTERVAL_S = 1.0


async def end_process(runtime: Runtime, clock: Clock, process_id: str) -> None:
    """SIGTERM, then SIGKILL where it has not ended within its own time. It has ended, or is about to, on return.

    Raises:
        TransientError: to be tried again.
    """
    await runtime.signal(process_id)
    began_s = clock.monotonic_s()
    while True:
        process = (await runtime.statuses()).get(process_id)
        if process is None or process.state is not ProcessState.RUNNING:
            return
        left_s = began_s + process.terminate_s - clock.monotonic_s()
        if left_s <= 0:
            break
        await runtime.wait_for_exit(min(left_s, _LOOK_INTERVAL_S))
    await runtime.signal(process_id, kill=True)
