"""The last hour of visitors: what is counted, what is forgotten, and how little a look reads."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gantry.engines.edge.protocol import AccessLog, LoggedRequest
from gantry.features.traffic import MINUTES, Traffic, TrafficCounter, joined
from gantry.kernel.clock import ManualClock
from tests.fakes.edge import FakeEdge
from tests.fakes.machine import Machine
from tests.unit.test_requests import LOGGED


class CountingEdge(FakeEdge):
    """Remembers how much of the log each question brought."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.read: list[int] = []

    async def requests(self, cursor: str = "") -> AccessLog:
        log = await super().requests(cursor)
        self.read.append(len(log.requests))
        return log


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(LOGGED.at + timedelta(seconds=30))


@pytest.fixture
def edge(clock: ManualClock) -> CountingEdge:
    return CountingEdge(Machine(clock))


def _request(**changes: object) -> LoggedRequest:
    return replace(LOGGED, host="shop.localhost", **changes)  # type: ignore[arg-type]


async def test_an_hour_is_counted_by_the_minute(edge: CountingEdge, clock: ManualClock) -> None:
    counter = TrafficCounter(edge, clock)
    edge.machine.requests += [
        _request(at=LOGGED.at - timedelta(hours=2)),
        _request(at=LOGGED.at - timedelta(minutes=59)),
        _request(at=LOGGED.at - timedelta(minutes=59), status=503),
        _request(status=499),
        _request(status=0),
        replace(LOGGED, host="elsewhere.localhost"),
    ]
    found = (await counter.look(["shop.localhost"]))["shop.localhost"]
    assert (found.total, found.total_failed, len(found.requests)) == (4, 1, MINUTES)
    assert (found.requests[0], found.failed[0], found.requests[-1]) == (2, 1, 2)
    clock.advance(60)
    found = (await counter.look(["shop.localhost"]))["shop.localhost"]
    assert (found.total, found.total_failed, found.requests[-2:]) == (2, 0, (2, 0))


async def test_a_look_reads_what_has_come_since_the_last(
    edge: CountingEdge, clock: ManualClock
) -> None:
    counter = TrafficCounter(edge, clock)
    edge.machine.requests += [_request() for _ in range(3)]
    await counter.look(["shop.localhost"])
    edge.machine.requests.append(_request())
    for _ in range(2):
        found = await counter.look(["shop.localhost"])
        assert found["shop.localhost"].total == 4
    assert edge.read == [3, 1, 0]
    # Of a name that is new nothing was counted: the log is read anew, and nothing twice.
    edge.machine.requests.append(replace(LOGGED, host="new.localhost"))
    found = await counter.look(["shop.localhost", "new.localhost"])
    assert (found["shop.localhost"].total, found["new.localhost"].total) == (4, 1)
    assert edge.read[-1] == 5


def test_names_of_one_environment_are_added_up() -> None:
    first = Traffic((1, 2), (0, 1))
    assert joined([first, first]) == Traffic((2, 4), (0, 2))
    assert joined([]).total == 0
