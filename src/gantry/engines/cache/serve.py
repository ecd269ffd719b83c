"""The cache's process: `python -m gantry.engines.cache.serve SETTINGS.json`.

It listens on a unix socket that only the edge and the control plane can reach. The edge marks each request with a backend,
whatever a visitor sends; a request without that mark is the control plane's.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvicorn

from gantry.engines.cache import policy
from gantry.engines.cache.exchange import Exchange, Request, UpstreamError
from gantry.engines.cache.numbers import status_of
from gantry.engines.cache.policy import Headers
from gantry.engines.cache.protocol import BACKEND_HEADER, Purge
from gantry.engines.cache.store import Store
from gantry.engines.cache.upstream import Inner

STATUS_PATH, PURGE_PATH = "/status", "/purge"

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

_KEEP_ALIVE_S = 90
_LARGEST_WORDS = 1_000_000
_HELD_BYTES = 65_536
_HELD_S = 0.05
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

    A short answer is said in one piece. As long as nothing has been said, the edge can still ask an instance when this
    process is killed, and an answer that the product cut can still be replaced by an older one.
    """

    def __init__(self, send: _Send) -> None:
        self._send = send
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
        self.leave()
        self._start = {"type": "http.response.start", "status": status, "headers": headers}
        self._held = []
        # A page that is streamed must not wait for its end.
        self._timer = asyncio.get_running_loop().call_later(_HELD_S, self._begin_late)

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        self.leave()
        self._start = {"type": "http.response.start", "status": status, "headers": headers}
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
            self._store, Inner(config.upstream).ask, config.largest_bytes, time.monotonic
        )

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        assert scope["type"] == "http", "nothing else is switched on"
        headers: Headers = tuple((bytes(name), bytes(value)) for name, value in scope["headers"])
        visitor = _Visitor(send)
        if not policy.first(headers, BACKEND_HEADER.encode()):
            await self._control(scope, receive, visitor)
            return
        query = scope["query_string"].decode("latin-1")
        path = scope["raw_path"].decode("latin-1")
        request = Request(
            method=scope["method"],
            target=f"{path}?{query}" if query else path,
            host=policy.first(headers, b"host").decode("latin-1").lower(),
            headers=headers,
        )
        await self._answer(request, visitor, receive)

    async def _answer(self, request: Request, visitor: _Visitor, receive: _Receive) -> None:
        # What is kept is there at once: nobody has to watch meanwhile whether the visitor leaves.
        if await self._exchange.give(request, visitor):
            return
        serving = asyncio.ensure_future(self._exchange.ask(request, visitor))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait((serving, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not serving.done() and not visitor.ended:
                await self._go_on(serving, visitor)
            with contextlib.suppress(asyncio.CancelledError):
                await serving
        except UpstreamError as error:
            if visitor.began:
                raise  # the server cuts the connection: nobody takes half an answer for a whole one
            await _say(visitor, 502, {"error": str(error)})
        finally:
            serving.cancel()
            leaving.cancel()
            visitor.leave()

    async def _go_on(self, serving: asyncio.Future[None], visitor: _Visitor) -> None:
        """He is gone. An answer that others can use is read to its end; one that only he wanted is not."""
        visitor.gone = True
        if visitor.alone or self._forsaken >= _MOST_FORSAKEN:
            serving.cancel()
            return
        self._forsaken += 1
        await asyncio.wait((serving,))
        self._forsaken -= 1

    async def _control(self, scope: _Message, receive: _Receive, visitor: _Visitor) -> None:
        if (scope["method"], scope["path"]) == ("GET", STATUS_PATH):
            await _say(visitor, 200, asdict(status_of(self._store, self._exchange.tally)))
        elif (scope["method"], scope["path"]) == ("POST", PURGE_PATH):
            wanted = {name: tuple(words) for name, words in (await _words(receive)).items()}
            await _say(visitor, 200, {"purged": self._exchange.purge(Purge(**wanted))})
        else:
            await _say(visitor, 400, {"error": "a request without a backend"})


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


async def _say(visitor: _Visitor, status: int, words: object) -> None:
    body = json.dumps(words).encode()
    length = (b"content-length", str(len(body)).encode())
    await visitor.whole(status, ((b"content-type", b"application/json"), length), body)


def main(path: Path) -> None:
    """Serve until SIGTERM."""
    config = Config(**json.loads(path.read_text()))
    uvicorn.run(
        App(config),
        uds=config.socket,
        loop="uvloop",
        http="httptools",
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
