"""What each path takes of the room, so that none takes all of it.

Anybody can ask for one path with as many queries as he likes. Without a bound the answers would take the room of all
other pages; with one they take it from each other.
"""

from collections import Counter, OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Place = TypeVar("Place", bound=Hashable)


class Shares(Generic[Place]):
    """Places of answers by path, in the order of their use. A path is a number: visitors choose how long one is."""

    def __init__(self) -> None:
        self._places: dict[int, OrderedDict[Place, int]] = {}
        self._bytes: Counter[int] = Counter()

    def add(self, path: int, place: Place, size_bytes: int) -> None:
        """There is an answer at `place` now."""
        self._places.setdefault(path, OrderedDict())[place] = size_bytes
        self._bytes[path] += size_bytes

    def use(self, path: int, place: Place) -> None:
        """A visitor got it."""
        self._places[path].move_to_end(place)

    def remove(self, path: int, place: Place) -> None:
        """It is gone."""
        self._bytes[path] -= self._places[path].pop(place)
        if not self._places[path]:
            del self._places[path], self._bytes[path]

    def least_used(self, path: int, limit_bytes: int) -> Place | None:
        """What has to go from a path that takes more than `limit_bytes`."""
        return next(iter(self._places[path])) if self._bytes[path] > limit_bytes else None
