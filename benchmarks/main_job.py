"""The main job in numbers: `python -m benchmarks.main_job [--rounds N] [--seconds N]`.

Smart Sign, on this machine, beside what it costs without Gantry:

- a full deploy with its tests and migrations, against `npm ci && next build` alone: with nothing downloaded, and with
  npm's downloads kept in both and nothing else;
- a redeploy of an unchanged tree;
- a rollback, from the command to the last response of the old release;
- failures that a strict keep-alive client counts over many deploys and rollbacks, and with instances killed;
- what the idle platform costs.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table
from tests.support.platform import SECRETS, Platform, copy_of_smart_sign, fresh_platform

from gantry.app.engines import npm_argv

HOST = "smart-sign.localhost"
_PAIRS = 3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--rounds", type=int, default=15, help="deploys and rollbacks under load, each"
    )
    parser.add_argument(
        "--seconds", type=int, default=30, help="of killing instances, and of idling"
    )
    options = parser.parse_args()
    table = Table("what", "measured", "baseline", "ratio", "aim", title="Gantry's main job")
    with tempfile.TemporaryDirectory(prefix="gantry-bench-") as scratch, fresh_platform() as up:
        project = copy_of_smart_sign(Path(scratch))
        secrets = [f"{name}={value}" for name, value in SECRETS.items()]
        up.run("env", "set", "--project", "smart-sign", *secrets)
        try:
            _builds(up, project, Path(scratch), table)
            _rollbacks(up, project, table)
            _under_load(up, project, table, options.rounds)
            _with_kills(up, table, options.seconds)
            _idle(up, table, options.seconds)
        finally:
            Console(width=140).print(table)


def _builds(platform: Platform, project: Path, scratch: Path, table: Table) -> None:
    alone_s = _alone(project, scratch / "alone", scratch / "downloads")
    deploy_s = _seconds(platform, "deploy", str(project))
    _full_deploy(table, "first deploy, nothing downloaded yet", [deploy_s], [alone_s])
    deploys, alone = [], []
    for number in range(_PAIRS):
        alone.append(_alone(project, scratch / "alone", scratch / "downloads"))
        _forget_builds(platform)
        (project / "public" / "round.txt").write_text(f"{number}\n")
        os.sync()
        deploys.append(_seconds(platform, "deploy", str(project)))
    _full_deploy(table, f"full deploy, downloads kept (median of {_PAIRS})", deploys, alone)
    again = [_seconds(platform, "deploy", str(project)) for _ in range(_PAIRS)]
    table.add_row(
        "redeploy of an unchanged tree",
        f"{statistics.median(again):.1f} s",
        f"full deploy: {statistics.median(deploys):.1f} s",
        f"{statistics.median(again) / statistics.median(deploys):.2f}",
        "under 5 s",
    )


def _full_deploy(table: Table, what: str, deploys: list[float], alone: list[float]) -> None:
    deploy_s, alone_s = statistics.median(deploys), statistics.median(alone)
    table.add_row(
        what,
        f"{deploy_s:.1f} s",
        f"npm ci && next build: {alone_s:.1f} s",
        f"{deploy_s / alone_s:.2f}",
        f"at most +3 s: {deploy_s - alone_s:+.1f} s",
    )


def _forget_builds(platform: Platform) -> None:
    """Leave nothing of earlier builds but npm's downloads, which the baseline has too."""
    for folder in (platform.home / "cache" / "builds" / "smart-sign").iterdir():
        if folder.name != "npm":
            shutil.rmtree(folder)


def _alone(project: Path, folder: Path, downloads: Path) -> float:
    """`npm ci && next build` in a fresh copy, with the same Node."""
    shutil.copytree(project, folder)
    node, npm = npm_argv()
    environ = {
        **os.environ,
        "PATH": f"{Path(node).parent}:{os.environ['PATH']}",
        "NEXT_TELEMETRY_DISABLED": "1",
        "npm_config_cache": str(downloads),
    }
    os.sync()  # what was written before is not waited for here
    began_s = time.monotonic()
    for command in (
        [node, npm, "ci"],
        [node, "node_modules/next/dist/bin/next", "build"],
    ):
        subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True)
    elapsed_s = time.monotonic() - began_s
    shutil.rmtree(folder)
    return elapsed_s


def _rollbacks(platform: Platform, project: Path, table: Table) -> None:
    """The time from the command until the old release gave its last response, under light load."""
    taken = []
    for _ in range(5):
        before = _live(platform)
        with platform.strict_client(HOST, connections=4, pause_s=0.005) as tally:
            time.sleep(0.5)
            began_s = time.monotonic()
            platform.run("rollback", "--project", "smart-sign")
            time.sleep(0.5)
        taken.append(tally["last_seen_s"][before] - began_s)
    start_s = _seconds(platform, "version")
    table.add_row(
        "rollback, command to last request on the old release",
        f"{statistics.median(taken):.2f} s",
        f"starting the command line: {start_s:.2f} s",
        f"{statistics.median(taken) / start_s:.2f}",
        "under 1 s",
    )


def _under_load(platform: Platform, project: Path, table: Table, rounds: int) -> None:
    with platform.strict_client(HOST) as tally:
        for _ in range(rounds):
            platform.run("rollback", "--project", "smart-sign")
            platform.run("deploy", str(project))
    _failures(table, f"{rounds} rollbacks and {rounds} deploys, 40 connections", tally)


def _with_kills(platform: Platform, table: Table, seconds: int) -> None:
    kills = 0
    with platform.strict_client(HOST) as tally:
        for number in range(seconds):
            pids = [
                one["pid"] for one in _environment(platform)["instances"] if one["pid"] is not None
            ]
            os.kill(pids[number % len(pids)], signal.SIGKILL)
            kills += 1
            time.sleep(1)
    _failures(table, f"an instance killed every second, {kills} times, 40 connections", tally)


def _failures(table: Table, what: str, tally: dict[str, Any]) -> None:
    table.add_row(
        what,
        f"{tally['failures']} failures {tally['reasons'] or ''}",
        f"{tally['requests']} requests, slowest {tally['slowest_s']:.2f} s",
        f"{tally['failures'] / max(1, tally['requests']):.6f}",
        "0 failures",
    )


def _idle(platform: Platform, table: Table, seconds: int) -> None:
    time.sleep(15)  # releases that were replaced end their work first
    control = psutil.Process(platform.control_pid())
    own = [control, *_engines(platform)]
    before = {process.pid: _cpu_s(process) for process in own}
    time.sleep(seconds)
    # A database's helpers come and go; one that has ended meanwhile counts no longer.
    own = [process for process in own if process.is_running()]
    used = {process.pid: _cpu_s(process) - before[process.pid] for process in own}
    whole = sum(process.memory_full_info().pss for process in own)
    share = used[control.pid] / seconds
    table.add_row(
        "idle control plane, CPU",
        f"{share:.1%} of a core",
        f"whole platform: {sum(used.values()) / seconds:.1%}",
        f"{share / max(1e-9, sum(used.values()) / seconds):.2f}",
        "at most 2 %",
    )
    memory = control.memory_info().rss
    table.add_row(
        "idle control plane, memory",
        f"{memory / 1e6:.0f} MB resident",
        f"whole platform without instances: {whole / 1e6:.0f} MB (PSS)",
        f"{memory / whole:.2f}",
        "at most 150 MB; 400 MB",
    )


def _cpu_s(process: psutil.Process) -> float:
    return float(sum(process.cpu_times()[:2]))


def _engines(platform: Platform) -> list[psutil.Process]:
    """Every process below the shims of the edge and the databases."""
    found = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if str(platform.home) in line and any(
            f"/processes/{name}" in line for name in ("edge", "postgres-", "redis-")
        ):
            found += [process, *process.children(recursive=True)]
    return list({process.pid: process for process in found}.values())


def _environment(platform: Platform) -> dict[str, Any]:
    (project,) = platform.json("status")["projects"]
    environment: dict[str, Any] = project["environments"][0]
    return environment


def _live(platform: Platform) -> str:
    release: str = _environment(platform)["live"]["id"]
    return release


def _seconds(platform: Platform, *arguments: str) -> float:
    began_s = time.monotonic()
    platform.run(*arguments)
    return time.monotonic() - began_s


if __name__ == "__main__":
    main()
