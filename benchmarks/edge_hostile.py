"""What one visitor notices of another at their worst: `python -m benchmarks.edge_hostile [--requests N]`.

A well-behaved visitor asks one request after the other, from an address of their own: first alone, then while somebody else
holds 1,500 half bodies with 30 KB of headers each, then 85 HTTP/2 connections with 100 one-byte bodies each, and alone again.
Prints how many were refused to the well-behaved one, their times, and the ratio of each p99 to the first. Attacker, visitor
and edge share the machine's cores; times are taken once the attack is in place.

Exits with 1 when anything was refused, or a p99 is more than twice the first.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from collections import Counter
from dataclasses import dataclass

import httpx
from rich.console import Console
from rich.table import Table
from tests.support.attack import HOST, half_body, heap_bytes, holding, streams
from tests.support.edge import Lab, lab, served

_ATTACKER, _VISITOR = "127.0.0.2", "127.0.0.3"
_MAX_RATIO = 2.0
_HALF_BODIES, _CONNECTIONS, _STREAMS = 1_500, 85, 100


@dataclass(frozen=True, slots=True)
class Seen:
    """What the well-behaved visitor saw."""

    name: str
    statuses: Counter[int]
    times_ms: tuple[float, ...]
    heap_mb: float

    def quantile(self, share: float) -> float:
        """In ms."""
        return sorted(self.times_ms)[min(len(self.times_ms) - 1, int(len(self.times_ms) * share))]


async def main() -> int:
    """Measure and print; 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=1_000, help="in each of the four parts")
    options = parser.parse_args()
    half = half_body("/request", headers_kb=30, body_bytes=60_000)
    bytewise = streams("POST", "/request", _STREAMS, body=b"x")
    attacks = (
        ("1,500 half bodies", _HALF_BODIES, half, "http/1.1"),
        ("8,500 one-byte bodies", _CONNECTIONS, bytewise, "h2"),
    )
    async with lab() as edge:
        await edge.edge.start()
        await served(edge)
        await _ask(edge, "warm", 100)
        parts = [await _ask(edge, "alone", options.requests)]
        for name, count, sent, protocol in attacks:
            async with holding(edge, _ATTACKER, count, sent, protocol):
                parts.append(await _ask(edge, name, options.requests))
        parts.append(await _ask(edge, "alone again", options.requests))
    return _print(parts)


async def _ask(edge: Lab, name: str, count: int) -> Seen:
    statuses, times_ms = Counter[int](), []
    transport = httpx.AsyncHTTPTransport(verify=edge.context(), local_address=_VISITOR)
    async with httpx.AsyncClient(transport=transport, timeout=20) as visitor:
        for _ in range(count):
            began = time.perf_counter()
            status = 0
            with contextlib.suppress(httpx.HTTPError):
                answer = await visitor.get(
                    f"https://127.0.0.1:{edge.settings.https_port}/",
                    headers={"host": HOST},
                    extensions={"sni_hostname": HOST},
                )
                status = answer.status_code
            times_ms.append((time.perf_counter() - began) * 1_000)
            statuses[status] += 1
    return Seen(name, statuses, tuple(times_ms), await heap_bytes(edge) / 1e6)


def _print(parts: list[Seen]) -> int:
    table = Table("", "answered", "refused", "p50 ms", "p99 ms", "of alone", "edge's heap MB")
    missed = False
    for part in parts:
        ratio = part.quantile(0.99) / parts[0].quantile(0.99)
        refused = part.statuses.total() - part.statuses[200]
        missed = missed or refused > 0 or ratio > _MAX_RATIO
        table.add_row(
            part.name,
            f"{part.statuses[200]:,}",
            f"{refused:,}",
            f"{part.quantile(0.5):.1f}",
            f"{part.quantile(0.99):.1f}",
            f"{ratio:.2f}",
            f"{part.heap_mb:.0f}",
        )
    Console(width=100).print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
