"""A client that forgives nothing: keep-alive connections that ask one request after another.

Any reset, short read, refused connection, or status other than 200 is a failure. The server may close a connection
only between two responses and only by saying so (`Connection: close`); the client then connects anew. A connection or an
answer that is not there after `PATIENCE_S` is a failure too.
"""

import asyncio
import json
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gantry.drill.exchange import Answer, Connection, Target, request
from gantry.drill.tally import Tally

PATIENCE_S = 15.0
_BETWEEN_TRIES_S = 0.05


class Visitor(Protocol):
    """Who asks over one connection after another."""

    def ask(self) -> bytes:
        """The next request."""
        ...

    def got(self, answer: Answer, began_s: float) -> None:
        """Its whole answer."""
        ...

    def lost(self, reason: str) -> None:
        """It was not answered, or there was no connection to ask over."""
        ...

    def reconnects(self) -> None:
        """The server said that the connection ends."""
        ...


@dataclass(frozen=True, slots=True)
class _Passer:
    """Always asks for the same, and counts."""

    request: bytes
    tally: Tally

    def ask(self) -> bytes:
        return self.request

    def got(self, answer: Answer, began_s: float) -> None:
        self.tally.answered(answer.release, began_s, answer.took_s)
        if answer.status != 200:
            self.tally.fail(f"status {answer.status}", answer.release)

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
    patience_s: float = PATIENCE_S,
) -> Tally:
    """Keep `connections` busy until `until()` says so."""
    tally = Tally()
    passers = [_Passer(request(target), tally) for _ in range(connections)]
    await visit(target, passers, until, pause=lambda: pause_s, patience_s=patience_s)
    return tally


async def visit(
    target: Target,
    visitors: Sequence[Visitor],
    until: Callable[[], bool],
    *,
    pause: Callable[[], float],
    patience_s: float = PATIENCE_S,
) -> None:
    """Let every visitor ask, one request after another, until `until()` says so.

    Parameters:
        pause: seconds from an answer to the next request of the same visitor.
    """
    pace = _Pace(until, pause, patience_s)
    context = target.context()
    async with asyncio.TaskGroup() as group:
        for visitor in visitors:
            group.create_task(_visit(target, context, visitor, pace))


@dataclass(frozen=True, slots=True)
class _Pace:
    until: Callable[[], bool]
    pause: Callable[[], float]
    patience_s: float


async def _visit(
    target: Target, context: ssl.SSLContext | None, visitor: Visitor, pace: _Pace
) -> None:
    while not pace.until():
        try:
            async with asyncio.timeout(pace.patience_s):
                connection = await Connection.open(target, context)
        except OSError as error:
            visitor.lost(f"connect: {type(error).__name__}")
            await asyncio.sleep(_BETWEEN_TRIES_S)
            continue
        try:
            while not pace.until():
                began_s = time.monotonic()
                async with asyncio.timeout(pace.patience_s):
                    answer = await connection.exchange(visitor.ask())
                visitor.got(answer, began_s)
                if not answer.goes_on:
                    visitor.reconnects()
                    break
                if pause_s := pace.pause():
                    await asyncio.sleep(pause_s)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            # A reset, a short read, something that is not HTTP, silence.
            visitor.lost(type(error).__name__)
        finally:
            connection.close()


def stopped_by(stop: Path) -> Callable[[], bool]:
    """Whether that file is there; looked at twenty times a second at most."""
    checked = {"at": 0.0, "stop": False}

    def until() -> bool:
        now = time.monotonic()
        if now - checked["at"] > 0.05:
            checked["at"], checked["stop"] = now, stop.exists()
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
