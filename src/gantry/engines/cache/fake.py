"""A cache that keeps nothing by itself, for tests and the simulation."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gantry.engines.cache.numbers import status_of
from gantry.engines.cache.protocol import CacheStatus, EdgeCache, Purge
from gantry.engines.cache.store import Entry, Key, Store
from gantry.engines.cache.tally import Tally, What
from gantry.kernel.errors import TransientError

_LIMIT_BYTES = 64_000_000


class FakeCache:
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
        return self._store.purge(what)

    async def status(self) -> CacheStatus:
        """See `EdgeCache.status`."""
        if not self._running:
            return CacheStatus(running=False)
        return status_of(self._store, self._tally)

    async def stop(self) -> None:
        """See `EdgeCache.stop`."""
        self._running = self._started = False
        self._begin()

    def visit(self, key: Key, entry: Entry) -> What:
        """As if a visitor had asked: he gets what is kept, or `entry` from the product, which is kept."""
        kept = self._store.get(key, ())
        if kept is not None and kept.is_of_use(self._now_s()):
            is_fresh = kept.age_at(self._now_s()) < kept.life.fresh_s
            return self.count(key.backend, "hits" if is_fresh else "stale")
        for backend in self._store.put(key, entry):
            self.count(backend, "evicted")
        return self.count(key.backend, "misses")

    def count(self, backend: str, what: What, times: int = 1) -> What:
        """As if it had happened so often."""
        for _ in range(times):
            self._tally.count(backend, what)
        return what

    def crash(self) -> None:
        """The process dies."""
        self._running = False


if TYPE_CHECKING:
    _guard: EdgeCache = FakeCache()
