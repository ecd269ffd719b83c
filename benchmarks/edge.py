"""The edge in numbers: `python -m benchmarks.edge [--rounds N] [--seconds S]`.

The same answer of 2 KB behind plain Envoy, behind Gantry's edge with everything switched on (TLS, access log, numbers of
each release read every second, retries, compression, request ids, traces), and behind Traefik and Caddy doing the same.
Two further rows show what a site's own rules cost (redirects, rewrites, headers, pages of older releases), and a canary,
which the others do not have. Each round asks all of them in another order with the same load; ratios are taken within a
round. All are started anew for each round: of two runs of the same program one may be 8 % faster for as long as it lives,
by where its memory lies. The proxies, the product and the load share the machine's cores, so CPU time per request is
shown as well: what a proxy costs by itself.

Needs `wrk` (apt-get install wrk). Exits with 1 when an aim is missed.
"""

import argparse
import asyncio
import contextlib
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table
from tests.support.edge import Lab, lab

from benchmarks.edge_load import CONNECTIONS, Contestant, Run, load, median, missing, share
from benchmarks.edge_rivals import (
    HOST,
    Certificate,
    caddy,
    plain_envoy,
    programs,
    traefik,
    upstream,
)
from gantry.engines.edge.protocol import (
    Backend,
    Canary,
    EdgeConfig,
    Endpoint,
    HeaderRule,
    Pin,
    Redirect,
    Rewrite,
    Site,
)
from gantry.engines.edge.visitors import COOKIE, token
from gantry.engines.runtime.protocol import ProcessState

_SHARE = 0.85
_BASE, _OURS = "plain Envoy", "Gantry"
_CANARY = Canary("ro-1", "r-2", 50, b"0123456789abcdef", buckets=2)
SITE = Site((HOST,), "r-1", release="r-1")
_RULED = replace(
    SITE,
    redirects=(Redirect("/old/:slug*", "/new/:slug*"), Redirect("/blog", "/news", 307)),
    rewrites=(Rewrite("/docs/:page", "/pages/:page"),),
    headers=(
        HeaderRule("/(.*)", (("x-frame-options", "DENY"), ("referrer-policy", "same-origin"))),
        HeaderRule("/embed/:name", (("x-frame-options", "ALLOWALL"),)),
    ),
    pins=(Pin("0123456789ab", "r-1"), Pin("ba9876543210", "r-2")),
)
_ASKED = {"Host": HOST, "Cookie": f"{COOKIE}={token(_CANARY, 1)}"}


async def main() -> int:
    """Measure and print; 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=3, help="of load for each, in each round")
    options = parser.parse_args()
    if words := missing():
        print(words, file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="gantry-bench-"))
    try:
        found = await asyncio.to_thread(programs, folder)
        runs = [
            run
            for number in track(range(options.rounds), "measuring", console=Console(stderr=True))
            for run in await _round(folder, found, number, options.seconds)
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _print(runs)


async def _round(folder: Path, found: dict[str, Path], number: int, seconds: int) -> list[Run]:
    async with contextlib.AsyncExitStack() as stack:
        product = stack.enter_context(upstream(folder))
        one = await stack.enter_async_context(lab())
        issued = await one.certificate(HOST)
        certificate = Certificate.written(folder, issued)
        two = await stack.enter_async_context(lab())
        three = await stack.enter_async_context(lab())
        contestants = (
            *stack.enter_context(plain_envoy(folder, product, certificate)),
            await _gantry(one, product, _OURS, SITE),
            await _gantry(two, product, "Gantry, rules and pins", _RULED),
            await _gantry(
                three, product, "Gantry, in a canary too", replace(_RULED, canary=_CANARY)
            ),
            stack.enter_context(traefik(found["traefik"], folder, product, certificate)),
            stack.enter_context(caddy(found["caddy"], folder, product, certificate)),
        )
        watching = asyncio.gather(_watch(one), _watch(two), _watch(three))
        try:
            return await _ask_all(contestants, number, seconds)
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching


async def _ask_all(contestants: tuple[Contestant, ...], number: int, seconds: int) -> list[Run]:
    for each in contestants:
        await asyncio.to_thread(load, each, 1, _ASKED)  # warm
    first = number % len(contestants)
    return [
        await asyncio.to_thread(load, each, seconds, _ASKED)
        for each in (*contestants[first:], *contestants[:first])
    ]


async def _gantry(lab: Lab, product: int, name: str, site: Site) -> Contestant:
    """The edge as Gantry renders it for `site` and five others."""
    await lab.edge.start()
    others = tuple(
        replace(site, hosts=(f"{number}.localhost",), canary=None) for number in range(5)
    )
    backends = tuple(
        Backend(release, (Endpoint(port=product),), "/health", HOST) for release in ("r-1", "r-2")
    )
    certificates = (await lab.certificate(HOST, *(one.hosts[0] for one in others)),)
    await lab.edge.apply(EdgeConfig((site, *others), backends, certificates))
    await lab.until_healthy("r-1", "r-2")
    statuses = (await lab.runtime.statuses()).items()
    (pid,) = (one.pid for _, one in statuses if one.state is ProcessState.RUNNING and one.pid)
    return Contestant(name, f"https://127.0.0.1:{lab.settings.https_port}/", pid)


async def _watch(lab: Lab) -> None:
    """As in a rollout: the numbers of each release, every second."""
    while True:
        await lab.edge.numbers()
        await asyncio.sleep(1)


def _print(runs: list[Run]) -> int:
    names = list(dict.fromkeys(run.name for run in runs))
    of = {name: [run for run in runs if run.name == name] for name in names}
    table = Table(
        "",
        "requests/s",
        "of plain Envoy",
        "p50 ms",
        "p99 ms",
        "CPU ms per 1,000",
        "failed",
        title=f"{len(of[_BASE])} rounds, {CONNECTIONS} connections, HTTP/1.1 kept alive",
    )
    shares = {name: share(of[name], of[_BASE]) for name in names}
    for name in names:
        table.add_row(
            name,
            f"{median(of[name], 'per_s'):,.0f}",
            f"{shares[name]:.0%}",
            f"{median(of[name], 'p50_ms'):.2f}",
            f"{median(of[name], 'p99_ms'):.2f}",
            f"{median(of[name], 'cpu_ms'):.0f}",
            str(sum(run.failed for run in of[name])),
        )
    Console(width=110).print(table)
    aims = {
        f"at least {_SHARE:.0%} of plain Envoy with TLS": shares[_OURS] >= _SHARE,
        "more than Traefik": shares[_OURS] > shares["Traefik"],
        "more than Caddy": shares[_OURS] > shares["Caddy"],
        "no request failed": not any(run.failed for run in of[_OURS]),
    }
    for words, met in aims.items():
        print(f"{'✓' if met else '✗'} {words}")
    return 0 if all(aims.values()) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
