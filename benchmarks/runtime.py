"""What a look at all processes costs: `python -m benchmarks.runtime [--rounds N]`.

The control plane looks at every process it knows several times a second while something moves. Each round times
`statuses()` with 10 and 40 sandboxed processes, and with 300 more that ended and are kept for their logs; as a yardstick of
the same machine at the same moment the time to read one small file as many times. Nothing is asserted.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gantry.config.paths import Paths
from gantry.engines.runtime.process import ProcessRuntime
from gantry.engines.runtime.protocol import ProcessSpec, ProcessState, Sandbox
from gantry.kernel.clock import SystemClock

_COUNTS = (10, 40)
# As many as retention keeps.
_ENDED = 300
_ENV = {"PATH": "/usr/bin:/bin"}


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gantry-bench-") as home:
        runtime = ProcessRuntime(Paths(Path(home)), SystemClock())
        try:
            Console(width=100).print(await _table(runtime, options.rounds))
        finally:
            for process in await runtime.statuses():
                await runtime.remove(process)
            await runtime.aclose()


async def _table(runtime: ProcessRuntime, rounds: int) -> Table:
    table = Table("processes", "a look, ms", "reading as many files, ms", "ratio")
    started = 0
    for count in _COUNTS:
        for number in range(started, count):
            argv = ("sleep", "600")
            await runtime.start(ProcessSpec(f"web-{number}", argv, _ENV, "/", sandbox=Sandbox()))
        started = count
        table.add_row(str(count), *await _compared(runtime, rounds, count))
    for number in range(_ENDED):
        await runtime.start(ProcessSpec(f"build-{number}", ("true",), _ENV, "/"))
    while (
        sum(one.state is ProcessState.EXITED for one in (await runtime.statuses()).values())
        < _ENDED
    ):
        await asyncio.sleep(0.1)
    words = f"{started} and {_ENDED} that ended"
    table.add_row(words, *await _compared(runtime, rounds, started + _ENDED))
    return table


async def _compared(runtime: ProcessRuntime, rounds: int, count: int) -> tuple[str, str, str]:
    pairs = [
        (await _timed(runtime.statuses), await _timed(partial(_read, count))) for _ in range(rounds)
    ]
    look_s, read_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(look / read for look, read in pairs)
    return f"{look_s * 1000:.2f}", f"{read_s * 1000:.2f}", f"{ratio:.1f}"


async def _read(times: int) -> None:
    def read() -> None:
        for _ in range(times):
            Path("/proc/self/stat").read_bytes()

    await asyncio.to_thread(read)


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    before_s = time.perf_counter()
    await work()
    return time.perf_counter() - before_s


if __name__ == "__main__":
    asyncio.run(main())
