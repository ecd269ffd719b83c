"""The edge's cache in numbers: `python -m benchmarks.cache [--rounds N] [--seconds S]`.

Two pages of one Node instance behind Gantry's edge with TLS: one that is ready in its memory, the least that an instance
can have to do, and one that is made and compressed for each request, as most are. Each is asked for by the instance itself
and from the cache; the rows between them are what the cache costs where it has nothing: a page that is not there yet
(every request another query), and one whose answers turn out not to be kept. Each round asks all of them in another order
with the same load; ratios are taken within a round. At the end 100 visitors ask for one new page at once.

Needs `wrk` (apt-get install wrk). Exits with 1 when an aim is missed.
"""

import argparse
import asyncio
import shutil
import ssl
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table
from tests.support.edge import Lab, lab

from benchmarks.cache_product import MADE, READY, Product, product
from benchmarks.edge_load import Contestant, Run, cpu_s, load, median, missing, share
from gantry.engines.edge.protocol import CACHE, Backend, EdgeConfig, Endpoint, Site
from gantry.engines.edge_cache.process import PROCESS, EdgeCacheProcess
from gantry.kernel.clock import SystemClock

_HOST = "shop.localhost"
_LIMIT_BYTES = 64_000_000
_VISITORS, _CROWDS = 100, 5
_ASKED = {"Host": _HOST, "Accept-Encoding": "gzip, deflate, br"}
_ANOTHER_EACH_TIME = """
local begun, asked = os.time(), 0
function request()
  asked = asked + 1
  return wrk.format("GET", wrk.path .. "?" .. begun .. "-" .. asked)
end
"""


@dataclass(frozen=True, slots=True)
class Way:
    """One row of the table.

    Attributes:
        page: which page of the product.
        source: what it is answered from.
        path: of these, those below /kept and /marked are declared.
        cold: no two requests ask for the same.
    """

    page: str
    source: str
    path: str
    cold: bool = False

    @property
    def name(self) -> str:
        return f"{self.page}: {self.source}"


_WAYS = tuple(
    way
    for page in (READY, MADE)
    for way in (
        Way(page, "instance", f"/plain/{page}"),
        Way(page, "hit", f"/kept/{page}"),
        Way(page, "miss", f"/kept/{page}", cold=True),
        Way(page, "bypass", f"/private/{page}"),
    )
)
_BASE = {way.name: f"{way.page}: instance" for way in _WAYS}


@dataclass(frozen=True, slots=True)
class Measured:
    """A run, with the CPU time that each process took for 1,000 requests, in ms."""

    run: Run
    edge_ms: float
    cache_ms: float
    instance_ms: float


@dataclass(frozen=True, slots=True)
class Crowd:
    """Visitors who came at once.

    Attributes:
        asked: of their requests, those that reached the instance.
    """

    asked: int
    elapsed_s: float


async def main() -> int:
    """Measure and print; 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of load for each, in each round")
    options = parser.parse_args()
    if message := missing():
        print(message, file=sys.stderr)
        return 2
    directory = Path(tempfile.mkdtemp(prefix="gantry-bench-"))
    try:
        with product(directory) as instance:
            async with lab() as edge:
                return await _all(edge, instance, directory, options)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _all(edge: Lab, instance: Product, directory: Path, options: argparse.Namespace) -> int:
    cache = EdgeCacheProcess(
        paths=edge.settings.paths,
        runtime=edge.runtime,
        clock=SystemClock(),
        upstream=edge.settings.paths.edge_inner_socket,
        limit_bytes=_LIMIT_BYTES,
    )
    await edge.edge.start()
    await cache.start()
    try:
        await _route(edge, cache, instance)
        measured = await _rounds(edge, instance, directory, options)
        crowds = {
            source: [await _crowd(edge, instance, way, n) for n in range(_CROWDS)]
            for source, way in (("instance", "plain"), ("cache", "kept"))
        }
    finally:
        await cache.stop()
    return _print(measured, crowds)


async def _route(edge: Lab, cache: EdgeCacheProcess, instance: Product) -> None:
    site = Site((_HOST,), "r-1", release="r-1", cached=("/kept/:page", "/private/:page"))
    backends = (
        Backend("r-1", (Endpoint(port=instance.port),), "/health", _HOST),
        Backend(CACHE, (Endpoint(socket=str(cache.socket)),)),
    )
    await edge.edge.apply(EdgeConfig((site,), backends, (await edge.certificate(_HOST),)))
    await edge.until_healthy("r-1", CACHE)


async def _rounds(
    edge: Lab, instance: Product, directory: Path, options: argparse.Namespace
) -> list[Measured]:
    script = directory / "another.lua"
    script.write_text(_ANOTHER_EACH_TIME)
    statuses = await edge.runtime.statuses()
    pids = {
        ("cache" if key == PROCESS else "edge"): status.pid or 0 for key, status in statuses.items()
    }
    pids["instance"] = instance.pid
    url = f"https://127.0.0.1:{edge.settings.https_port}"
    order = [
        _WAYS[(number + at) % len(_WAYS)]
        for number in range(options.rounds)
        for at in range(len(_WAYS))
    ]

    def measure(way: Way, seconds: int) -> Measured:
        before_s = {name: cpu_s(pid) for name, pid in pids.items()}
        contestant = Contestant(way.name, url + way.path, pids["edge"])
        run = load(contestant, seconds, _ASKED, script if way.cold else None)
        spent = {
            f"{name}_ms": (cpu_s(pid) - before_s[name]) * 1e6 / run.requests
            for name, pid in pids.items()
        }
        return Measured(run, **spent)

    for way in _WAYS:
        await asyncio.to_thread(measure, way, 2)  # warm
    console = Console(stderr=True)
    return [
        await asyncio.to_thread(measure, way, options.seconds)
        for way in track(order, "measuring", console=console)
    ]


async def _crowd(edge: Lab, instance: Product, way: str, number: int) -> Crowd:
    """All at once, over connections that are there already."""
    anything = ssl.create_default_context()
    anything.check_hostname, anything.verify_mode = False, ssl.CERT_NONE
    key = f"{way}-{number}"
    asked = f"GET /{way}/slow?{key} HTTP/1.1\r\nhost: {_HOST}\r\naccept-encoding: gzip\r\n\r\n"
    visitors = [
        await asyncio.open_connection("127.0.0.1", edge.settings.https_port, ssl=anything)
        for _ in range(_VISITORS)
    ]

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(asked.encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("http/1.1 200"), head
        await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))

    began_s = time.monotonic()
    await asyncio.gather(*(visit(*visitor) for visitor in visitors))
    elapsed_s = time.monotonic() - began_s
    for _, writer in visitors:
        writer.close()
    return Crowd(await asyncio.to_thread(instance.asked, key), elapsed_s)


def _print(measured: list[Measured], crowds: dict[str, list[Crowd]]) -> int:
    of = {way.name: [result for result in measured if result.run.name == way.name] for way in _WAYS}
    runs = {name: [result.run for result in found] for name, found in of.items()}
    shares = {name: share(found, runs[_BASE[name]]) for name, found in runs.items()}
    rounds = len(of[_WAYS[0].name])
    table = Table(
        "",
        "requests/s",
        "of the instance",
        "p50 ms",
        "p99 ms",
        "CPU: edge",
        "cache",
        "instance",
        "all",
        "failed",
        title=f"through the edge, TLS, {rounds} rounds; CPU in ms per 1,000 requests",
    )
    for name, found in of.items():
        cpu_ms = [
            sum(getattr(result, f"{part}_ms") for result in found) / len(found)
            for part in ("edge", "cache", "instance")
        ]
        table.add_row(
            name,
            f"{median(runs[name], 'per_s'):,.0f}",
            f"{shares[name]:.0%}",
            f"{median(runs[name], 'p50_ms'):.2f}",
            f"{median(runs[name], 'p99_ms'):.2f}",
            *(f"{spent:.0f}" for spent in (*cpu_ms, sum(cpu_ms))),
            str(sum(run.failed for run in runs[name])),
        )
    Console(width=120).print(table)
    for source, seen in crowds.items():
        reached = ", ".join(str(crowd.asked) for crowd in seen)
        slowest_s = max(crowd.elapsed_s for crowd in seen)
        print(
            f"{_VISITORS} visitors at once for one new page, by way of the {source}: {reached} of their requests "
            f"reached the instance; the last had it after {slowest_s:.2f} s"
        )
    aims = {
        "a hit is faster than a page that is made": shares[f"{MADE}: hit"] > 1,
        "a crowd is one question": all(crowd.asked == 1 for crowd in crowds["cache"]),
        "no request failed": not any(result.run.failed for result in measured),
    }
    for aim, met in aims.items():
        print(f"{'✓' if met else '✗'} {aim}")
    return 0 if all(aims.values()) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
