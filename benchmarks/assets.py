"""Files in numbers: `python -m benchmarks.assets [--rounds N] [--seconds S]`.

One script of 64 KB behind Gantry's edge with TLS, asked for by browsers that take Brotli: from the asset store (Caddy),
from a small server of our own (Starlette's `FileResponse` on uvicorn, with the same compressed files), and from a Node
instance that reads and compresses it for each request, as a product does by itself. Shows why the store is what it is.

Needs `wrk` (apt-get install wrk). Exits with 1 when the store is not the fastest.
"""

import argparse
import asyncio
import contextlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tests.support.edge import Lab, free_ports, lab

from benchmarks.edge_load import Contestant, Run, load, median, missing, share
from gantry.app.engines import npm_argv
from gantry.engines.assets.protocol import HEALTH_PATH, of_scope
from gantry.engines.assets.server import PROCESS, CaddyAssets
from gantry.engines.edge.protocol import ASSETS, Assets, Backend, EdgeConfig, Endpoint, Site
from gantry.kernel.clock import SystemClock

_PATH = "/_next/static/main-0a1b2c3d.js"
_BYTES = 64_000
_STORE, _OWN, _NODE = "asset store (Caddy)", "Starlette on uvicorn", "Node instance"
_HOSTS = {_STORE: "store.localhost", _OWN: "own.localhost", _NODE: "node.localhost"}
_START_DEADLINE_S = 20.0
_STARLETTE = """
import sys
import uvicorn
from starlette.responses import FileResponse, Response
async def app(scope, receive, send):
    if scope["path"] == "/health":
        return await Response("ok")(scope, receive, send)
    headers = {"content-encoding": "br", "vary": "accept-encoding"}
    answer = FileResponse(sys.argv[1] + ".br", headers=headers, media_type="text/javascript")
    await answer(scope, receive, send)
uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False, lifespan="off")
"""
_NODE_SERVER = """
import fs from 'node:fs';
import http from 'node:http';
import zlib from 'node:zlib';
http.createServer((request, response) => {
  if (request.url === '/health') return response.end('ok');
  response.writeHead(200, { 'content-type': 'text/javascript', 'content-encoding': 'gzip' });
  fs.createReadStream(process.argv[2]).pipe(zlib.createGzip()).pipe(response);
}).listen(Number(process.argv[3]), '127.0.0.1');
"""


async def main() -> int:
    """Measure and print; 1 when the store is not the fastest."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=6, help="of load for each, in each round")
    options = parser.parse_args()
    if words := missing():
        print(words, file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="gantry-bench-"))
    try:
        runs = await _all(folder, options.rounds, options.seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _print(runs)


async def _all(folder: Path, rounds: int, seconds: int) -> list[Run]:
    script = _script(folder)
    async with contextlib.AsyncExitStack() as stack:
        edge = await stack.enter_async_context(lab())
        store = CaddyAssets(paths=edge.settings.paths, runtime=edge.runtime, clock=SystemClock())
        await store.start()
        stack.push_async_callback(store.stop)
        await store.publish("b-1", folder, {"/_next/static": "static"})
        await store.arrange("shop", ["b-1"])
        while (await store.status()).unpacked:
            await asyncio.sleep(0.05)
        packed = next(edge.settings.paths.assets.glob("contents/*/*.br"))
        shutil.copyfile(packed, f"{script}.br")
        ports = free_ports(2)
        own = [sys.executable, "-c", _STARLETTE, str(script), str(ports[0])]
        (folder / "server.mjs").write_text(_NODE_SERVER)
        node = [npm_argv()[0], str(folder / "server.mjs"), str(script), str(ports[1])]
        pids = {
            _OWN: stack.enter_context(_running(own, ports[0])),
            _NODE: stack.enter_context(_running(node, ports[1])),
            _STORE: (await edge.runtime.statuses())[PROCESS].pid or 0,
        }
        await _route(edge, store, ports)
        url = f"https://127.0.0.1:{edge.settings.https_port}{_PATH}"
        contestants = [Contestant(name, url, pids[name]) for name in _HOSTS]
        order = [
            contestants[(number + at) % len(contestants)]
            for number in range(rounds)
            for at in range(len(contestants))
        ]
        console = Console(stderr=True)
        return [
            await asyncio.to_thread(load, each, seconds, _asked(each))
            for each in track(order, "measuring", console=console)
        ]


def _asked(contestant: Contestant) -> dict[str, str]:
    return {"Host": _HOSTS[contestant.name], "Accept-Encoding": "gzip, deflate, br"}


def _script(folder: Path) -> Path:
    """As compressible as real ones: words in an order without a pattern."""
    place = folder / "static" / "main-0a1b2c3d.js"
    place.parent.mkdir()
    chance = random.Random(1)
    words = [f"word{chance.randrange(10**6)}" for _ in range(900)]
    text = ";".join(f"{chance.choice(words)}({chance.choice(words)})" for _ in range(4000))
    place.write_text(text[:_BYTES])
    return place


async def _route(edge: Lab, store: CaddyAssets, ports: list[int]) -> None:
    await edge.edge.start()
    assets = Assets(of_scope("shop"), ("/_next/static",))
    sites = (
        Site((_HOSTS[_STORE],), "own", assets=assets),
        Site((_HOSTS[_OWN],), "own"),
        Site((_HOSTS[_NODE],), "node"),
    )
    socket = (Endpoint(socket=str(store.socket)),)
    backends = (
        Backend(ASSETS, socket, HEALTH_PATH, ASSETS),
        Backend("own", (Endpoint(port=ports[0]),), "/health", "own"),
        Backend("node", (Endpoint(port=ports[1]),), "/health", "node"),
    )
    certificate = await edge.certificate(*_HOSTS.values())
    await edge.edge.apply(EdgeConfig(sites, backends, (certificate,)))
    await edge.until_healthy(ASSETS, "own", "node")


@contextmanager
def _running(argv: list[str], port: int) -> Iterator[int]:
    with subprocess.Popen(argv) as process:
        try:
            deadline_s = time.monotonic() + _START_DEADLINE_S
            while time.monotonic() < deadline_s:
                with contextlib.suppress(httpx.TransportError):
                    httpx.get(f"http://127.0.0.1:{port}/health").raise_for_status()
                    break
                time.sleep(0.05)
            yield process.pid
        finally:
            process.kill()


def _print(runs: list[Run]) -> int:
    of = {name: [run for run in runs if run.name == name] for name in _HOSTS}
    table = Table(
        "through the edge, TLS",
        "requests/s",
        "of the store",
        "p50 ms",
        "p99 ms",
        "CPU ms per 1,000, behind the edge",
        "failed",
        title=f"a script of {_BYTES // 1000} KB, {len(of[_STORE])} rounds",
    )
    for name, found in of.items():
        table.add_row(
            name,
            f"{median(found, 'per_s'):,.0f}",
            f"{share(found, of[_STORE]):.0%}",
            f"{median(found, 'p50_ms'):.2f}",
            f"{median(found, 'p99_ms'):.2f}",
            f"{median(found, 'cpu_ms'):.0f}",
            str(sum(run.failed for run in found)),
        )
    Console(width=120).print(table)
    fastest = all(share(of[name], of[_STORE]) < 1 for name in (_OWN, _NODE))
    print(f"{'✓' if fastest else '✗'} the store is the fastest")
    return 0 if fastest else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
