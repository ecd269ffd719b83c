"""What the API takes and says of the edge's cache."""

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Self

from pydantic import Field

from gantry.kernel.bodies import Answer, Request
from gantry.kernel.units import counted, format_size

if TYPE_CHECKING:
    from gantry.config.routes import Limit
    from gantry.engines.edge.protocol import Closed
    from gantry.engines.edge_cache.protocol import CacheNumbers, CacheStatus


class CacheBody(Answer):
    """What the edge's cache does for an environment that names paths for it. Counts are of the last hour."""

    running: bool
    hits: int
    stale: int = Field(description="Answered with what was kept, while a newer answer was fetched.")
    misses: int
    bypassed: int = Field(description="Passed on, because the answer must not be kept.")
    share: float | None = Field(
        description="Of these requests, those that were answered from the cache: hits and stale; null where there was none."
    )
    evicted: int = Field(
        description="Answers of the live release that made room for others while they could still be given."
    )
    entries: int = Field(description="Answers that are kept.")
    size_bytes: int
    used_bytes: int = Field(description="What is kept of all environments together.")
    limit_bytes: int = Field(description="Of all together.")
    trouble: str = Field("", description="Why it is of little use, in a sentence.")

    @classmethod
    def of(cls, status: "CacheStatus", live: str, releases: Collection[str]) -> Self:
        """What the cache does for one environment.

        Parameters:
            live: the release whose answers should not have to make room. What is kept of older ones may.
            releases: all of the environment that visitors may reach.
        """
        numbers = status.of({live, *releases})
        answered = numbers.hits + numbers.stale
        requests = answered + numbers.misses + numbers.bypassed
        evicted = status.of({live}).evicted
        return cls(
            running=status.running,
            hits=numbers.hits,
            stale=numbers.stale,
            misses=numbers.misses,
            bypassed=numbers.bypassed,
            share=answered / requests if requests else None,
            evicted=evicted,
            entries=numbers.entries,
            size_bytes=numbers.size_bytes,
            used_bytes=status.total.size_bytes,
            limit_bytes=status.limit_bytes,
            trouble=_trouble(status, numbers, requests, evicted),
        )


class LimitBody(Answer):
    """How often each visitor of an environment may ask for some paths, and how often that was refused."""

    source: str = Field(description="The paths, as gantry.toml has them.")
    rate: str = Field(description="`100/minute`.")
    burst: int = Field(description="As many at once.")
    per: str = Field(
        description="What tells visitors apart: `address`, or a cookie or header: `cookie session`."
    )
    status: int = Field(description="Of a refusal.")
    refused: int = Field(description="Requests that it refused since the edge began.")

    @classmethod
    def all_of(cls, limits: Iterable["Limit"], refused: Mapping[int, int]) -> tuple[Self, ...]:
        """Those of a manifest, with the edge's numbers of them."""
        return tuple(
            cls(
                source=limit.source,
                rate=limit.rate,
                burst=limit.at_once,
                per=limit.per,
                status=limit.status,
                refused=refused.get(number, 0),
            )
            for number, limit in enumerate(limits)
        )

    @property
    def sentence(self) -> str:
        """The rule and what became of it."""
        burst = (
            f", {self.burst:,} at once"
            if self.rate.split("/")[0].strip() != str(self.burst)
            else ""
        )
        return f"{self.source}  {self.rate} per {self.per}{burst}: {counted(self.refused, 'request')} refused"


class ClosedBody(Answer):
    """What visitors of an environment get in place of the product, with status 503."""

    title: str
    message: str
    allowed: tuple[str, ...] = Field(description="Networks whose visitors get the product.")

    @classmethod
    def of(cls, closed: "Closed") -> Self:
        """The page as the edge has it."""
        return cls(title=closed.title, message=closed.message, allowed=closed.allowed)

    @property
    def sentence(self) -> str:
        """For whom it is closed, and for whom not, in a few words."""
        # One address is written without the length of its prefix, as people write it.
        names = [network.removesuffix("/32").removesuffix("/128") for network in self.allowed]
        if not names:
            return "nobody is let through"
        return f"let through: {', '.join(names)}"


class PurgeRequest(Request):
    """What the edge should forget; nothing named means everything of the environment."""

    paths: tuple[str, ...] = Field((), max_length=256, description="`/news/today`, or `/news/*`.")
    tags: tuple[str, ...] = Field((), max_length=256, description="Of the header `Cache-Tag`.")


class PurgeBody(Answer):
    """What the edge has forgotten."""

    project: str
    environment: str
    purged: int = Field(description="Answers.")


def _trouble(status: "CacheStatus", numbers: "CacheNumbers", requests: int, evicted: int) -> str:
    if not status.running:
        return "it does not run; the instances answer"
    if evicted:
        limit = format_size(status.limit_bytes)
        return (
            f"{counted(evicted, 'answer')} made room for others too early: {limit} are not enough; "
            "set GANTRY_CACHE_MB"
        )
    if requests and not numbers.entries and not numbers.hits + numbers.stale:
        return (
            "no answer was marked for it; a product says Cache-Control: s-maxage=60, "
            "and sets no cookie"
        )
    return ""
