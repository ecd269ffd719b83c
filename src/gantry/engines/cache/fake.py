"""A cache that keeps nothing by itself, for tests and the simulation."""

from pathlib import Path
from typing import TYPE_CHECKING

from gantry.engines.cache.protocol import CacheStatus, EdgeCache, Purge
from gantry.engines.cache.store import Entry, Key, Store
from gantry.kernel.errors import TransientError

_LIMIT_BYTES = 64_000_000


class FakeCache:
    """Has the real store, and no visitors."""

    def __init__(self) -> None:
        self._running = self._started = False
        self._store = Store(_LIMIT_BYTES)

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
            self._store = Store(_LIMIT_BYTES)
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
        return CacheStatus(
            running=True,
            entries=len(self._store),
            size_bytes=self._store.size_bytes,
            limit_bytes=_LIMIT_BYTES,
        )

    async def stop(self) -> None:
        """See `EdgeCache.stop`."""
        self._running = self._started = False

    def keep(self, key: Key, entry: Entry) -> None:
        """As if a visitor had asked."""
        self._store.put(key, entry)

    def crash(self) -> None:
        """The process dies."""
        self._running = False


if TYPE_CHECKING:
    _guard: EdgeCache = FakeCache()
