"""A client that forgives nothing: keep-alive connections that ask one request after another.

Any reset, short read, refused connection, or status other than 200 is a failure. The server may close a connection
only between two responses and only by saying so (`Connection: close`); the client then connects anew. An answer that is not
there after `PATIENCE_S` is a failure too.
"""

import asyncio
import json
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

PATIENCE_S = 15.0
_SLOTS_PER_S = 10_000
# The story of a load is kept in tenths of a second, and of so many failures.
_TICKS_PER_S = 10
_TOLD = 2_000


@dataclass(frozen=True, slots=True)
class Target:
    """What to ask.

    Attributes:
        host: Host header and TLS server name.
        port: on 127.0.0.1.
        root_file: certificate authority to trust; empty asks without TLS.
    """

    host: str
    port: int
    path: str = "/"
    root_file: str = ""


@dataclass(slots=True)
class Tally:
    """What came back.

    Attributes:
        releases: release -> responses that it gave.
        first_seen_s, last_seen_s: release -> monotonic time of the begin of its first request and of the end of its
            last response.
        durations: tenths of a millisecond -> requests that took so long.
        story: tenth of a second (monotonic) -> release -> responses that began to be asked for in it.
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
    story: dict[int, dict[str, int]] = field(default_factory=dict)
    failed: list[tuple[float, str, str]] = field(default_factory=list)

    def answered(self, release: str, began_s: float, ended_s: float) -> None:
        """Count a whole response."""
        self.requests += 1
        took_s = ended_s - began_s
        self.slowest_s = max(self.slowest_s, took_s)
        slot = int(took_s * _SLOTS_PER_S)
        self.durations[slot] = self.durations.get(slot, 0) + 1
        self.releases[release] = self.releases.get(release, 0) + 1
        self.first_seen_s.setdefault(release, began_s)
        self.last_seen_s[release] = ended_s
        tick = self.story.setdefault(int(began_s * _TICKS_PER_S), {})
        tick[release] = tick.get(release, 0) + 1

    def percentile_s(self, share: float) -> float:
        """The duration that `share` (0 to 1) of the requests did not exceed, to a tenth of a millisecond."""
        left = share * self.requests
        for slot in sorted(self.durations):
            left -= self.durations[slot]
            if left <= 0:
                return (slot + 1) / _SLOTS_PER_S
        return 0.0

    def overlap_s(self, old: str, new: str) -> float:
        """How long `old` still answered after `new` had begun to; negative: there was a gap between them."""
        return self.last_seen_s[old] - self.first_seen_s[new]

    def summary(self) -> dict[str, object]:
        """Everything, with percentiles in the place of durations."""
        values = asdict(self)
        del values["durations"]
        percentiles = {
            f"p{name}_s": self.percentile_s(share)
            for name, share in (("50", 0.5), ("95", 0.95), ("99", 0.99), ("999", 0.999))
        }
        return values | percentiles

    def fail(self, reason: str, release: str = "") -> None:
        """Count a failure."""
        self.failures += 1
        if len(self.failed) < _TOLD:
            self.failed.append((time.monotonic(), reason, release))
        self.reasons[reason] = self.reasons.get(reason, 0) + 1


async def load(
    target: Target, connections: int, until: Callable[[], bool], *, pause_s: float = 0.0
) -> Tally:
    """Keep `connections` busy until `until()` says so."""
    tally = Tally()
    context = ssl.create_default_context(cafile=target.root_file) if target.root_file else None
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(_connection(target, context, tally, until, pause_s))
    return tally


async def _connection(
    target: Target,
    context: ssl.SSLContext | None,
    tally: Tally,
    until: Callable[[], bool],
    pause_s: float,
) -> None:
    request = (
        f"GET {target.path} HTTP/1.1\r\nHost: {target.host}:{target.port}\r\n"
        "Accept: */*\r\nUser-Agent: strict\r\n\r\n"
    ).encode()
    while not until():
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1",
                target.port,
                ssl=context,
                server_hostname=target.host if context else None,
            )
        except OSError as error:
            tally.fail(f"connect: {type(error).__name__}")
            await asyncio.sleep(0.05)
            continue
        try:
            while not until():
                async with asyncio.timeout(PATIENCE_S):
                    goes_on = await _exchange(reader, writer, request, tally)
                if not goes_on:
                    tally.reconnects += 1
                    break
                if pause_s:
                    await asyncio.sleep(pause_s)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            tally.fail(
                f"{type(error).__name__}"
            )  # a reset, a short read, something that is not HTTP
        finally:
            writer.close()


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, tally: Tally
) -> bool:
    """One request; whether the connection may be used again."""
    began_s = time.monotonic()
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status = int(head.split(" ", 2)[1])
    lines = (line.partition(": ") for line in head.split("\r\n")[1:])
    headers = {name.lower(): value for name, _, value in lines}
    if headers.get("transfer-encoding") == "chunked":
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    else:
        await reader.readexactly(int(headers.get("content-length", "0")))
    release = headers.get("x-gantry-release", "")
    tally.answered(release, began_s, time.monotonic())
    if status != 200:
        tally.fail(f"status {status}", release)
    return headers.get("connection", "").lower() != "close"


def main() -> None:
    """`python client.py HOST PORT PATH ROOT_FILE CONNECTIONS STOP_FILE [PAUSE_S]`: prints the tally as JSON.

    A process of its own, so that it does not share an event loop with what it measures. Ends when STOP_FILE exists.
    """
    host, port, path, root_file, connections, stop_file, *pause = sys.argv[1:]
    stop = Path(stop_file)
    checked = {"at": 0.0, "stop": False}

    def until() -> bool:
        now = time.monotonic()
        if now - checked["at"] > 0.05:
            checked["at"], checked["stop"] = now, stop.exists()
        return bool(checked["stop"])

    target = Target(host, int(port), path, root_file)
    tally = asyncio.run(
        load(target, int(connections), until, pause_s=float(pause[0]) if pause else 0.0)
    )
    sys.stdout.write(json.dumps(tally.summary()) + "\n")


if __name__ == "__main__":
    main()
