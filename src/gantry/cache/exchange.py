"""Requests, answered with what is kept, or by the product, whose answer is then kept if it may be."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from gantry.cache import policy
from gantry.cache.budget import (
    ASKING_BYTES,
    GIVING_BYTES,
    WAITING_BYTES,
    MemoryBudget,
    OverloadError,
    Reservation,
)
from gantry.cache.feed import Feed, Visitor
from gantry.cache.policy import Headers, Lifetime
from gantry.cache.questions import Answer, Request, Upstream, UpstreamError
from gantry.cache.store import Key, Slot, Store, StoredAnswer
from gantry.cache.tally import Event, Tally
from gantry.kernel.edge_names import RESULT_HEADER
from gantry.kernel.tasks import TaskSet

_RESULT = RESULT_HEADER.encode()
# A path whose answers are not to be kept is not waited for; after this it is looked at again.
_NOT_KEPT_FOR_S = 60.0
_MAX_NOT_KEPT = 10_000
_FLIGHT_TIMEOUT_S = 10.0
_MAX_REVALIDATIONS = 64
# What is written at once, and needs nobody's patience.
_SMALL_BYTES = 65_536
# Of a large answer, what is written before the visitor has read more.
_PIECE_BYTES = 100_000
# A product that fails is not asked again by every visitor.
_INTERVAL_RETRY_S = 1.0
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

    slot: Slot
    purges: int
    landed: asyncio.Event = field(default_factory=asyncio.Event)


class Exchange:
    """All visitors' requests, side by side.

    Parameters:
        max_answer_bytes: of one answer; a larger one is passed on only.
        now_s: a clock that does not jump.
        budget: memory for requests on their way.
    """

    def __init__(
        self,
        store: Store,
        upstream: Upstream,
        max_answer_bytes: int,
        now_s: Callable[[], float],
        budget: MemoryBudget,
    ) -> None:
        self._store = store
        self._upstream = upstream
        self._max_answer_bytes = max_answer_bytes
        self._now_s = now_s
        self._budget = budget
        self._flights: dict[Slot, _Flight] = {}
        # By hash: visitors choose how many they are, and how long. Two that meet cost a question to the product.
        self._not_kept: OrderedDict[int, float] = OrderedDict()
        self._revalidating: set[Slot] = set()
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
        with self._budget.reserve(WAITING_BYTES + request.size_bytes):
            await self._ask(request, visitor)

    async def _ask(self, request: Request, visitor: Visitor) -> None:
        slot = self._slot(request)
        partial = request.method == "HEAD" or policy.first(request.headers, b"range")
        if partial or not request.may_be_kept or self._is_not_kept(slot):
            await self._pass_on(request, visitor, "bypassed")
        elif slot not in self._flights:
            await self._fetch(request, visitor, slot)
        elif not await self._after_flight(request, visitor, slot):
            await self._pass_on(request, visitor, "misses")

    def purge(
        self, backends: Collection[str], paths: Collection[str] = (), tags: Collection[str] = ()
    ) -> int:
        """See `Store.purge`. What is being fetched meanwhile is not kept either."""
        self._purges += 1
        return self._store.purge(backends, paths, tags)

    # -- what is kept ------------------------------------------------------------------------

    async def _give_kept(self, request: Request, visitor: Visitor) -> bool:
        entry = self._store.get(request.key, request.choosing)
        if entry is None:
            return False
        age_s = entry.age_at(self._now_s())
        if age_s < entry.lifetime.fresh_s:
            await self._give(entry, request, visitor, "hits")
            return True
        if age_s < entry.lifetime.fresh_s + entry.lifetime.stale_s:
            self._revalidate(request, entry)
            await self._give(entry, request, visitor, "stale")
            return True
        return False

    async def _after_flight(self, request: Request, visitor: Visitor, slot: Slot) -> bool:
        """Wait for another visitor's answer; whether there was one for this visitor too."""
        try:
            async with asyncio.timeout(_FLIGHT_TIMEOUT_S):
                await self._flights[slot].landed.wait()
        except TimeoutError:
            return False
        return await self._give_kept(request, visitor)

    async def _give(
        self, entry: StoredAnswer, request: Request, visitor: Visitor, event: Event
    ) -> None:
        size = len(entry.body)
        if size <= _SMALL_BYTES:
            await self._write(entry, request, visitor, event)
            return
        with self._budget.reserve(min(size, GIVING_BYTES)), self._store.reading(entry):
            await self._write(entry, request, visitor, event)

    async def _write(
        self, entry: StoredAnswer, request: Request, visitor: Visitor, event: Event
    ) -> None:
        self.tally.count(request.key.backend, event)
        headers = (
            *entry.headers,
            (b"age", str(int(entry.age_at(self._now_s()))).encode()),
            (_RESULT, _RESULTS[event]),
        )
        if policy.is_unchanged(request.headers, entry.headers):
            left = tuple(header for header in headers if header[0] in _OF_UNCHANGED)
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

    async def _pass_on(self, request: Request, visitor: Visitor, event: Event) -> None:
        """As if there were no cache."""
        self.tally.count(request.key.backend, event)
        headers = policy.to_upstream(request.headers, keeping=False)
        with self._budget.reserve(ASKING_BYTES):
            async with self._upstream(request, headers) as answer:
                await self._stream(answer, visitor, event)

    async def _stream(self, answer: Answer, visitor: Visitor, event: Event) -> None:
        headers = policy.to_visitor(answer.headers, kept=False)
        await visitor.begin(answer.status, (*headers, (_RESULT, _RESULTS[event])))
        await _give_on(answer, visitor)
        await visitor.end()

    async def _fetch(self, request: Request, visitor: Visitor, slot: Slot) -> None:
        """Ask for the first visitor; the answer is kept for the others, if it may be."""
        flight = self._flights[slot] = _Flight(slot, self._purges)
        visitor.alone = False
        feed = Feed(visitor)
        self.tally.count(request.key.backend, "misses")
        try:
            with self._budget.reserve(ASKING_BYTES) as reservation:
                headers = policy.to_upstream(request.headers, keeping=True)
                async with self._upstream(request, headers) as answer:
                    await self._take(request, answer, flight, feed, reservation)
                # Nobody waits until a slow visitor has read it, nor is the product's connection held for them.
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
        self,
        request: Request,
        answer: Answer,
        flight: _Flight,
        feed: Feed,
        reservation: Reservation,
    ) -> None:
        """Give the visitor all but the end of it, and keep it if it may be."""
        visitor = feed.visitor
        if answer.status >= _SERVER_ERROR and self._useful_in_need(request):
            raise UpstreamError(f"status {answer.status}")
        lifetime = policy.lifetime(answer.status, answer.headers)
        if (policy.length(answer.headers) or 0) > self._max_answer_bytes:
            lifetime = None
        headers = policy.to_visitor(answer.headers, kept=lifetime is not None)
        await visitor.begin(answer.status, (*headers, (_RESULT, _RESULTS["misses"])))
        if lifetime is not None:
            body = await self._collect(answer, reservation, feed)
            if body is not None:
                self._store_answer(request, answer, body, lifetime, flight)
                return
        # Nobody waits for what is not kept; it may never end.
        self._note_not_kept(flight.slot)
        self._land(flight, visitor)
        if not visitor.gone:
            await feed.drained()
            reservation.shrink(ASKING_BYTES)
            await _give_on(answer, visitor)

    async def _collect(
        self, answer: Answer, reservation: Reservation, feed: Feed | None = None
    ) -> bytes | None:
        """The whole body, while it is given to somebody as well; `None`, and it is not read on, if it is too large."""
        parts, size = list[bytes](), 0
        async for part in answer.body:
            if feed is not None:
                feed.give(part)
            parts.append(part)
            size += len(part)
            if size > self._max_answer_bytes or not reservation.grow(len(part)):
                return None
        return b"".join(parts)

    def _store_answer(
        self, request: Request, answer: Answer, body: bytes, lifetime: Lifetime, flight: _Flight
    ) -> None:
        if flight.purges != self._purges:
            return
        headers = policy.to_visitor(answer.headers, kept=True)
        varied = policy.names_varied(answer.headers)
        entry = StoredAnswer(
            status=answer.status,
            headers=tuple(header for header in headers if header[0] != b"content-length"),
            body=body,
            lifetime=lifetime,
            made_s=self._now_s(),
            varied=varied,
            values=policy.variant(varied, request.choosing),
            tags=policy.tags(answer.headers),
        )
        self._put(request.key, entry)

    def _put(self, key: Key, entry: StoredAnswer) -> None:
        for backend in self._store.put(key, entry):
            self.tally.count(backend, "evicted")

    def _useful_in_need(self, request: Request) -> StoredAnswer | None:
        entry = self._store.get(request.key, request.choosing)
        if entry is None:
            return None
        age_s = entry.age_at(self._now_s())
        return entry if age_s < entry.lifetime.fresh_s + entry.lifetime.error_s else None

    # -- in the background -------------------------------------------------------------------

    def _revalidate(self, request: Request, entry: StoredAnswer) -> None:
        slot = (request.key, entry.values)
        if slot in self._revalidating or len(self._revalidating) >= _MAX_REVALIDATIONS:
            return
        self._revalidating.add(slot)
        self._tasks.spawn(self._ask_again(request, entry, slot), name=f"revalidate {slot[0].path}")

    async def _ask_again(self, request: Request, entry: StoredAnswer, slot: Slot) -> None:
        asking = replace(request, method="GET")
        headers = policy.to_upstream(asking.headers, keeping=True)
        tag = policy.first(entry.headers, b"etag")
        if tag:
            headers = (*headers, (b"if-none-match", tag))
        flight = _Flight(slot, self._purges)
        try:
            with self._budget.reserve(ASKING_BYTES) as reservation:
                async with self._upstream(asking, headers) as answer:
                    await self._renew(asking, answer, entry, flight, reservation)
        except (UpstreamError, OverloadError):
            await asyncio.sleep(_INTERVAL_RETRY_S)
        finally:
            self._revalidating.discard(slot)

    async def _renew(
        self,
        request: Request,
        answer: Answer,
        entry: StoredAnswer,
        flight: _Flight,
        reservation: Reservation,
    ) -> None:
        if answer.status >= _SERVER_ERROR:
            raise UpstreamError(f"status {answer.status}")
        unchanged = answer.status == _NOT_MODIFIED and flight.purges == self._purges
        if unchanged:
            lifetime = policy.renewed(entry.status, entry.lifetime, answer.headers)
        else:
            lifetime = policy.lifetime(answer.status, answer.headers)
        if lifetime is None:
            self._store.drop(request.key, request.choosing)
        elif unchanged:
            again = replace(entry, made_s=self._now_s(), age_s=0.0, lifetime=lifetime)
            self._put(request.key, again)
        elif (body := await self._collect(answer, reservation)) is not None:
            self._store_answer(request, answer, body, lifetime, flight)
        else:
            self._note_not_kept(flight.slot)

    # -- places ------------------------------------------------------------------------------

    def _slot(self, request: Request) -> Slot:
        names = self._store.varied(request.key) or ("accept-encoding",)
        return request.key, policy.variant(names, request.choosing)

    def _land(self, flight: _Flight, visitor: Visitor) -> None:
        if self._flights.get(flight.slot) is flight:
            del self._flights[flight.slot]
        flight.landed.set()
        visitor.alone = True

    def _is_not_kept(self, slot: Slot) -> bool:
        return self._not_kept.get(hash(slot), 0.0) > self._now_s()

    def _note_not_kept(self, slot: Slot) -> None:
        self._not_kept[hash(slot)] = self._now_s() + _NOT_KEPT_FOR_S
        self._not_kept.move_to_end(hash(slot))
        if len(self._not_kept) > _MAX_NOT_KEPT:
            self._not_kept.popitem(last=False)


_RESULTS: dict[Event, bytes] = {
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
