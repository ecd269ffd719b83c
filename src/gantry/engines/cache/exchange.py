"""One request: answered with what is kept, or by the product, whose answer is then kept if it may be."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gantry.engines.cache import policy
from gantry.engines.cache.feed import Feed, Visitor
from gantry.engines.cache.load import (
    ASKING_BYTES,
    GIVING_BYTES,
    WAITING_BYTES,
    Burden,
    Load,
    OverloadError,
)
from gantry.engines.cache.policy import Headers, Life
from gantry.engines.cache.protocol import RESULT_HEADER, Purge
from gantry.engines.cache.questions import Answer, Request, Upstream, UpstreamError
from gantry.engines.cache.store import Entry, Key, Place, Store
from gantry.engines.cache.tally import Tally, What
from gantry.kernel.tasks import TaskSet

_RESULT = RESULT_HEADER.encode()
# A path whose answers are not to be kept is not waited for; after this it is looked at again.
_NOT_KEPT_FOR_S = 60.0
_MOST_NOT_KEPT = 10_000
_LONGEST_WAIT_S = 10.0
_MOST_REVALIDATIONS = 64
# What is written at once, and needs nobody's patience.
_SMALL_BYTES = 65_536
# Of a large answer, what is written before the visitor has read more.
_PIECE_BYTES = 100_000
# A product that fails is not asked again by every visitor.
_PAUSE_S = 1.0
_OK, _NO_CONTENT, _NOT_MODIFIED = 200, 204, 304
_SERVER_ERROR = 500
# What a 304 says of the answer that the visitor has (RFC 9110, 15.4.5), and what is ours.
_OF_UNCHANGED = frozenset(
    (b"cache-control", b"content-location", b"date", b"etag", b"expires", b"vary", b"age", _RESULT)
)


@dataclass(frozen=True, slots=True)
class _Flight:
    """A question to the product, whose answer others may wait for.

    Attributes:
        purges: how many there had been when it was asked; after another one the answer may be too old to keep.
        landed: the answer is kept, or will not be.
    """

    place: Place
    purges: int
    landed: asyncio.Event = field(default_factory=asyncio.Event)


class Exchange:
    """Requests of all visitors, side by side.

    Parameters:
        largest_bytes: of one answer; a larger one is passed on only.
        now_s: a clock that does not jump.
        load: what requests on their way may take.
    """

    def __init__(
        self,
        store: Store,
        upstream: Upstream,
        largest_bytes: int,
        now_s: Callable[[], float],
        load: Load,
    ) -> None:
        self._store = store
        self._upstream = upstream
        self._largest_bytes = largest_bytes
        self._now_s = now_s
        self._load = load
        self._flights: dict[Place, _Flight] = {}
        # By hash: visitors choose how many they are, and how long. Two that meet cost a question to the product.
        self._not_kept: OrderedDict[int, float] = OrderedDict()
        self._revalidating: set[Place] = set()
        self._purges = 0
        self._tasks = TaskSet()
        self.tally = Tally(now_s)

    async def give(self, request: Request, visitor: Visitor) -> bool:
        """Answer with what is kept; whether there was anything.

        Raises:
            OverloadError: it is large, and too much is on its way.
        """
        return request.may_be_kept and await self._give_kept(request, visitor)

    async def ask(self, request: Request, visitor: Visitor) -> None:
        """Answer with what the product says: there was nothing to give.

        Raises:
            UpstreamError: the product did not answer; a visitor who has got half an answer must be cut off.
            OverloadError: too much is on its way.
        """
        with self._load.carry(WAITING_BYTES + request.size_bytes):
            await self._ask(request, visitor)

    async def _ask(self, request: Request, visitor: Visitor) -> None:
        place = self._place(request)
        partial = request.method == "HEAD" or policy.first(request.headers, b"range")
        if partial or not request.may_be_kept or self._is_not_kept(place):
            await self._pass_on(request, visitor, "bypassed")
        elif place not in self._flights:
            await self._fetch(request, visitor, place)
        elif not await self._after_flight(request, visitor, place):
            await self._pass_on(request, visitor, "misses")

    def purge(self, what: Purge) -> int:
        """See `EdgeCache.purge`."""
        self._purges += 1
        return self._store.purge(what)

    async def aclose(self) -> None:
        """Drop what happens in the background."""
        await self._tasks.aclose()

    # -- what is kept ------------------------------------------------------------------------

    async def _give_kept(self, request: Request, visitor: Visitor) -> bool:
        entry = self._store.get(request.key, request.choosing)
        if entry is None:
            return False
        age_s = entry.age_at(self._now_s())
        if age_s < entry.life.fresh_s:
            await self._give(entry, request, visitor, "hits")
            return True
        if age_s < entry.life.fresh_s + entry.life.stale_s:
            self._revalidate(request, entry)
            await self._give(entry, request, visitor, "stale")
            return True
        return False

    async def _after_flight(self, request: Request, visitor: Visitor, place: Place) -> bool:
        """Wait for another visitor's answer; whether there was one for this visitor too."""
        try:
            async with asyncio.timeout(_LONGEST_WAIT_S):
                await self._flights[place].landed.wait()
        except TimeoutError:
            return False
        return await self._give_kept(request, visitor)

    async def _give(self, entry: Entry, request: Request, visitor: Visitor, how: What) -> None:
        size = len(entry.body)
        if size <= _SMALL_BYTES:
            await self._write(entry, request, visitor, how)
            return
        with self._load.carry(min(size, GIVING_BYTES)), self._store.reading(entry):
            await self._write(entry, request, visitor, how)

    async def _write(self, entry: Entry, request: Request, visitor: Visitor, how: What) -> None:
        self.tally.count(request.key.backend, how)
        headers = (
            *entry.headers,
            (b"age", str(int(entry.age_at(self._now_s()))).encode()),
            (_RESULT, _WORDS[how]),
        )
        if policy.is_unchanged(request.headers, entry.headers):
            left = tuple(one for one in headers if one[0] in _OF_UNCHANGED)
            await _whole(visitor, 304, left, b"")
            return
        size = len(entry.body)
        ranged = request.method == "GET" and entry.status == _OK
        span = policy.part(request.headers, entry.headers, size) if ranged else None
        if span == (-1, -1):
            unsatisfied = (b"content-range", b"bytes */%d" % size), (b"content-length", b"0")
            await _whole(visitor, 416, (*headers, *unsatisfied), b"")
            return
        begin, end = span or (0, size)
        if entry.status != _NO_CONTENT:
            headers = (*headers, (b"content-length", b"%d" % (end - begin)))
        if span is not None:
            headers = (*headers, (b"content-range", b"bytes %d-%d/%d" % (begin, end - 1, size)))
        body = b"" if request.method == "HEAD" else entry.body
        await _whole(visitor, 206 if span else entry.status, headers, body, begin, end)

    # -- from the product --------------------------------------------------------------------

    async def _pass_on(self, request: Request, visitor: Visitor, how: What) -> None:
        """As if there were no cache."""
        self.tally.count(request.key.backend, how)
        headers = policy.to_upstream(request.headers, keeping=False)
        with self._load.carry(ASKING_BYTES):
            async with self._upstream(request, headers) as answer:
                await self._stream(answer, visitor, how)

    async def _stream(self, answer: Answer, visitor: Visitor, how: What) -> None:
        headers = policy.to_visitor(answer.headers, kept=False)
        await visitor.begin(answer.status, (*headers, (_RESULT, _WORDS[how])))
        await _give_on(answer, visitor)
        await visitor.end()

    async def _fetch(self, request: Request, visitor: Visitor, place: Place) -> None:
        """The first who asks: his answer is kept for the others, if it may be."""
        flight = self._flights[place] = _Flight(place, self._purges)
        visitor.alone = False
        feed = Feed(visitor)
        self.tally.count(request.key.backend, "misses")
        try:
            with self._load.carry(ASKING_BYTES) as burden:
                headers = policy.to_upstream(request.headers, keeping=True)
                async with self._upstream(request, headers) as answer:
                    await self._take(request, answer, flight, feed, burden)
                # Nobody waits until a slow visitor has read it, nor is the product's connection held for him.
                self._land(flight, visitor)
                await feed.end()
        except (UpstreamError, OverloadError):
            feed.drop()
            self._land(flight, visitor)
            old = None if visitor.began else self._useful_in_need(request)
            if old is None:
                raise
            await self._give(old, request, visitor, "stale")
        finally:
            feed.drop()
            self._land(flight, visitor)

    async def _take(
        self, request: Request, answer: Answer, flight: _Flight, feed: Feed, burden: Burden
    ) -> None:
        """Give the visitor all but the end of it, and keep it if it may be."""
        visitor = feed.visitor
        if answer.status >= _SERVER_ERROR and self._useful_in_need(request):
            raise UpstreamError(f"status {answer.status}")
        life = policy.life(answer.status, answer.headers)
        if (policy.length(answer.headers) or 0) > self._largest_bytes:
            life = None
        headers = policy.to_visitor(answer.headers, kept=life is not None)
        await visitor.begin(answer.status, (*headers, (_RESULT, _WORDS["misses"])))
        if life is not None:
            body = await self._collect(answer, burden, feed)
            if body is not None:
                self._store_answer(request, answer, body, life, flight)
                return
        # Nobody waits for what is not kept; it may never end.
        self._note_not_kept(flight.place)
        self._land(flight, visitor)
        if not visitor.gone:
            await feed.drained()
            burden.shrink(ASKING_BYTES)
            await _give_on(answer, visitor)

    async def _collect(
        self, answer: Answer, burden: Burden, feed: Feed | None = None
    ) -> bytes | None:
        """The whole body, while it is given to somebody as well; `None`, and it is not read on, if it is too large."""
        parts, size = list[bytes](), 0
        async for part in answer.body:
            if feed is not None:
                feed.give(part)
            parts.append(part)
            size += len(part)
            if size > self._largest_bytes or not burden.grow(len(part)):
                return None
        return b"".join(parts)

    def _store_answer(
        self, request: Request, answer: Answer, body: bytes, life: Life, flight: _Flight
    ) -> None:
        if flight.purges != self._purges:
            return
        headers = policy.to_visitor(answer.headers, kept=True)
        varied = policy.names_varied(answer.headers)
        entry = Entry(
            status=answer.status,
            headers=tuple(one for one in headers if one[0] != b"content-length"),
            body=body,
            life=life,
            made_s=self._now_s(),
            varied=varied,
            values=policy.variant(varied, request.choosing),
            tags=policy.tags(answer.headers),
        )
        self._put(request.key, entry)

    def _put(self, key: Key, entry: Entry) -> None:
        for backend in self._store.put(key, entry):
            self.tally.count(backend, "evicted")

    def _useful_in_need(self, request: Request) -> Entry | None:
        entry = self._store.get(request.key, request.choosing)
        if entry is None:
            return None
        age_s = entry.age_at(self._now_s())
        return entry if age_s < entry.life.fresh_s + entry.life.error_s else None

    # -- in the background -------------------------------------------------------------------

    def _revalidate(self, request: Request, entry: Entry) -> None:
        place = (request.key, entry.values)
        if place in self._revalidating or len(self._revalidating) >= _MOST_REVALIDATIONS:
            return
        self._revalidating.add(place)
        self._tasks.spawn(
            self._ask_again(request, entry, place), name=f"revalidate {place[0].path}"
        )

    async def _ask_again(self, request: Request, entry: Entry, place: Place) -> None:
        asking = replace(request, method="GET")
        headers = policy.to_upstream(asking.headers, keeping=True)
        tag = policy.first(entry.headers, b"etag")
        if tag:
            headers = (*headers, (b"if-none-match", tag))
        flight = _Flight(place, self._purges)
        try:
            with self._load.carry(ASKING_BYTES) as burden:
                async with self._upstream(asking, headers) as answer:
                    await self._renew(asking, answer, entry, flight, burden)
        except (UpstreamError, OverloadError):
            await asyncio.sleep(_PAUSE_S)
        finally:
            self._revalidating.discard(place)

    async def _renew(
        self, request: Request, answer: Answer, entry: Entry, flight: _Flight, burden: Burden
    ) -> None:
        if answer.status >= _SERVER_ERROR:
            raise UpstreamError(f"status {answer.status}")
        unchanged = answer.status == _NOT_MODIFIED and flight.purges == self._purges
        if unchanged:
            life = policy.renewed(entry.status, entry.life, answer.headers)
        else:
            life = policy.life(answer.status, answer.headers)
        if life is None:
            self._store.drop(request.key, request.choosing)
        elif unchanged:
            again = replace(entry, made_s=self._now_s(), age_s=0.0, life=life)
            self._put(request.key, again)
        elif (body := await self._collect(answer, burden)) is not None:
            self._store_answer(request, answer, body, life, flight)
        else:
            self._note_not_kept(flight.place)

    # -- places ------------------------------------------------------------------------------

    def _place(self, request: Request) -> Place:
        names = self._store.varied(request.key) or ("accept-encoding",)
        return request.key, policy.variant(names, request.choosing)

    def _land(self, flight: _Flight, visitor: Visitor) -> None:
        if self._flights.get(flight.place) is flight:
            del self._flights[flight.place]
        flight.landed.set()
        visitor.alone = True

    def _is_not_kept(self, place: Place) -> bool:
        return self._not_kept.get(hash(place), 0.0) > self._now_s()

    def _note_not_kept(self, place: Place) -> None:
        self._not_kept[hash(place)] = self._now_s() + _NOT_KEPT_FOR_S
        self._not_kept.move_to_end(hash(place))
        if len(self._not_kept) > _MOST_NOT_KEPT:
            self._not_kept.popitem(last=False)


_WORDS: dict[What, bytes] = {
    "hits": b"hit",
    "stale": b"stale",
    "misses": b"miss",
    "bypassed": b"bypass",
}


async def _give_on(answer: Answer, visitor: Visitor) -> None:
    async for part in answer.body:
        await visitor.send(part)


async def _whole(
    visitor: Visitor, status: int, headers: Headers, body: bytes, begin: int = 0, end: int = 0
) -> None:
    """In pieces if it is large: what was written takes memory of its own until it is read."""
    end = min(end, len(body))
    if end - begin <= _PIECE_BYTES:
        await visitor.whole(status, headers, body[begin:end])
        return
    await visitor.begin(status, headers)
    for at in range(begin, end, _PIECE_BYTES):
        await visitor.send(body[at : min(at + _PIECE_BYTES, end)])
    await visitor.end()
