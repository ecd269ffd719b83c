"""Visitors of each kind, and the receiver of events: what they ask, what they learn, and which answers they refuse."""

import json
from dataclasses import replace

import pytest

from gantry.drill.exchange import Response, Target
from gantry.drill.observed import VisitorKind
from gantry.drill.product import (
    CACHED_PATH,
    DEPLOYMENT_HEADER,
    ORDER_HEADER,
    PATH,
    EventReceiver,
)
from gantry.drill.visitors import REQUESTS_PER_ORDER, Load, Visitor, all_visitors

TARGET = Target("drill.localhost", 8443, PATH)


def visitor_of(kind: VisitorKind, number: int = 0) -> Visitor:
    return Visitor(number, kind, TARGET, Load())


def answer(
    release: str = "r-1",
    headers: dict[str, str] | None = None,
    *,
    body: str | None = None,
    status: int = 200,
) -> Response:
    text = release if body is None else body
    named = {"x-gantry-release": release, **(headers or {})}
    return Response(status, named, body=text.encode())


def asked(visitor: Visitor) -> str:
    return visitor.next_request().decode()


def body_length(sent: str) -> int:
    return len(sent.partition("\r\n\r\n")[2])


def test_everybody_is_there_and_half_of_them_keep_their_cookie() -> None:
    everybody = all_visitors(TARGET, Load())
    kinds = [visitor.kind for visitor in everybody]
    assert len(everybody) == 40
    assert kinds.count(VisitorKind.REGULAR) == 20
    assert set(kinds) == set(VisitorKind)
    readers = [visitor for visitor in everybody if visitor.kind is VisitorKind.READER]
    assert all(asked(visitor).startswith(f"GET {CACHED_PATH} ") for visitor in readers)


@pytest.mark.parametrize(
    ("kind", "keeps"), [(VisitorKind.REGULAR, True), (VisitorKind.STRANGER, False)]
)
def test_a_cookie_is_kept_or_not(kind: VisitorKind, keeps: bool) -> None:
    visitor = visitor_of(kind)
    assert "Cookie" not in asked(visitor)
    visitor.received(replace(answer(), cookies=("gantry-rollout=3.abc",)), 1.0)
    assert ("Cookie: gantry-rollout=3.abc\r\n" in asked(visitor)) is keeps
    visitor.received(answer(), 1.2)
    assert ("Cookie: gantry-rollout=3.abc\r\n" in asked(visitor)) is keeps


def test_a_regular_notes_who_answers_from_when_on() -> None:
    visitor = visitor_of(VisitorKind.REGULAR)
    for at_s, release in enumerate(["r-1", "r-1", "r-2", "edge", "r-2", "r-1"]):
        visitor.next_request()
        visitor.received(answer(release), float(at_s))
    assert visitor.switches == [(0.0, "r-1"), (2.0, "r-2"), (5.0, "r-1")]
    assert visitor.load.timeline == {}


def test_a_stranger_is_counted_with_each_answer() -> None:
    visitor = visitor_of(VisitorKind.STRANGER)
    for at_s, release in ((1.01, "r-1"), (1.02, "r-2"), (1.03, "r-1"), (1.11, "r-1"), (1.2, "")):
        visitor.next_request()
        visitor.received(answer(release), at_s)
    assert visitor.load.timeline == {10: {"r-1": 2, "r-2": 1}, 11: {"r-1": 1}}
    assert visitor.switches == []


def test_a_page_asks_with_the_deployment_that_it_was_loaded_from() -> None:
    visitor = visitor_of(VisitorKind.PAGE)
    assert "x-deployment-id" not in asked(visitor)
    visitor.received(answer("r-1", {DEPLOYMENT_HEADER: "0123"}), 1.0)
    assert "x-deployment-id: 0123\r\n" in asked(visitor)
    visitor.received(answer("r-2", {DEPLOYMENT_HEADER: "4567"}), 1.2)
    assert "x-deployment-id: 0123\r\n" in asked(visitor)
    assert (visitor.page, visitor.switches) == ("r-1", [(1.0, "r-1"), (1.2, "r-2")])


def test_a_reader_knows_what_came_from_the_cache() -> None:
    visitor = visitor_of(VisitorKind.READER)
    for result in ("miss", "hit", "stale", "bypass", "hit"):
        visitor.next_request()
        visitor.received(answer("r-1", {"x-gantry-cache": result}), 1.0)
    assert visitor.load.cache_hits == 3


@pytest.mark.parametrize(
    ("kind", "orders"),
    [
        (VisitorKind.STRANGER, 5),
        (VisitorKind.REGULAR, 5),
        (VisitorKind.PAGE, 0),
        (VisitorKind.READER, 0),
    ],
)
def test_each_twentieth_request_is_an_order(kind: VisitorKind, orders: int) -> None:
    visitor = visitor_of(kind, number=7)
    numbers = []
    for _ in range(5 * REQUESTS_PER_ORDER):
        sent = asked(visitor)
        if sent.startswith("POST"):
            numbers.append(sent.partition(f"{ORDER_HEADER}: ")[2].partition("\r\n")[0])
            assert f"Content-Length: {body_length(sent)}\r\n" in sent
        visitor.lost("ConnectionResetError")
    assert len(set(numbers)) == len(numbers) == orders
    assert [order for *_, order in visitor.load.failed if order] == numbers


@pytest.mark.parametrize(
    ("given", "reasons"),
    [
        (answer(), []),
        (answer(status=500), ["status 500"]),
        (answer("edge", status=503), ["status 503"]),
        # The edge says one release, the answer another.
        (answer(body="r-2"), ["r-1 is said to have answered: b'r-2'"]),
        (answer(body=""), ["r-1 is said to have answered: b''"]),
    ],
)
def test_an_answer_is_whole_and_from_whom_the_edge_says(
    given: Response, reasons: list[str]
) -> None:
    visitor = visitor_of(VisitorKind.REGULAR)
    visitor.next_request()
    visitor.received(given, 1.0)
    assert [reason for _, reason, *_ in visitor.load.failed] == reasons


def test_an_order_is_answered_with_its_number_and_its_length() -> None:
    visitor = visitor_of(VisitorKind.REGULAR, number=19)
    sent = asked(visitor)
    visitor.received(answer(body=f"r-1 19-1 {body_length(sent)}"), 1.0)
    assert visitor.load.failed == []
    while not asked(visitor).startswith("POST"):
        visitor.received(answer(), 1.0)
    visitor.received(answer(), 2.0)
    assert len(visitor.load.failed) == 1


def test_what_the_receiver_recorded() -> None:
    receiver = EventReceiver()
    events: list[dict[str, object]] = [
        {},
        {"order": "7-40"},
        {"copy": "GET"},
        {"copy": "GET"},
        {"told_to_end": True},
        {"told_to_end": True},
    ]
    for at_s, event in enumerate(events):
        receiver.record({"run": "a", "release": "r-1", "port": 4001, **event}, float(at_s))
    receiver.record({"run": "b", "release": "r-1", "port": 4001}, 9.0)
    assert json.loads(json.dumps(receiver.summary())) == {
        "runs": [["a", "r-1", 4001, 0.0, 5.0, 4.0], ["b", "r-1", 4001, 9.0, 9.0, None]],
        "orders": [["7-40", 1.0, "a"]],
        "copies": [["r-1", "GET", 2]],
    }
