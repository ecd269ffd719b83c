"""Visitors with habits, and the witness: what they ask, what they learn, and what they hold against an answer."""

import json
from dataclasses import replace

import pytest

from gantry.drill.crowd import people
from gantry.drill.exchange import Answer, Target
from gantry.drill.person import ORDER_EVERY, Crowd, Person
from gantry.drill.product import DEPLOYMENT_HEADER, KEPT_PATH, ORDER_HEADER, PATH
from gantry.drill.witness import Witness
from gantry.features.drills.visitors import Habit

TARGET = Target("drill.localhost", 8443, PATH)


def person(habit: Habit, number: int = 0) -> Person:
    return Person(number, habit, TARGET, Crowd())


def answer(
    release: str = "r-1",
    headers: dict[str, str] | None = None,
    *,
    body: str | None = None,
    status: int = 200,
) -> Answer:
    text = release if body is None else body
    named = {"x-gantry-release": release, **(headers or {})}
    return Answer(status, named, body=text.encode())


def asked(one: Person) -> str:
    return one.ask().decode()


def body_length(sent: str) -> int:
    return len(sent.partition("\r\n\r\n")[2])


def test_everybody_is_there_and_half_of_them_keep_their_cookie() -> None:
    everybody = people(TARGET, Crowd())
    habits = [one.habit for one in everybody]
    assert len(everybody) == 40
    assert habits.count(Habit.REGULAR) == 20
    assert set(habits) == set(Habit)
    readers = [one for one in everybody if one.habit is Habit.READER]
    assert all(asked(one).startswith(f"GET {KEPT_PATH} ") for one in readers)


@pytest.mark.parametrize(("habit", "keeps"), [(Habit.REGULAR, True), (Habit.STRANGER, False)])
def test_a_cookie_is_kept_or_not(habit: Habit, keeps: bool) -> None:
    one = person(habit)
    assert "Cookie" not in asked(one)
    one.got(replace(answer(), cookies=("gantry-rollout=3.abc",)), 1.0)
    assert ("Cookie: gantry-rollout=3.abc\r\n" in asked(one)) is keeps
    one.got(answer(), 1.2)
    assert ("Cookie: gantry-rollout=3.abc\r\n" in asked(one)) is keeps


def test_a_regular_notes_who_answers_from_when_on() -> None:
    one = person(Habit.REGULAR)
    for at_s, release in enumerate(["r-1", "r-1", "r-2", "edge", "r-2", "r-1"]):
        one.ask()
        one.got(answer(release), float(at_s))
    assert one.turns == [(0.0, "r-1"), (2.0, "r-2"), (5.0, "r-1")]
    assert one.crowd.story == {}


def test_a_stranger_is_counted_with_each_answer() -> None:
    one = person(Habit.STRANGER)
    for at_s, release in ((1.01, "r-1"), (1.02, "r-2"), (1.03, "r-1"), (1.11, "r-1"), (1.2, "")):
        one.ask()
        one.got(answer(release), at_s)
    assert one.crowd.story == {10: {"r-1": 2, "r-2": 1}, 11: {"r-1": 1}}
    assert one.turns == []


def test_a_page_asks_with_the_deployment_that_it_was_loaded_from() -> None:
    one = person(Habit.PAGE)
    assert "x-deployment-id" not in asked(one)
    one.got(answer("r-1", {DEPLOYMENT_HEADER: "0123"}), 1.0)
    assert "x-deployment-id: 0123\r\n" in asked(one)
    one.got(answer("r-2", {DEPLOYMENT_HEADER: "4567"}), 1.2)
    assert "x-deployment-id: 0123\r\n" in asked(one)
    assert (one.page, one.turns) == ("r-1", [(1.0, "r-1"), (1.2, "r-2")])


def test_a_reader_knows_what_came_from_the_cache() -> None:
    one = person(Habit.READER)
    for result in ("miss", "hit", "stale", "bypass", "hit"):
        one.ask()
        one.got(answer("r-1", {"x-gantry-cache": result}), 1.0)
    assert one.crowd.kept == 3


@pytest.mark.parametrize(
    ("habit", "orders"),
    [(Habit.STRANGER, 5), (Habit.REGULAR, 5), (Habit.PAGE, 0), (Habit.READER, 0)],
)
def test_each_twentieth_request_is_an_order(habit: Habit, orders: int) -> None:
    one = person(habit, number=7)
    numbers = []
    for _ in range(5 * ORDER_EVERY):
        sent = asked(one)
        if sent.startswith("POST"):
            numbers.append(sent.partition(f"{ORDER_HEADER}: ")[2].partition("\r\n")[0])
            assert f"Content-Length: {body_length(sent)}\r\n" in sent
        one.lost("ConnectionResetError")
    assert len(set(numbers)) == len(numbers) == orders
    assert [order for *_, order in one.crowd.failed if order] == numbers


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
def test_an_answer_is_whole_and_from_whom_the_edge_says(given: Answer, reasons: list[str]) -> None:
    one = person(Habit.REGULAR)
    one.ask()
    one.got(given, 1.0)
    assert [reason for _, reason, *_ in one.crowd.failed] == reasons


def test_an_order_is_answered_with_its_number_and_its_length() -> None:
    one = person(Habit.REGULAR, number=19)
    sent = asked(one)
    one.got(answer(body=f"r-1 19-1 {body_length(sent)}"), 1.0)
    assert one.crowd.failed == []
    while not asked(one).startswith("POST"):
        one.got(answer(), 1.0)
    one.got(answer(), 2.0)
    assert len(one.crowd.failed) == 1


def test_what_the_witness_heard() -> None:
    witness = Witness()
    said: list[dict[str, object]] = [
        {},
        {"order": "7-40"},
        {"copy": "GET"},
        {"copy": "GET"},
        {"told": True},
        {"told": True},
    ]
    for at_s, what in enumerate(said):
        witness.heard({"life": "a", "release": "r-1", "port": 4001, **what}, float(at_s))
    witness.heard({"life": "b", "release": "r-1", "port": 4001}, 9.0)
    assert json.loads(json.dumps(witness.summary())) == {
        "lives": [["a", "r-1", 4001, 0.0, 5.0, 4.0], ["b", "r-1", 4001, 9.0, 9.0, None]],
        "orders": [["7-40", 1.0, "a"]],
        "copies": [["r-1", "GET", 2]],
    }
