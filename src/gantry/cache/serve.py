"""The cache's process: `python -m gantry.cache.serve CONFIG.json`.

It listens on a unix socket that only the edge and the control plane can reach. The edge marks each request with a backend,
whatever a visitor sends; a request without that mark is the control plane's.
"""

import asyncio
import contextlib
import json
import logging
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gantry.cache import policy
from gantry.cache.budget import MemoryBudget, OverloadError
from gantry.cache.exchange import Exchange
from gantry.cache.policy import Headers
from gantry.cache.questions import Request, UpstreamError
from gantry.cache.store import Store
from gantry.cache.tally import status_of
from gantry.cache.upstream import InnerListener
from gantry.kernel.edge_names import AWAY, BACKEND_HEADER, RESULT_HEADER

_log = logging.getLogger(__name__)

STATUS_PATH, PURGE_PATH = "/status", "/purge"

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

_KEEP_ALIVE_TIMEOUT_S = 90
_SHUTDOWN_TIMEOUT_S = 3
_MAX_PURGE_BYTES = 1_000_000
_MAX_HELD_BYTES = 65_536
_MAX_HELD_S = 0.05
# More is written at once: the other end says by reading slowly that it has enough.
_MAX_JOINED_BYTES = 65_536
_HEAVY_BYTES = 8_192
_CLOSING: Headers = ((b"connection", b"close"),)
# Of what the process may take beyond what is kept; Python and what it wastes have the rest.
_MAX_BUDGET_BYTES = 96_000_000
_AWAY = (RESULT_HEADER.encode(), AWAY.encode())
# Answers that are read to their end though the first who asked for them is gone.
_MAX_ORPHANED = 64


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """Configuration of the process, a JSON file.

    Attributes:
        upstream: unix socket of the edge's inner listener.
        limit_bytes: of all answers together.
        max_answer_bytes: of one answer; a larger one is passed on only.
    """

    socket: str
    upstream: str
    limit_bytes: int
    max_answer_bytes: int


class AsgiVisitor:
    """A visitor at the other end of an ASGI connection.

    A short answer is said in one piece, however slowly it comes, where its length is known. As long as nothing has been said,
    the edge can still ask an instance when this process is killed, and an answer that the product cut can still be replaced
    by an older one.

    Parameters:
        after: headers of every answer, after its own.
    """

    def __init__(self, send: _Send, after: Headers = ()) -> None:
        self._send = send
        self._after = after
        self._start: _Message = {}
        self._held: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._late: asyncio.Future[None] | None = None
        self._speaking = asyncio.Lock()
        self.began = False
        self.ended = False
        self.alone = True
        self.gone = False

    async def begin(self, status: int, headers: Headers) -> None:
        """See `Visitor.begin`."""
        self._prepare(status, headers)
        if not _is_short(headers):
            # A page that is streamed must not wait for its end.
            self._timer = asyncio.get_running_loop().call_later(_MAX_HELD_S, self._begin_late)

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """See `Visitor.whole`."""
        self._prepare(status, headers)
        self._held = [body]
        await self._say(last=True)

    async def send(self, part: bytes) -> None:
        """See `Visitor.send`."""
        self._held.append(part)
        if self.began or sum(map(len, self._held)) > _MAX_HELD_BYTES:
            await self._say()

    async def end(self) -> None:
        """See `Visitor.end`."""
        await self._say(last=True)

    def leave(self) -> None:
        """Drop what is held: it is not said any more."""
        for waiting in (self._timer, self._late):
            if waiting is not None:
                waiting.cancel()

    def _prepare(self, status: int, headers: Headers) -> None:
        """Hold this head, instead of whatever is held."""
        self.leave()
        headers = (*headers, *self._after)
        self._start = {"type": "http.response.start", "status": status, "headers": headers}
        self._held = []

    def _begin_late(self) -> None:
        self._late = asyncio.ensure_future(self._say())

    async def _say(self, *, last: bool = False) -> None:
        async with self._speaking:
            if self.ended:
                return
            if not self.began:
                self.began = True
                await self._send(self._start)
            self.ended = last
            body, self._held = b"".join(self._held), []
            await self._send({"type": "http.response.body", "body": body, "more_body": not last})


class JoinedHttp(HttpToolsProtocol):
    """uvicorn's HTTP, whose answers are written together with what follows in the same turn of the loop.

    uvicorn writes the head of an answer by itself, and uvloop sends it at once: whoever killed the process between the two
    cut an answer that the edge could not ask for anew, because it had begun.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(cast("asyncio.Transport", _JoinedTransport(transport)))


class _JoinedTransport:
    """A transport that writes in one piece what comes in one turn of the loop."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parts: list[bytes] = []
        self._size = 0
        self._due: asyncio.Handle | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- whatever a transport has
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write `data`, with what comes right after it."""
        self._parts.append(data)
        self._size += len(data)
        if self._size > _MAX_JOINED_BYTES:
            self._flush()
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_soon(self._flush)

    def close(self) -> None:
        """Close when everything is written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._parts and not self._transport.is_closing():
            self._transport.write(b"".join(self._parts))
        self._parts, self._size = [], 0


class App:
    """The ASGI application."""

    def __init__(self, config: CacheConfig) -> None:
        self._config = config
        self._orphaned = 0
        self._store = Store(config.limit_bytes)
        self._exchange = Exchange(
            self._store,
            InnerListener(config.upstream).ask,
            config.max_answer_bytes,
            _now_s,
            MemoryBudget(_MAX_BUDGET_BYTES),
        )

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        assert scope["type"] == "http", "nothing else is switched on"
        headers: Headers = tuple((bytes(name), bytes(value)) for name, value in scope["headers"])
        # The server holds on to the headers as long as the edge to the connection, and it opens thousands.
        heavy = sum([len(value) for _, value in headers]) > _HEAVY_BYTES
        visitor = AsgiVisitor(send, _CLOSING if heavy else ())
        try:
            if policy.first(headers, BACKEND_HEADER.encode()):
                await self._answer(_request(scope, headers), visitor, receive)
            else:
                await self._control(scope, receive, visitor)
        except UpstreamError:
            raise
        except Exception:
            # The server would say nothing of it: it speaks of answers that were cut in the same way.
            _log.exception("an unexpected error")
            if visitor.began:
                raise
            await _say(visitor, 500, {"error": "unexpected"}, (_AWAY, *_CLOSING))

    async def _answer(self, request: Request, visitor: AsgiVisitor, receive: _Receive) -> None:
        try:
            # What is kept is there at once: nobody has to watch meanwhile whether the visitor leaves.
            if not await self._exchange.give(request, visitor):
                await self._ask(request, visitor, receive)
        except (UpstreamError, OverloadError) as error:
            if visitor.began:
                raise  # the server cuts the connection: nobody takes half an answer for a whole one
            status = 503 if isinstance(error, OverloadError) else 502
            await _say(visitor, status, {"error": str(error)}, (_AWAY, *_CLOSING))
        finally:
            visitor.leave()

    async def _ask(self, request: Request, visitor: AsgiVisitor, receive: _Receive) -> None:
        serving = asyncio.ensure_future(self._exchange.ask(request, visitor))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait((serving, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not serving.done() and not visitor.ended:
                await self._go_on(serving, visitor)
            with contextlib.suppress(asyncio.CancelledError):
                await serving
        finally:
            serving.cancel()
            leaving.cancel()

    async def _go_on(self, serving: asyncio.Future[None], visitor: AsgiVisitor) -> None:
        """The visitor is gone. An answer that others can use is read to its end; one that only they wanted is not."""
        visitor.gone = True
        if visitor.alone or self._orphaned >= _MAX_ORPHANED:
            serving.cancel()
            return
        self._orphaned += 1
        try:
            await asyncio.wait((serving,))
        finally:
            self._orphaned -= 1

    async def _control(self, scope: _Message, receive: _Receive, visitor: AsgiVisitor) -> None:
        if (scope["method"], scope["path"]) == ("GET", STATUS_PATH):
            await _say(visitor, 200, status_of(self._store, self._exchange.tally))
        elif (scope["method"], scope["path"]) == ("POST", PURGE_PATH):
            purged = self._exchange.purge(**await _read_purge(receive))
            await _say(visitor, 200, {"purged": purged})
        else:
            await _say(visitor, 400, {"error": "a request without a backend"})


def _is_short(headers: Headers) -> bool:
    length = policy.length(headers)
    return length is not None and length <= _MAX_HELD_BYTES


def _now_s() -> float:
    """Time asleep included: answers grow old while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _request(scope: _Message, headers: Headers) -> Request:
    query = scope["query_string"].decode("latin-1")
    path = scope["raw_path"].decode("latin-1")
    return Request(
        method=scope["method"],
        target=f"{path}?{query}" if query else path,
        # As it was said: a product that tells `Shop` from `shop` must not answer for both at once.
        host=policy.first(headers, b"host").decode("latin-1"),
        headers=headers,
    )


async def _left(receive: _Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read_purge(receive: _Receive) -> dict[str, list[str]]:
    body = b""
    while len(body) <= _MAX_PURGE_BYTES:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    found: dict[str, list[str]] = json.loads(body)
    return found


async def _say(visitor: AsgiVisitor, status: int, content: object, more: Headers = ()) -> None:
    body = json.dumps(content).encode()
    length = (b"content-length", str(len(body)).encode())
    await visitor.whole(status, ((b"content-type", b"application/json"), length, *more), body)


def main(path: Path) -> None:
    """Serve until SIGTERM."""
    config = CacheConfig(**json.loads(path.read_text()))
    uvicorn.run(
        App(config),
        uds=config.socket,
        loop="uvloop",
        http=JoinedHttp,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="critical",
        server_header=False,
        proxy_headers=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_TIMEOUT_S,
        timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT_S,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
