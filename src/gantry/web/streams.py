"""Event streams: how many may be open, how they are written, and the logs that they follow with secrets masked."""

import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from gantry.engines.database.protocol import Session
from gantry.features.instances.bodies import Line, LogBody, line_levels, line_times
from gantry.features.instances.levels import LevelReader
from gantry.features.instances.masking import secrets_of
from gantry.features.services import store as services_of
from gantry.features.variables import store as variables
from gantry.kernel.bodies import Answer
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError
from gantry.kernel.redact import Redactor
from gantry.kernel.units import counted
from gantry.web.errors import TooManyError
from gantry.web.services import Has, Services

_log = logging.getLogger(__name__)

MAX_STREAMS = 100
# Fast enough to feel live, at the price of a few small queries each time.
INTERVAL_S = 0.2
# Below the idle timeouts of proxies in between, which begin at about 30 s.
HEARTBEAT_INTERVAL_S = 10.0
# What is read of one log at a time; more follows.
CHUNK_BYTES = 65_536
# How far back a reader that joins late is taken.
BACKLOG_BYTES = 262_144

Event = tuple[str, Answer]
"""Name and body of one server-sent event."""


class Streams:
    """Counts open streams."""

    def __init__(self, limit: int = MAX_STREAMS) -> None:
        self._limit, self.open = limit, 0

    def enter(self) -> None:
        """Take a slot.

        Raises:
            TooManyError: `stream.too-many`.
        """
        if self.open >= self._limit:
            raise TooManyError(
                "stream.too-many",
                f"{counted(self.open, 'event stream')} open already",
                hint="close some tabs of the console, or ask again without ?follow=true",
            )
        self.open += 1

    def leave(self) -> None:
        """Give the slot back."""
        self.open -= 1


@contextmanager
def slot(request: Request) -> Iterator[None]:
    """Take one of the application's slots for streams, and give it back at the end."""
    streams = request.app.state.streams
    assert isinstance(streams, Streams)
    streams.enter()
    try:
        yield
    finally:
        streams.leave()


async def _slot(request: Request) -> AsyncIterator[None]:
    with slot(request):
        yield


StreamSlot = Annotated[None, Depends(_slot)]
"""Parameter of a handler that streams: holds a slot until the response has ended."""


Follow = Annotated[bool, Query(description="Keep sending what is new as server-sent events.")]


async def _slot_if(request: Request, *, follow: Follow = False) -> AsyncIterator[None]:
    if not follow:
        yield
        return
    with slot(request):
        yield


FollowSlot = Annotated[None, Depends(_slot_if)]
"""The same for a handler that streams where `follow` asks for it."""


def event_stream(events: AsyncIterator[Event | None], services: Has) -> StreamingResponse:
    """The events as `text/event-stream`.

    Parameters:
        events: yields `None` after each observation that brought nothing new, so that heartbeats can be sent meanwhile.
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
            elif now_s - last_s >= HEARTBEAT_INTERVAL_S:
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


class Masks:
    """Makes redactors for environments, and again only when a value may have changed."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._made: dict[str, tuple[object, Redactor]] = {}

    async def of(self, session: Session, environment_id: str, kept: Iterable[str]) -> Redactor:
        """The redactor of an environment.

        Masks its variables as they are, those that its releases in `kept` still run with, and the passwords of its
        services.
        """
        listed = await variables.list_variables(session, environment_id)
        provided = await services_of.list_for_environment(session, environment_id)
        release_ids = sorted(set(kept))
        version = (listed, provided, release_ids)
        known = self._made.get(environment_id)
        if known is not None and known[0] == version:
            return known[1]
        redactor = Redactor(
            await secrets_of(session, self._services.variables, environment_id, release_ids)
        )
        self._made[environment_id] = (version, redactor)
        return redactor


def _masks_of(request: Request) -> Masks:
    masks = request.app.state.masks
    assert isinstance(masks, Masks)
    return masks


HasMasks = Annotated[Masks, Depends(_masks_of)]
"""Type of a handler's parameter that receives the application's redactors."""


class Follower:
    """Reads several logs on from where it was. Offsets are kept here, not by the runtime.

    Parameters:
        offsets: log -> where to begin; the others begin a little before their end.
    """

    def __init__(self, services: Services, offsets: Mapping[str, int] | None = None) -> None:
        self._runtime = services.runtime
        self._offsets = dict(offsets or {})
        self._levels: dict[str, LevelReader] = {}

    async def read(self, source: str, redact: Redactor, *, max_bytes: int = 262_144) -> LogBody:
        """What a log has got since the last call, at most about `max_bytes`."""
        texts: list[str] = []
        times: list[datetime] = []
        size = 0
        while size < max_bytes:
            offset = self._offsets.get(source, -BACKLOG_BYTES)
            chunk = await self._runtime.read_log(source, offset=offset, limit_bytes=CHUNK_BYTES)
            if not chunk.text:
                # An empty log read from its end says where it starts; keep asking from the end until it does.
                if offset >= 0:
                    self._offsets[source] = max(offset, chunk.next_offset)
                break
            self._offsets[source] = chunk.next_offset
            # A line that is longer than a chunk goes on in the next.
            goes_on = bool(texts) and not texts[-1].endswith("\n")
            texts.append(chunk.text)
            times.extend(chunk.times[goes_on:])
            size += len(chunk.text)
        text = redact("".join(texts))
        return LogBody(
            source=source,
            text=text,
            next_offset=max(0, self._offsets.get(source, 0)),
            times=line_times(times),
            levels=line_levels(self._levels.setdefault(source, LevelReader()).read(text)),
        )

    async def begin_at(self, source: str, moment: datetime) -> None:
        """Begin with what was written at `moment`, or a little before; a log that was read already goes on."""
        if source not in self._offsets:
            self._offsets[source] = await self._runtime.find_in_log(source, moment)

    async def first(self, source: str, redact: Redactor, *, lines: int) -> LogBody:
        """The last `lines` of a log, at most the last 256 KiB of it."""
        body = await self.read(source, redact, max_bytes=BACKLOG_BYTES + CHUNK_BYTES)
        return of_lines(body, tuple(body.lines())[-lines:] if lines else ())


def of_lines(body: LogBody, lines: Sequence[Line]) -> LogBody:
    """The body with these of its lines only."""
    # The last line may go on in the next body: it is whole only when the text ends with it.
    return body.with_lines(lines, ended=bool(lines) and body.text.endswith("\n"))
