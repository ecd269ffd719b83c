"""One load for all: `wrk`, and what it saw, with the CPU time of the process that answered."""

import re
import shutil
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

CONNECTIONS = 40


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something that answers at `url`; `pid` is what is measured, with its children."""

    name: str
    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Run:
    """One contestant in one round.

    Attributes:
        cpu_ms: of the proxy, per 1,000 requests.
    """

    name: str
    requests: int
    per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    cpu_ms: float


def missing(program: str = "wrk") -> str:
    """What is to be installed first; empty when nothing is."""
    return "" if shutil.which(program) else f"{program} is missing: apt-get install {program}"


def load(
    contestant: Contestant, seconds: int, headers: dict[str, str], script: Path | None = None
) -> Run:
    """Ask as fast as it answers, over connections that are kept.

    Parameters:
        script: Lua for `wrk`, where not all requests are the same.
    """
    before_s = cpu_s(contestant.pid)
    done = subprocess.run(
        [
            *("wrk", "--threads", "1", "--connections", str(CONNECTIONS)),
            # Slow is not failed, on a machine that does other work as well: the percentiles say how slow.
            *("--duration", f"{seconds}s", "--latency", "--timeout", "10s"),
            *(word for name, value in headers.items() for word in ("--header", f"{name}: {value}")),
            *(() if script is None else ("--script", str(script))),
            contestant.url,
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    requests = int(_number(r"(\d+) requests in", done))
    if not requests:
        raise SystemExit(f"{contestant.name} answers nothing at {contestant.url}:\n{done}")
    return Run(
        name=contestant.name,
        requests=requests,
        per_s=_number(r"Requests/sec:\s+([\d.]+)", done),
        p50_ms=_time_ms("50%", done),
        p99_ms=_time_ms("99%", done),
        failed=_failures(done),
        cpu_ms=(cpu_s(contestant.pid) - before_s) * 1000 / (requests / 1000),
    )


def _number(pattern: str, text: str) -> float:
    match = re.search(pattern, text)
    assert match is not None, text
    return float(match[1])


def _time_ms(share: str, text: str) -> float:
    match = re.search(rf"{share}\s+([\d.]+)(us|ms|s)\b", text)
    assert match is not None, text
    return float(match[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[match[2]]


def _failures(text: str) -> int:
    failed = 0
    if match := re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", text):
        failed += sum(map(int, match.groups()))
    if match := re.search(r"Non-2xx or 3xx responses: (\d+)", text):
        failed += int(match[1])
    return failed


def share(ours: list[Run], base: list[Run]) -> float:
    """Median over the rounds of the ratio within a round."""
    return statistics.median(
        mine.per_s / theirs.per_s for mine, theirs in zip(ours, base, strict=True)
    )


def median(runs: list[Run], field: str) -> float:
    return float(statistics.median(getattr(run, field) for run in runs))


def cpu_s(pid: int) -> float:
    """CPU time of a process and its children so far."""
    process = psutil.Process(pid)
    found = [process, *process.children(recursive=True)]
    return float(sum(sum(one.cpu_times()[:2]) for one in found))
