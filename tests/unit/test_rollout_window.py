"""What a stage has seen, whenever the counters begin anew."""

import json
from itertools import accumulate

from hypothesis import given, strategies as st

from gantry.features.rollouts.verdict.histogram import Histogram
from gantry.features.rollouts.verdict.model import Numbers, Pair
from gantry.features.rollouts.window import Window
from tests.support.verdict import numbers

_NONE = Pair()
_BOUNDS_MS = (10.0, 100.0, 1_000.0)


def pairs() -> st.SearchStrategy[Pair]:
    return st.builds(Pair, numbers(), numbers())


def counted(requests: int, errors: int = 0, restarts: int = 0) -> Numbers:
    return Numbers(requests, errors, restarts=restarts)


@given(pairs(), st.lists(pairs(), max_size=6))
def test_it_is_what_was_added_since_it_opened(before: Pair, looks: list[Pair]) -> None:
    window = Window.begin(before)
    for now in accumulate(looks, initial=before):
        window = window.at(now)
    total = _NONE
    for added in looks:
        total += added
    waiting = (looks or [before])[-1]
    assert window.total.candidate.requests == total.candidate.requests
    assert window.total.current.errors == total.current.errors
    assert window.total.candidate.latency.total == total.candidate.latency.total
    assert window.total.candidate.waiting == waiting.candidate.waiting


@given(pairs(), pairs())
def test_it_goes_on_from_its_stored_form(before: Pair, added: Pair) -> None:
    window = Window.begin(before).at(before + added)
    assert Window.parse(json.loads(json.dumps(window.as_dict()))) == window


@given(st.integers(0, 2_000), st.integers(1, 50), st.integers(0, 1_000))
def test_an_edge_that_began_anew_makes_neither_release_look_worse(
    seen: int, answered: int, later: int
) -> None:
    """Both have 1 % errors; the current release has 19 times the traffic, also before the stage."""
    before = Pair(Numbers(), counted(38_000, 380))
    window = Window.begin(before)
    window = window.at(
        Pair(counted(seen, seen // 100), counted(38_000 + 19 * seen, 380 + seen // 5))
    )
    # The edge is killed: everything is counted from nothing, and passes what it was.
    for requests in (answered, answered + later, answered + later + 5_000):
        window = window.at(Pair(counted(requests), counted(19 * requests)))
    shown = window.total
    assert shown.candidate.errors == seen // 100
    assert shown.current.errors == seen // 5
    if answered < seen:
        assert shown.candidate.requests == seen + later + 5_000
        assert shown.current.requests == 19 * (seen + later + 5_000)


def test_a_fall_of_one_release_ends_the_count_of_both() -> None:
    window = Window.begin(_NONE).at(Pair(counted(100), counted(1_900)))
    # Nobody has asked the current release much since; it alone cannot tell that the edge began anew.
    window = window.at(Pair(counted(5), counted(2_000)))
    window = window.at(Pair(counted(15), counted(2_200)))
    assert (window.total.candidate.requests, window.total.current.requests) == (110, 2_100)


def test_restarts_go_on_when_traffic_begins_anew() -> None:
    window = Window.begin(Pair(counted(10, restarts=1), counted(10)))
    window = window.at(Pair(counted(20, restarts=2), counted(20)))
    window = window.at(Pair(counted(0, restarts=3), counted(0)))
    window = window.at(Pair(counted(5, restarts=3), counted(5)))
    assert window.total.candidate == counted(15, restarts=2)


def test_times_of_requests_before_it_opened_are_left_out() -> None:
    """The edge counts at once and times a second later: what it times now was asked before."""
    slow, quick = Histogram.of([900.0] * 20, _BOUNDS_MS), Histogram.of([5.0] * 30, _BOUNDS_MS)
    before = Pair(Numbers(100), Numbers(1_900))
    late = Pair(Numbers(110, latency=slow), Numbers(2_000, latency=slow))
    window = Window.begin(before).at(late).timed_from(late)
    assert (window.total.candidate.requests, window.total.candidate.latency.total) == (10, 0)
    later = Pair(Numbers(150, latency=slow + quick), Numbers(2_500, latency=slow + quick))
    seen = window.at(later).total
    assert (seen.candidate.requests, seen.current.requests) == (50, 600)
    assert seen.candidate.latency == seen.current.latency == quick
