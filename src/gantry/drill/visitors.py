"""Visitors of the drill's product: forty of them, of four kinds, in a process of their own."""

import asyncio
import json
import random
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, repeat
from pathlib import Path

from gantry.drill.client import stopped_by, visit
from gantry.drill.exchange import Response, Target, request
from gantry.drill.observed import VisitorKind
from gantry.drill.product import (
    CACHED_PATH,
    DEPLOYMENT_HEADER,
    ORDER_HEADER,
    EventReceiver,
    discard_waiting,
)

# Every twentieth request of a stranger or a regular is an order.
REQUESTS_PER_ORDER = 20
# The timeline of a load is kept in tenths of a second.
TICKS_PER_S = 10
_ORDER_BODY = b"one of everything, please\n" * 8
# While the edge is away, 40 visitors are refused 20 times a second each.
_MAX_FAILURES = 20_000
_FROM_THE_CACHE = ("hit", "stale")
# 40 visitors who pause for 0.2 s in the mean ask 200 times a second. Were all pauses the same, they would go in step from
# the first moment on in which all of them had to wait, and come as forty at once.
_PAUSE_S = (0.1, 0.3)
_COUNTS = {
    VisitorKind.REGULAR: 20,
    VisitorKind.STRANGER: 14,
    VisitorKind.PAGE: 3,
    VisitorKind.READER: 3,
}


@dataclass(slots=True)
class Load:
    """What all visitors together got.

    Attributes:
        timeline: tenth of a second (monotonic) -> release -> answers to strangers and readers that were asked for in it.
        failed: when (monotonic seconds), why, by which release, when it was sent, the order's number; the first 20,000.
        cache_hits: answers that the edge had kept.
    """

    requests: int = 0
    reconnects: int = 0
    slowest_s: float = 0.0
    timeline: dict[int, dict[str, int]] = field(default_factory=dict)
    failed: list[tuple[float, str, str, float, str]] = field(default_factory=list)
    cache_hits: int = 0

    def answered(self, release: str, began_s: float) -> None:
        """Count an answer to somebody who is drawn with each request."""
        tick = self.timeline.setdefault(int(began_s * TICKS_PER_S), {})
        tick[release] = tick.get(release, 0) + 1


@dataclass(slots=True)
class Visitor:
    """One visitor; a `Requester` of the strict client.

    Attributes:
        cookie: as they would send it; empty before they were given one.
        deployment, page: of what they have loaded, and the release that it came from.
        switches: when another release began to answer them, and which.
    """

    number: int
    kind: VisitorKind
    target: Target
    load: Load
    cookie: str = ""
    deployment: str = ""
    page: str = ""
    switches: list[tuple[float, str]] = field(default_factory=list)
    _asked: int = 0
    _order: str = ""
    _began_s: float = 0.0

    def next_request(self) -> bytes:
        """See `Requester.next_request`."""
        self._asked += 1
        self._began_s = time.monotonic()
        orders = self.kind in (VisitorKind.STRANGER, VisitorKind.REGULAR)
        if orders and (self._asked + self.number) % REQUESTS_PER_ORDER == 0:
            self._order = f"{self.number}-{self._asked}"
        method, body = ("POST", _ORDER_BODY) if self._order else ("GET", b"")
        return request(self.target, method, self._headers(), body)

    def _headers(self) -> Iterator[tuple[str, str]]:
        if self._order:
            yield ORDER_HEADER, self._order
        if self.cookie:
            yield "Cookie", self.cookie
        if self.deployment:
            yield "x-deployment-id", self.deployment

    def received(self, response: Response, began_s: float) -> None:
        """See `Requester.received`."""
        self.load.requests += 1
        self.load.slowest_s = max(self.load.slowest_s, response.took_s)
        if response.status != 200:
            self._fail(f"status {response.status}", response.release)
        elif response.body.decode() != self._expected(response.release):
            self._fail(f"{response.release} is said to have answered: {response.body!r}", "")
        self._order = ""
        if response.release not in ("", "edge"):
            self._learn(response, began_s)

    def _expected(self, release: str) -> str:
        return f"{release} {self._order} {len(_ORDER_BODY)}" if self._order else release

    def _learn(self, response: Response, began_s: float) -> None:
        match self.kind:
            case VisitorKind.STRANGER | VisitorKind.READER:
                self.load.answered(response.release, began_s)
                self.load.cache_hits += response.headers.get("x-gantry-cache") in _FROM_THE_CACHE
                return
            case VisitorKind.REGULAR if response.cookies:
                self.cookie = "; ".join(response.cookies)
            case VisitorKind.PAGE if not self.deployment:
                self.deployment = response.headers.get(DEPLOYMENT_HEADER, "")
                self.page = response.release if self.deployment else ""
            case _:
                pass
        if not self.switches or self.switches[-1][1] != response.release:
            self.switches.append((began_s, response.release))

    def lost(self, reason: str) -> None:
        """See `Requester.lost`."""
        self._fail(reason, "")
        self._order = ""

    def reconnects(self) -> None:
        """See `Requester.reconnects`."""
        self.load.reconnects += 1

    def _fail(self, reason: str, release: str) -> None:
        if len(self.load.failed) < _MAX_FAILURES:
            now_s = time.monotonic()
            self.load.failed.append((now_s, reason, release, self._began_s, self._order))

    def history(self) -> list[object]:
        """Kind, switches, page and whether there is a cookie, as JSON takes it."""
        return [self.kind, self.switches, self.page, bool(self.cookie)]


def all_visitors(target: Target, load: Load) -> list[Visitor]:
    """The forty of a drill."""
    kinds = chain.from_iterable(repeat(kind, count) for kind, count in _COUNTS.items())
    cached = replace(target, path=CACHED_PATH)
    return [
        Visitor(number, kind, cached if kind is VisitorKind.READER else target, load)
        for number, kind in enumerate(kinds)
    ]


async def run_load(target: Target, stop_file: Path, events_fd: int) -> dict[str, object]:
    """Let all visitors ask until `stop_file` exists.

    Parameters:
        events_fd: socket at which the product's instances report.

    Returns:
        what visitors got and instances reported, as JSON takes it.
    """
    load = Load()
    visitors = all_visitors(target, load)
    events = socket.socket(fileno=events_fd)
    discard_waiting(events)
    loop, chance = asyncio.get_running_loop(), random.Random(0)
    transport, receiver = await loop.create_datagram_endpoint(EventReceiver, sock=events)
    try:
        await visit(
            target, visitors, stopped_by(stop_file), pause=lambda: chance.uniform(*_PAUSE_S)
        )
    finally:
        transport.close()
    kept = (VisitorKind.REGULAR, VisitorKind.PAGE)
    histories = [visitor.history() for visitor in visitors if visitor.kind in kept]
    return {**asdict(load), "histories": histories, **receiver.summary()}


def main() -> None:
    """`python -m gantry.drill.visitors TARGET STOP_FILE EVENTS_FD`: the target is JSON, and so is what is printed."""
    target, stop_file, events_fd = sys.argv[1:]
    tally = asyncio.run(run_load(Target(**json.loads(target)), Path(stop_file), int(events_fd)))
    sys.stdout.write(json.dumps(tally) + "\n")


if __name__ == "__main__":
    main()
