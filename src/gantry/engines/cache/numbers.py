"""What the cache says of itself, made from its store and its tally, and read from what its process says."""

from collections.abc import Mapping
from typing import Any

from gantry.engines.cache.protocol import CacheNumbers, CacheStatus
from gantry.engines.cache.store import Store
from gantry.engines.cache.tally import Tally, What


def status_of(store: Store, tally: Tally) -> CacheStatus:
    """Of a cache that runs."""
    lately = tally.lately()
    return CacheStatus(
        running=True,
        limit_bytes=store.limit_bytes,
        total=_numbers(len(store), store.size_bytes, tally.total),
        lately={
            name: _numbers(store.entries_of[name], store.bytes_of[name], lately.get(name, {}))
            for name in sorted({*lately, *store.entries_of})
        },
    )


def read_status(words: Mapping[str, Any]) -> CacheStatus:
    """What `asdict` made of it."""
    lately = {name: CacheNumbers(**one) for name, one in words["lately"].items()}
    return CacheStatus(**{**words, "total": CacheNumbers(**words["total"]), "lately": lately})


def _numbers(entries: int, size_bytes: int, counts: Mapping[What, int]) -> CacheNumbers:
    # Every word of `What` is a field.
    return CacheNumbers(entries, size_bytes, **{str(what): counts[what] for what in counts})
