"""A strict client: keep-alive connections that ask one request after another, and forgive nothing.

Any reset, short read, refused connection, or status other than 200 is a failure. The server may close a connection
only between two responses and only by saying so (`Connection: close`); the client then connects anew. A connection or an
answer that is not there after `TIMEOUT_S` is a failure too.
"""

import asyncio
import json
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from gantry.drill.exchange import Connection, Response, Target, request

TIMEOUT_S = 15.0
_INTERVAL_CONNECT_S = 0.05
_INTERVAL_STOP_FILE_S = 0.05
_SLOTS_PER_S = 10_000
_MAX_FAILURES = 2_000


class Requester(Protocol):
    """Asks one request after another over one connection after another, and is told what came of each."""

    def next_request(self) -> bytes:
        """The next request as it is sent."""
        ...

    def received(self, response: Response, began_s: float) -> None:
        """The whole response arrived; `began_s` (monotonic) is when the request was sent."""
        ...

    def lost(self, reason: str) -> None:
        """The request was not answered, or there was no connection to send it over."""
        ...

    def reconnects(self) -> None:
        """The server said that the connection ends."""
        ...


@dataclass(slots=True)
class ClientTally:
    """Counts of what came back.

    Attributes:
        releases: release -> responses that it gave.
        first_seen_s, last_seen_s: release -> monotonic time of the begin of its first request and of the end of its
            last response.
        durations: tenths of a millisecond -> requests that took so long.
        failed: when (monotonic seconds), why, and by which release; the first 2,000.
    """

    requests: int = 0
    failures: int = 0
    reconnects: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    releases: dict[str, int] = field(default_factory=dict)
    first_seen_s: dict[str, float] = field(default_factory=dict)
    last_seen_s: dict[str, float] = field(default_factory=dict)
    durations: dict[int, int] = field(default_factory=dict)
    slowest_s: float = 0.0
    failed: list[tuple[float, str, str]] = field(default_factory=list)

    def answered(self, release: str, began_s: float, took_s: float) -> None:
        """Count a whole response."""
        self.requests += 1
        self.slowest_s = max(self.slowest_s, took_s)
        slot = int(took_s * _SLOTS_PER_S)
        self.durations[slot] = self.durations.get(slot, 0) + 1
        self.releases[release] = self.releases.get(release, 0) + 1
        self.first_seen_s.setdefault(release, began_s)
        self.last_seen_s[release] = began_s + took_s

    def fail(self, reason: str, release: str = "") -> None:
        """Count a failure."""
        self.failures += 1
        if len(self.failed) < _MAX_FAILURES:
            self.failed.append((time.monotonic(), reason, release))
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def percentile_s(self, share: float) -> float:
        """The duration that `share` (0 to 1) of the requests did not exceed, to a tenth of a millisecond."""
        left = share * self.requests
        for slot in sorted(self.durations):
            left -= self.durations[slot]
            if left <= 0:
                return (slot + 1) / _SLOTS_PER_S
        return 0.0

    def summary(self) -> dict[str, object]:
        """Everything, with percentiles in the place of durations."""
        values = asdict(self)
        del values["durations"]
        percentiles = {
            f"p{name}_s": self.percentile_s(share)
            for name, share in (("50", 0.5), ("95", 0.95), ("99", 0.99), ("999", 0.999))
        }
        return values | percentiles


@dataclass(frozen=True, slots=True)
class _Repeater:
    """Sends the same request again and again, and counts."""

    request: bytes
    tally: ClientTally

    def next_request(self) -> bytes:
        return self.request

    def received(self, response: Response, began_s: float) -> None:
        self.tally.answered(response.release, began_s, response.took_s)
        if response.status != 200:
            self.tally.fail(f"status {response.status}", response.release)

    def lost(self, reason: str) -> None:
        self.tally.fail(reason)

    def reconnects(self) -> None:
        self.tally.reconnects += 1


async def load(
    target: Target,
    connections: int,
    until: Callable[[], bool],
    *,
    pause_s: float = 0.0,
    timeout_s: float = TIMEOUT_S,
) -> ClientTally:
    """Keep `connections` busy with the same request until `until()` says so."""
    tally = ClientTally()
    repeaters = [_Repeater(request(target), tally) for _ in range(connections)]
    await visit(target, repeaters, until, pause=lambda: pause_s, timeout_s=timeout_s)
    return tally


async def visit(
    target: Target,
    requesters: Sequence[Requester],
    until: Callable[[], bool],
    *,
    pause: Callable[[], float],
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Let every requester ask, one request after another, until `until()` says so.

    Parameters:
        pause: seconds from an answer to the next request of the same requester.
    """
    pace = _Pace(until, pause, timeout_s)
    context = target.context()
    async with asyncio.TaskGroup() as group:
        for requester in requesters:
            group.create_task(_visit(target, context, requester, pace))


@dataclass(frozen=True, slots=True)
class _Pace:
    until: Callable[[], bool]
    pause: Callable[[], float]
    timeout_s: float


async def _visit(
    target: Target, context: ssl.SSLContext | None, requester: Requester, pace: _Pace
) -> None:
    while not pace.until():
        try:
            async with asyncio.timeout(pace.timeout_s):
                connection = await Connection.open(target, context)
        except OSError as error:
            requester.lost(f"connect: {type(error).__name__}")
            await asyncio.sleep(_INTERVAL_CONNECT_S)
            continue
        try:
            while not pace.until():
                began_s = time.monotonic()
                async with asyncio.timeout(pace.timeout_s):
                    response = await connection.exchange(requester.next_request())
                requester.received(response, began_s)
                if not response.keeps_alive:
                    requester.reconnects()
                    break
                if pause_s := pace.pause():
                    await asyncio.sleep(pause_s)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            # A reset, a short read, something that is not HTTP, silence.
            requester.lost(type(error).__name__)
        finally:
            connection.close()


def stopped_by(stop_file: Path) -> Callable[[], bool]:
    """Whether that file exists; looked up twenty times a second at most."""
    checked = {"at": 0.0, "stop": False}

    def until() -> bool:
        now = time.monotonic()
        if now - checked["at"] > _INTERVAL_STOP_FILE_S:
            checked["at"], checked["stop"] = now, stop_file.exists()
        return bool(checked["stop"])

    return until


def main() -> None:
    """`python client.py HOST PORT PATH ROOT_FILE CONNECTIONS STOP_FILE [PAUSE_S]`: prints the tally as JSON.

    A process of its own, so that it does not share an event loop with what it measures. Ends when STOP_FILE exists.
    """
    host, port, path, root_file, connections, stop_file, *pause = sys.argv[1:]
    target = Target(host, int(port), path, root_file)
    until = stopped_by(Path(stop_file))
    tally = asyncio.run(
        load(target, int(connections), until, pause_s=float(pause[0]) if pause else 0.0)
    )
    sys.stdout.write(json.dumps(tally.summary()) + "\n")


if __name__ == "__main__":
    main()
