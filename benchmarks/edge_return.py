"""The edge's absence in numbers: `python -m benchmarks.edge_return [--rounds N]`.

Envoy is killed with SIGKILL under a running platform, and again where the control plane was killed before: how long until
a visitor is answered again. Exits with 1 when that was ever more than a second. (Upgrades fail no request:
tests/contract/test_edge_succession.py.)
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table
from tests.support.platform import Platform, fresh_platform
from tests.support.product import write_project

_AIM_S = 1.0


def main() -> int:
    """Measure and print; 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gantry-bench-") as scratch, fresh_platform() as up:
        up.run("deploy", str(write_project(Path(scratch) / "small")))
        away_s = {
            "alone": [_killed(up) for _ in range(options.rounds)],
            "the control plane is dead": [_killed_both(up) for _ in range(options.rounds)],
        }
    table = Table("Envoy is killed", "times", "answers again after", "aim")
    for name, times_s in away_s.items():
        measured = f"median {statistics.median(times_s):.2f} s, slowest {max(times_s):.2f} s"
        table.add_row(name, str(len(times_s)), measured, f"{_AIM_S:.0f} s")
    Console(width=100).print(table)
    return 0 if max(map(max, away_s.values())) <= _AIM_S else 1


def _killed(platform: Platform) -> float:
    """Seconds from the signal to the next answer."""
    return _away_s(platform, _edge_pid(platform))


def _killed_both(platform: Platform) -> float:
    """The same where nobody is there to start it again."""
    edge = _edge_pid(platform)
    os.kill(platform.control_pid(), signal.SIGKILL)
    away_s = _away_s(platform, edge)
    platform.run("up")
    return away_s


def _edge_pid(platform: Platform) -> int:
    parts = platform.json("status")["parts"]
    detail = next(one["detail"] for one in parts if one["name"] == "edge")
    return int(detail.partition(",")[0].removeprefix("pid "))


def _away_s(platform: Platform, pid: int) -> float:
    os.kill(pid, signal.SIGKILL)
    began_s = time.monotonic()
    while not _answers(platform):
        time.sleep(0.005)
    return time.monotonic() - began_s


def _answers(platform: Platform) -> bool:
    try:
        with httpx.Client(verify=False, timeout=5) as client:
            answer = client.get(
                f"https://127.0.0.1:{platform.https_port}/",
                headers={"host": "small.localhost"},
                extensions={"sni_hostname": "small.localhost"},
            )
    except httpx.TransportError:
        return False
    return answer.status_code == 200


if __name__ == "__main__":
    sys.exit(main())
