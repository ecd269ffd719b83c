"""What the edge's cache does for an environment, and whether it is of use."""

from collections.abc import Collection

from gantry.engines.edge_cache.protocol import CacheNumbers, CacheStatus
from gantry.features.releases.model import Release
from gantry.features.routes.bodies import CacheBody
from gantry.kernel.units import format_size
from gantry.web.views.reader import Reader


async def cache_body(reader: Reader, status: CacheStatus, live: Release) -> CacheBody | None:
    """Of the environment of `live`; `None` where that names no paths."""
    if not _declared(live):
        return None
    present = await reader.present_releases(live.environment)
    return body_of(status, live.id, [one.id for one in present])


def body_of(status: CacheStatus, live: str, releases: Collection[str]) -> CacheBody:
    """The same, of known releases.

    Parameters:
        live: the one whose answers should not have to make room. What is kept of older ones may.
        releases: all of the environment that may be asked.
    """
    numbers = status.of({live, *releases})
    answered = numbers.hits + numbers.stale
    requests = answered + numbers.misses + numbers.bypassed
    evicted = status.of({live}).evicted
    return CacheBody(
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


def _declared(release: Release) -> bool:
    routes = release.manifest.get("routes")
    return isinstance(routes, dict) and bool(routes.get("cache"))


def _trouble(status: CacheStatus, numbers: CacheNumbers, requests: int, evicted: int) -> str:
    if not status.running:
        return "it does not run; the instances answer"
    if evicted:
        limit = format_size(status.limit_bytes)
        return (
            f"{evicted:,} answers made room for others too early: {limit} are not enough; "
            "set GANTRY_CACHE_MB"
        )
    if requests and not numbers.entries and not numbers.hits + numbers.stale:
        return (
            "no answer was marked for it; a product says Cache-Control: s-maxage=60, "
            "and sets no cookie"
        )
    return ""
