"""A visitor of the drill's product with a habit, and what all of them got."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from gantry.drill.exchange import Answer, Target, request
from gantry.drill.product import DEPLOYMENT_HEADER, ORDER_HEADER
from gantry.drill.tally import TICKS_PER_S
from gantry.features.drills.visitors import Habit

# Each twentieth request of a stranger or a regular is an order.
ORDER_EVERY = 20
_BODY = b"one of everything, please\n" * 8
# While the edge is away, 40 visitors are refused 20 times a second each.
_MOST_TOLD = 20_000
_FROM_THE_CACHE = ("hit", "stale")


@dataclass(slots=True)
class Crowd:
    """What all of them got.

    Attributes:
        story: tenth of a second (monotonic) -> release -> answers to strangers and readers that were asked for in it.
        failed: when (monotonic seconds), why, by which release, when it was sent, the order's number; the first 20,000.
        kept: answers that the edge had kept.
    """

    requests: int = 0
    reconnects: int = 0
    slowest_s: float = 0.0
    story: dict[int, dict[str, int]] = field(default_factory=dict)
    failed: list[tuple[float, str, str, float, str]] = field(default_factory=list)
    kept: int = 0

    def answered(self, release: str, began_s: float) -> None:
        """Count an answer to somebody who is drawn with each request."""
        tick = self.story.setdefault(int(began_s * TICKS_PER_S), {})
        tick[release] = tick.get(release, 0) + 1


@dataclass(slots=True)
class Person:
    """One visitor.

    Attributes:
        cookie: as he would send it; empty before he was given one.
        deployment, page: of what he has loaded, and the release that it came from.
        turns: when another release began to answer him, and which.
    """

    number: int
    habit: Habit
    target: Target
    crowd: Crowd
    cookie: str = ""
    deployment: str = ""
    page: str = ""
    turns: list[tuple[float, str]] = field(default_factory=list)
    _asked: int = 0
    _order: str = ""
    _began_s: float = 0.0

    def ask(self) -> bytes:
        """The next request."""
        self._asked += 1
        self._began_s = time.monotonic()
        orders = self.habit in (Habit.STRANGER, Habit.REGULAR)
        if orders and (self._asked + self.number) % ORDER_EVERY == 0:
            self._order = f"{self.number}-{self._asked}"
        method, body = ("POST", _BODY) if self._order else ("GET", b"")
        return request(self.target, method, self._headers(), body)

    def _headers(self) -> Iterator[tuple[str, str]]:
        if self._order:
            yield ORDER_HEADER, self._order
        if self.cookie:
            yield "Cookie", self.cookie
        if self.deployment:
            yield "x-deployment-id", self.deployment

    def got(self, answer: Answer, began_s: float) -> None:
        """Its whole answer."""
        self.crowd.requests += 1
        self.crowd.slowest_s = max(self.crowd.slowest_s, answer.took_s)
        if answer.status != 200:
            self._fail(f"status {answer.status}", answer.release)
        elif answer.body.decode() != self._expected(answer.release):
            self._fail(f"{answer.release} is said to have answered: {answer.body!r}", "")
        self._order = ""
        if answer.release not in ("", "edge"):
            self._learn(answer, began_s)

    def _expected(self, release: str) -> str:
        return f"{release} {self._order} {len(_BODY)}" if self._order else release

    def _learn(self, answer: Answer, began_s: float) -> None:
        match self.habit:
            case Habit.STRANGER | Habit.READER:
                self.crowd.answered(answer.release, began_s)
                self.crowd.kept += answer.headers.get("x-gantry-cache") in _FROM_THE_CACHE
                return
            case Habit.REGULAR if answer.cookies:
                self.cookie = "; ".join(answer.cookies)
            case Habit.PAGE if not self.deployment:
                self.deployment = answer.headers.get(DEPLOYMENT_HEADER, "")
                self.page = answer.release if self.deployment else ""
            case _:
                pass
        if not self.turns or self.turns[-1][1] != answer.release:
            self.turns.append((began_s, answer.release))

    def lost(self, reason: str) -> None:
        """It was not answered, or there was no connection to ask over."""
        self._fail(reason, "")
        self._order = ""

    def reconnects(self) -> None:
        """The edge said that the connection ends."""
        self.crowd.reconnects += 1

    def _fail(self, reason: str, release: str) -> None:
        if len(self.crowd.failed) < _MOST_TOLD:
            now_s = time.monotonic()
            self.crowd.failed.append((now_s, reason, release, self._began_s, self._order))

    def trail(self) -> list[object]:
        """As JSON takes it."""
        return [self.habit, self.turns, self.page, bool(self.cookie)]
