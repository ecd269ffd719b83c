"""The edge's cache as the console shows it: two bars, one of requests and one of room."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gantry.features.routes.bodies import CacheBody
from gantry.kernel.units import format_percent, format_size


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
class CachePanel:
    """What the panel shows.

    Attributes:
        environment: its name.
    """

    body: CacheBody
    environment: str

    @property
    def requests(self) -> int:
        """For paths that may be kept, within the last hour."""
        body = self.body
        return body.hits + body.stale + body.misses + body.bypassed

    @property
    def share(self) -> str:
        """How much of them was answered from the cache."""
        return "" if self.body.share is None else format_percent(self.body.share)

    @property
    def used(self) -> str:
        """What all environments together take."""
        return format_size(self.body.used_bytes)

    @property
    def answers(self) -> Iterator[Part]:
        """What became of requests, in the words of the header `x-gantry-cache`."""
        body = self.body
        counts = (
            ("Hit", body.hits, "good"),
            ("Stale", body.stale, "busy"),
            ("Miss", body.misses, "warn"),
            ("Bypass", body.bypassed, "quiet"),
        )
        return _parts((word, f"{count:,}", tone, count) for word, count, tone in counts)

    @property
    def room(self) -> Iterator[Part]:
        """Whose answers take it."""
        body = self.body
        others = max(0, body.used_bytes - body.size_bytes)
        free = max(0, body.limit_bytes - body.used_bytes)
        mine = f"{format_size(body.size_bytes)}, {body.entries:,} answers"
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
