"""The edge's cache: answers that a product marks cacheable for shared caches, each kept for one release.

The edge sends it requests of declared paths, and says in the header `x-gantry-backend` which backend they are for. On a
miss it asks the edge's inner listener with that header, which knows instances, retries and counts. So it may die, or be
emptied, at any time: the edge then asks the instances itself.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Protocol

from gantry.kernel.edge_names import asked


@dataclass(frozen=True, slots=True)
class Purge:
    """Choice of answers to forget: those with one of the paths or one of the tags; without any, all.

    Attributes:
        backends: releases; a backend that is several counts when one of them is named.
        paths: as visitors ask for them, or as the product sees them after a rewrite; exact, without the query; one that
            ends in `*` stands for all that begin so.
        tags: of the response header `cache-tag`.
    """

    backends: tuple[str, ...]
    paths: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheNumbers:
    """Numbers of one or several backends: what is kept of them, and what became of their requests.

    Attributes:
        stale: answers that were given while, or because, a newer one was not there.
        bypassed: requests that were passed on without a look.
        evicted: answers that made room for others while they could still be given.
    """

    entries: int = 0
    size_bytes: int = 0
    hits: int = 0
    stale: int = 0
    misses: int = 0
    bypassed: int = 0
    evicted: int = 0

    def __add__(self, other: "CacheNumbers") -> "CacheNumbers":
        sums = (getattr(self, number.name) + getattr(other, number.name) for number in fields(self))
        return CacheNumbers(*sums)


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """Status of the cache, as its process tells it.

    Attributes:
        limit_bytes: of all answers together.
        total: of everything, counted since its process began.
        lately: backend -> the same, counted over the last hour. What has neither been asked nor is kept is not there.
    """

    running: bool
    limit_bytes: int = 0
    total: CacheNumbers = CacheNumbers()
    lately: Mapping[str, CacheNumbers] = field(default_factory=dict)

    def of(self, releases: Collection[str]) -> CacheNumbers:
        """The last hour of all backends that are, or count as, one of `releases`."""
        meant = (
            numbers
            for backend, numbers in self.lately.items()
            if set(asked(backend)) & set(releases)
        )
        return sum(meant, CacheNumbers())


class EdgeCache(Protocol):
    """The cache. Survives the control plane. All methods are idempotent."""

    @property
    def socket(self) -> Path:
        """The unix socket on which the edge asks it."""
        ...

    async def start(self) -> None:
        """Make sure that it runs; returns when it answers.

        Raises:
            TransientError: `cache.start-failed` with the last lines of its log.
        """
        ...

    async def revive(self) -> None:
        """Start it again if it was started and has ended by itself.

        Raises:
            TransientError: `cache.start-failed`.
        """
        ...

    async def purge(self, what: Purge) -> int:
        """Forget; returns how many answers. What is being fetched meanwhile is not kept either.

        Raises:
            TransientError: `cache.unreachable`.
        """
        ...

    async def status(self) -> CacheStatus:
        """What it holds and has counted. Never raises."""
        ...

    async def stop(self) -> None:
        """End it; what it held is forgotten."""
        ...
