"""Event streams: how many may be open, how often they look, and how they are written."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from gantry.kernel.bodies import Answer
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError
from gantry.web.errors import TooManyError
from gantry.web.services import Has

_log = logging.getLogger(__name__)

MOST_STREAMS = 100
# Fast enough to feel live, at the price of a few small queries for each look.
LOOK_EVERY_S = 0.2
# Below the idle timeouts of proxies in between, which begin at about 30 s.
HEARTBEAT_S = 10.0

Event = tuple[str, Answer]
"""Name and body of one server-sent event."""


class Streams:
    """Counts open streams."""

    def __init__(self, most: int = MOST_STREAMS) -> None:
        self._most, self.open = most, 0

    def enter(self) -> None:
        """Take a place.

        Raises:
            TooManyError: `stream.too-many`.
        """
        if self.open >= self._most:
            raise TooManyError(
                "stream.too-many",
                f"{self.open} event streams are open already",
                hint="close some tabs of the console, or ask again without ?follow=true",
            )
        self.open += 1

    def leave(self) -> None:
        """Give the place back."""
        self.open -= 1


@contextmanager
def place(request: Request) -> Iterator[None]:
    """Hold one of the application's places for streams."""
    streams = request.app.state.streams
    assert isinstance(streams, Streams)
    streams.enter()
    try:
        yield
    finally:
        streams.leave()


async def _place(request: Request) -> AsyncIterator[None]:
    with place(request):
        yield


Place = Annotated[None, Depends(_place)]
"""Parameter of a handler that streams: holds a place until the response has ended."""


def event_stream(events: AsyncIterator[Event | None], services: Has) -> StreamingResponse:
    """The events as `text/event-stream`.

    Parameters:
        events: yields `None` where it looked and found nothing new, so that heartbeats can be sent meanwhile.
    """
    return StreamingResponse(
        _written(events, services.clock),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _written(events: AsyncIterator[Event | None], clock: Clock) -> AsyncIterator[bytes]:
    yield KEEPALIVE_COMMENT  # the headers leave at once, also while there is nothing to say
    last_s = clock.monotonic_s()
    try:
        async for event in events:
            now_s = clock.monotonic_s()
            if event is not None:
                name, body = event
                yield format_sse_event(event=name, data_str=body.model_dump_json())
            elif now_s - last_s >= HEARTBEAT_S:
                yield KEEPALIVE_COMMENT
            else:
                continue
            last_s = now_s
    except GantryError as error:
        # The status is out already: a stream that breaks off without its last event is how a client learns of it.
        _log.warning("an event stream broke off: %s (%s)", error.message, error.code)


def documented(model: type[Answer], *names: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of an event stream."""
    description = f"Server-sent events ({', '.join(names)}); each one's data is a {model.__name__}."
    return {200: {"description": description, "content": {"text/event-stream": {}}}}
