"""One connection to the edge's inner listener: HTTP/1.1, one request after the other.

httptools reads the answers, as uvicorn lets it read the requests.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import httptools

from gantry.engines.cache.questions import UpstreamError

# What may wait for a visitor who reads slowly.
_MOST_HELD_BYTES = 65_536


class Connection(asyncio.Protocol):
    """A connection.

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
        """As far as it is known."""
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
        if self._held_bytes > _MOST_HELD_BYTES:
            self._flow(paused=True)

    def on_message_complete(self) -> None:
        if self._begun:
            self._whole = True
        else:
            self.headers = []  # of an answer that only announces another
