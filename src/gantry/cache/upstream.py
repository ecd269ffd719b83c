"""The edge's inner listener, which the cache asks for what it does not have, over connections that are kept.

HTTP/1.1 over a unix socket, on each connection one request after the other; httptools reads the answers, as uvicorn lets it
read the requests. Not httpcore: its pool looks at all other requests for each that begins or ends, and its connections alone
take more CPU than everything else that the cache does for an answer (decision 0073).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import httptools

from gantry.cache.policy import Headers
from gantry.cache.questions import Answer, Request, UpstreamError
from gantry.kernel.units import counted

_MAX_ASKING = 2_000
_MAX_IDLE = 100
_MAX_IDLE_S = 20.0  # below the edge's own patience with idle connections
_CONNECT_TIMEOUT_S = 2.0
# The visitor's own route waits for 60 s; a question that goes on without a visitor must not wait for ever.
_SILENCE_TIMEOUT_S = 65.0
_REPEATABLE = ("GET", "HEAD")
# What may wait for a visitor who reads slowly.
_MAX_HELD_BYTES = 65_536


class Connection(asyncio.Protocol):
    """A connection to the inner listener: one request after the other.

    Attributes:
        vanished: closed at the other end before anything of the answer had come.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.vanished = False
        self.idle_since_s = 0.0
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._held_bytes = 0
        self._bodiless = self._begun = self._paused = self._heard = False
        self._silence_s: float | None = None
        self._whole = self._keeps = True
        self._lost = ""
        self._news: asyncio.Future[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is open, as far as it is known."""
        return not self._lost

    @property
    def is_reusable(self) -> bool:
        """Whether another request may follow."""
        return self._whole and self._keeps and not self._lost and not self._paused

    def abort(self) -> None:
        """Close it, whatever is on its way."""
        if self._transport is not None:
            self._transport.abort()

    async def ask(self, head: bytes, *, bodiless: bool, silence_s: float) -> None:
        """Send a request; returns when its answer begins.

        Parameters:
            bodiless: the answer has no body, whatever its headers say.
            silence_s: how long nothing may come.

        Raises:
            UpstreamError: there is none.
        """
        assert self._transport is not None, "connected"
        self._parser = httptools.HttpResponseParser(self)
        self.headers, self._parts, self._held_bytes = [], [], 0
        self._bodiless, self._begun = bodiless, False
        self._silence_s = silence_s
        self._heard = self._whole = self._keeps = False
        self._transport.write(head)
        while not self._begun:
            await self._more()

    async def body(self) -> AsyncIterator[bytes]:
        """See `questions.Answer`."""
        while True:
            if self._parts:
                part = b"".join(self._parts)
                self._parts, self._held_bytes = [], 0
                yield part
            elif self._whole:
                return
            else:
                self._flow(paused=False)
                await self._more()

    async def _more(self) -> None:
        if self._lost:
            raise UpstreamError(self._lost)
        self._news = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._silence_s):
                await self._news
        except TimeoutError as error:
            self._lost = f"nothing for {self._silence_s:g} s"
            self.abort()
            raise UpstreamError(self._lost) from error

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _flow(self, *, paused: bool) -> None:
        if self._transport is not None and paused != self._paused:
            self._paused = paused
            (self._transport.pause_reading if paused else self._transport.resume_reading)()

    # -- asyncio's side ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._lost = f"no HTTP: {error}"
            self.abort()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        # The edge always says how long an answer is: an end before that is a cut.
        self.vanished = not self._heard and not self._lost
        self._lost = self._lost or str(exc or "the connection was closed")
        self._wake()

    # -- the parser's side -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._whole:
            raise ValueError("a second answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._begun = self.status >= 200
        if self._begun:
            self._keeps = self._parser.should_keep_alive()
            self._whole = self._bodiless

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        self._held_bytes += len(body)
        if self._held_bytes > _MAX_HELD_BYTES:
            self._flow(paused=True)

    def on_message_complete(self) -> None:
        if self._begun:
            self._whole = True
        else:
            self.headers = []  # of an answer that only announces another


class InnerListener:
    """The edge's inner listener, asked over a unix socket.

    Parameters:
        max_asking: requests at once; what is more fails at once, since waiting would only be for the slowest.
        silence_s: how long the product may say nothing.
    """

    def __init__(
        self, socket: str, max_asking: int = _MAX_ASKING, silence_s: float = _SILENCE_TIMEOUT_S
    ) -> None:
        self._socket = socket
        self._max_asking = max_asking
        self._silence_s = silence_s
        self._asking = 0
        # The last one used is the first: those that are not needed grow old.
        self._idle: deque[Connection] = deque()

    @asynccontextmanager
    async def ask(self, request: Request, headers: Headers) -> AsyncIterator[Answer]:
        """See `questions.Upstream`."""
        if self._asking >= self._max_asking:
            raise UpstreamError(f"{counted(self._max_asking, 'request')} are on their way")
        self._asking += 1
        try:
            connection = await self._begin(request.method, _head(request, headers))
            try:
                yield Answer(connection.status, tuple(connection.headers), connection.body())
            finally:
                self._give_back(connection)
        finally:
            self._asking -= 1

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().abort()

    async def _begin(self, method: str, head: bytes) -> Connection:
        """A connection on which the answer has begun."""
        while True:
            kept = self._kept()
            connection = kept or await self._connect()
            try:
                await connection.ask(head, bodiless=method == "HEAD", silence_s=self._silence_s)
            except UpstreamError:
                # The edge may close what is idle in the moment in which it is used again.
                if kept is None or not connection.vanished or method not in _REPEATABLE:
                    raise
            except BaseException:
                connection.abort()
                raise
            else:
                return connection

    def _kept(self) -> Connection | None:
        self._forget_old()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                _, connection = await loop.create_unix_connection(Connection, self._socket)
        except (OSError, TimeoutError) as error:
            raise UpstreamError(str(error) or "no connection in time") from error
        return connection

    def _give_back(self, connection: Connection) -> None:
        self._forget_old()
        if connection.is_reusable and len(self._idle) < _MAX_IDLE:
            connection.idle_since_s = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.abort()

    def _forget_old(self) -> None:
        oldest_s = asyncio.get_running_loop().time() - _MAX_IDLE_S
        while self._idle and self._idle[0].idle_since_s < oldest_s:
            self._idle.popleft().abort()


def _head(request: Request, headers: Headers) -> bytes:
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    asked = f"{request.method} {request.target} HTTP/1.1\r\n".encode("latin-1")
    head = b"%b%b\r\n" % (asked, lines)
    expected = len(headers) + 2
    if (head.count(b"\r"), head.count(b"\n")) != (expected, expected):
        raise UpstreamError("a line break where none may be")
    return head
