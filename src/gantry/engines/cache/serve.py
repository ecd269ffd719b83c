"""The cache's process: `python -m gantry.engines.cache.serve SETTINGS.json`.

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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvicorn

from gantry.engines.cache import policy
from gantry.engines.cache.exchange import Exchange
from gantry.engines.cache.joined import JoinedHttp
from gantry.engines.cache.load import Load, OverloadError
from gantry.engines.cache.numbers import status_of
from gantry.engines.cache.policy import Headers
from gantry.engines.cache.protocol import AWAY, BACKEND_HEADER, RESULT_HEADER, Purge
from gantry.engines.cache.questions import Request, UpstreamError
from gantry.engines.cache.store import Store
from gantry.engines.cache.upstream import Inner

_log = logging.getLogger(__name__)

STATUS_PATH, PURGE_PATH = "/status", "/purge"

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

_KEEP_ALIVE_S = 90
_LARGEST_WORDS = 1_000_000
_HELD_BYTES = 65_536
_HELD_S = 0.05
_HEAVY_BYTES = 8_192
_CLOSING: Headers = ((b"connection", b"close"),)
# Of what `process.py` gives beyond what is kept; Python and what it wastes have the rest.
_MOST_LOAD_BYTES = 96_000_000
_AWAY = (RESULT_HEADER.encode(), AWAY.encode())
# Answers that are read to their end though the first who asked for them is gone.
_MOST_FORSAKEN = 64


@dataclass(frozen=True, slots=True)
class Config:
    """What the process is told.

    Attributes:
        upstream: unix socket of the edge's inner listener.
        limit_bytes: of all answers together.
        largest_bytes: of one.
    """

    socket: str
    upstream: str
    limit_bytes: int
    largest_bytes: int


class _Visitor:
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
        self._prepare(status, headers)
        if not _is_short(headers):
            # A page that is streamed must not wait for its end.
            self._timer = asyncio.get_running_loop().call_later(_HELD_S, self._begin_late)

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        self._prepare(status, headers)
        self._held = [body]
        await self._say(last=True)

    async def send(self, part: bytes) -> None:
        self._held.append(part)
        if self.began or sum(map(len, self._held)) > _HELD_BYTES:
            await self._say()

    async def end(self) -> None:
        await self._say(last=True)

    def leave(self) -> None:
        """What is held is not said any more."""
        for waiting in (self._timer, self._late):
            if waiting is not None:
                waiting.cancel()

    def _prepare(self, status: int, headers: Headers) -> None:
        """Instead of whatever is held."""
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


class App:
    """The ASGI application."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._forsaken = 0
        self._store = Store(config.limit_bytes)
        self._exchange = Exchange(
            self._store,
            Inner(config.upstream).ask,
            config.largest_bytes,
            _now_s,
            Load(_MOST_LOAD_BYTES),
        )

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        assert scope["type"] == "http", "nothing else is switched on"
        headers: Headers = tuple((bytes(name), bytes(value)) for name, value in scope["headers"])
        # The server holds on to the headers as long as the edge to the connection, and it opens thousands.
        heavy = sum([len(value) for _, value in headers]) > _HEAVY_BYTES
        visitor = _Visitor(send, _CLOSING if heavy else ())
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

    async def _answer(self, request: Request, visitor: _Visitor, receive: _Receive) -> None:
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

    async def _ask(self, request: Request, visitor: _Visitor, receive: _Receive) -> None:
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

    async def _go_on(self, serving: asyncio.Future[None], visitor: _Visitor) -> None:
        """He is gone. An answer that others can use is read to its end; one that only he wanted is not."""
        visitor.gone = True
        if visitor.alone or self._forsaken >= _MOST_FORSAKEN:
            serving.cancel()
            return
        self._forsaken += 1
        try:
            await asyncio.wait((serving,))
        finally:
            self._forsaken -= 1

    async def _control(self, scope: _Message, receive: _Receive, visitor: _Visitor) -> None:
        if (scope["method"], scope["path"]) == ("GET", STATUS_PATH):
            await _say(visitor, 200, asdict(status_of(self._store, self._exchange.tally)))
        elif (scope["method"], scope["path"]) == ("POST", PURGE_PATH):
            wanted = {name: tuple(words) for name, words in (await _words(receive)).items()}
            await _say(visitor, 200, {"purged": self._exchange.purge(Purge(**wanted))})
        else:
            await _say(visitor, 400, {"error": "a request without a backend"})


def _is_short(headers: Headers) -> bool:
    length = policy.length(headers)
    return length is not None and length <= _HELD_BYTES


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


async def _words(receive: _Receive) -> dict[str, list[str]]:
    body = b""
    while len(body) <= _LARGEST_WORDS:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    found: dict[str, list[str]] = json.loads(body)
    return found


async def _say(visitor: _Visitor, status: int, words: object, more: Headers = ()) -> None:
    body = json.dumps(words).encode()
    length = (b"content-length", str(len(body)).encode())
    await visitor.whole(status, ((b"content-type", b"application/json"), length, *more), body)


def main(path: Path) -> None:
    """Serve until SIGTERM."""
    config = Config(**json.loads(path.read_text()))
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
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=3,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
