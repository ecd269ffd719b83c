"""The edge's cache of an environment: purging it, and a panel with two bars, of requests and of memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from gantry.features.routes.bodies import CacheBody, LimitBody, PurgeBody, PurgeRequest
from gantry.kernel.units import counted, format_percent, format_size
from gantry.web.access import Developer
from gantry.web.frame import Panel, ShownEnvironment
from gantry.web.noun import Noun
from gantry.web.openapi import ENVIRONMENT, KnownEnvironment, KnownProject
from gantry.web.services import Has

noun = Noun("routes", "What the edge keeps of a product's answers.", tag="cache")


@noun.api.post(f"{ENVIRONMENT}/purge", summary="Empty the cache")
async def purge(
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    request: PurgeRequest,
) -> PurgeBody:
    """Forget kept answers, by path or by tag; without either all of the environment. What is on its way is not kept."""
    purged = await services.purging.purge(
        project, environment, paths=request.paths, tags=request.tags, by=caller.account
    )
    return PurgeBody(project=project, environment=environment, purged=purged)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar.

    Attributes:
        tone: as of marks; `quiet` is what is left.
        begin, width: in percent of the bar.
    """

    word: str
    number: str
    tone: str
    begin: float
    width: float


@dataclass(frozen=True, slots=True)
class CachePanel(Panel):
    """What the edge's cache does for an environment.

    Attributes:
        environment: its name.
    """

    template: ClassVar[str] = "routes/panel.html"

    body: CacheBody
    environment: str

    @property
    def requests(self) -> int:
        """Requests of the last hour for paths that the cache may keep."""
        body = self.body
        return body.hits + body.stale + body.misses + body.bypassed

    @property
    def share(self) -> str:
        """The share of them that was answered from the cache; empty where there were none."""
        return "" if self.body.share is None else format_percent(self.body.share)

    @property
    def used(self) -> str:
        """The memory that the answers of all environments take."""
        return format_size(self.body.used_bytes)

    @property
    def answers(self) -> Iterator[Part]:
        """Results of requests, named as in the header `x-gantry-cache`."""
        body = self.body
        counts = (
            ("Hit", body.hits, "good"),
            ("Stale", body.stale, "busy"),
            ("Miss", body.misses, "warn"),
            ("Bypass", body.bypassed, "quiet"),
        )
        return _parts((word, f"{count:,}", tone, count) for word, count, tone in counts)

    @property
    def sizes(self) -> Iterator[Part]:
        """Memory that the answers of this environment and of others take, and what is free."""
        body = self.body
        others = max(0, body.used_bytes - body.size_bytes)
        free = max(0, body.limit_bytes - body.used_bytes)
        mine = f"{format_size(body.size_bytes)}, {counted(body.entries, 'answer')}"
        sizes = (
            (self.environment, mine, "good", body.size_bytes),
            ("others", format_size(others), "busy", others),
            ("free", format_size(free), "quiet", free),
        )
        return _parts(sizes)


def _parts(values: Iterable[tuple[str, str, str, int]]) -> Iterator[Part]:
    listed = tuple(values)
    total = sum(value for _, _, _, value in listed) or 1
    begin = 0.0
    for word, number, tone, value in listed:
        width = 100 * value / total
        yield Part(word, number, tone, round(begin, 2), round(width, 2))
        begin += width


@dataclass(frozen=True, slots=True)
class LimitsPanel(Panel):
    """How often visitors of an environment may ask, and how many requests were refused."""

    template: ClassVar[str] = "routes/limits.html"

    limits: tuple[LimitBody, ...]


async def limits_panel(shown: ShownEnvironment) -> LimitsPanel | None:
    """The panel on the environment's page, where its live release says how often."""
    limits = shown.card.body.limits
    return LimitsPanel(limits) if limits else None


async def panel(shown: ShownEnvironment) -> CachePanel | None:
    """The panel on the environment's page, where its live release names paths for the edge to keep."""
    body = shown.card.body
    return CachePanel(body.cache, body.name) if body.cache else None
