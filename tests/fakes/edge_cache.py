"""A cache of the edge without a process: it keeps nothing but what a test visits."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gantry.cache.store import Key, Store, StoredAnswer
from gantry.cache.tally import Event, Tally, status_of
from gantry.engines.edge_cache.process import read_status
from gantry.engines.edge_cache.protocol import CacheStatus, EdgeCache, Purge
from gantry.kernel.errors import TransientError

_LIMIT_BYTES = 64_000_000


class FakeEdgeCache:
    """Has the real store and the real numbers, and no visitors but those of the test.

    Parameters:
        now_s: see `Tally`.
    """

    def __init__(
        self, limit_bytes: int = _LIMIT_BYTES, now_s: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._running = self._started = False
        self._limit_bytes, self._now_s = limit_bytes, now_s
        self._begin()

    def _begin(self) -> None:
        self._store = Store(self._limit_bytes)
        self._tally = Tally(self._now_s)

    @property
    def socket(self) -> Path:
        """See `EdgeCache.socket`."""
        return Path("/nowhere/cache.sock")

    async def start(self) -> None:
        """See `EdgeCache.start`."""
        self._running = self._started = True

    async def revive(self) -> None:
        """See `EdgeCache.revive`."""
        if self._started and not self._running:
            self._begin()
            self._running = True

    async def purge(self, what: Purge) -> int:
        """See `EdgeCache.purge`."""
        if not self._running:
            raise TransientError("cache.unreachable", "the edge's cache does not answer")
        return self._store.purge(what.backends, what.paths, what.tags)

    async def status(self) -> CacheStatus:
        """See `EdgeCache.status`."""
        if not self._running:
            return CacheStatus(running=False)
        return read_status(status_of(self._store, self._tally))

    async def stop(self) -> None:
        """See `EdgeCache.stop`."""
        self._running = self._started = False
        self._begin()

    def visit(self, key: Key, answer: StoredAnswer) -> Event:
        """As if a visitor had asked: they get what is kept, or `answer` from the product, which is kept."""
        kept = self._store.get(key, ())
        if kept is not None and kept.is_of_use(self._now_s()):
            is_fresh = kept.age_at(self._now_s()) < kept.lifetime.fresh_s
            return self.count(key.backend, "hits" if is_fresh else "stale")
        for backend in self._store.put(key, answer):
            self.count(backend, "evicted")
        return self.count(key.backend, "misses")

    def count(self, backend: str, event: Event, times: int = 1) -> Event:
        """As if it had happened so often."""
        for _ in range(times):
            self._tally.count(backend, event)
        return event

    def crash(self) -> None:
        """The process dies."""
        self._running = False


if TYPE_CHECKING:
    _guard: EdgeCache = FakeEdgeCache()
