"""What visitors and instances of a drill's product saw: the first over the public port, the second by themselves.

Times are seconds on the clock of the load, from when the deploy was asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Habit(StrEnum):
    """What a visitor does with what he is given."""

    STRANGER = "strangers"  # keep no cookie: each request is drawn anew
    REGULAR = "regulars"  # keep their cookie
    PAGE = "old pages"  # ask with the deployment that they were loaded from
    READER = "readers"  # ask for what the edge may keep, without a cookie


@dataclass(frozen=True, slots=True)
class Answers:
    """What strangers and readers got in a slot of time: release -> whole responses."""

    at_s: float
    by_release: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Turn:
    """From this request on another release answered."""

    at_s: float
    release: str


@dataclass(frozen=True, slots=True)
class Trail:
    """Who answered one regular or one old page, in the order of the requests.

    Attributes:
        page: the release that a page was loaded from.
        cookie: a regular was given one.
    """

    habit: Habit
    turns: tuple[Turn, ...]
    page: str = ""
    cookie: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that a visitor would have seen fail.

    Attributes:
        release: who answered; empty or `edge` when no instance did.
        began_s: when it was sent; a request that found no connection was not.
        order: number of the order that it was; empty for a GET.
    """

    at_s: float
    reason: str
    release: str = ""
    began_s: float = 0.0
    order: str = ""


@dataclass(frozen=True, slots=True)
class Life:
    """One run of an instance's process, as it said itself ten times a second.

    Attributes:
        port: of the instance; its next run has the same.
        told_s: when it was told to end; `None` when it never was.
    """

    id: str
    release: str
    port: int
    first_s: float
    last_s: float
    told_s: float | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A POST that arrived at an instance."""

    number: str
    at_s: float
    life: str


@dataclass(frozen=True, slots=True)
class Copies:
    """Requests that arrived with `x-gantry-mirror`."""

    release: str
    method: str
    count: int
