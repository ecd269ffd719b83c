"""Parts of an answer for one visitor, at their pace, while the answer is read at the product's."""

import asyncio
from collections import deque
from typing import Protocol

from gantry.cache.policy import Headers


class Visitor(Protocol):
    """A visitor, as far as an answer is given to them.

    Attributes:
        began: the status has been sent; nothing else can be said any more.
        alone: nobody else has use for the answer: it is to end when the visitor goes. So it is from the beginning.
        gone: they are not there any more.
    """

    began: bool
    alone: bool
    gone: bool

    async def begin(self, status: int, headers: Headers) -> None:
        """Send the status and the headers."""
        ...

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """All of it at once; instead of what has begun, where nothing of that has been sent."""
        ...

    async def send(self, part: bytes) -> None:
        """Send a part of the body; returns when there is room for another."""
        ...

    async def end(self) -> None:
        """The body is whole."""
        ...


class Feed:
    """Parts that the visitor has not taken yet, so that those who wait for the whole answer do not wait for them."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self._parts: deque[bytes] = deque()
        self._sending: asyncio.Future[None] | None = None

    def give(self, part: bytes) -> None:
        """Send `part` after those before it; returns at once."""
        self._parts.append(part)
        if self._sending is None or (self._sending.done() and not self._sending.exception()):
            self._sending = asyncio.ensure_future(self._send())

    async def drained(self) -> None:
        """Returns when the visitor has everything."""
        if self._sending is not None:
            await self._sending

    async def end(self) -> None:
        """There is nothing after what was given."""
        try:
            await self.drained()
            await self.visitor.end()
        finally:
            self.drop()

    def drop(self) -> None:
        """What was not sent yet is not sent any more."""
        if self._sending is not None:
            self._sending.cancel()

    async def _send(self) -> None:
        while self._parts:
            await self.visitor.send(self._parts.popleft())
