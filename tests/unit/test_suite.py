"""The suite's demands on its own tests."""

import itertools
import os

import pytest

from tests.support import suite

pytest_plugins = ["pytester"]

_TESTS = """
import pytest
from tests.support.suite import slow_teardown

@pytest.fixture
def waits():
    yield

@pytest.fixture
@slow_teardown("it stops a database in order")
def declared():
    yield

def test_waits(waits): ...
def test_declared(declared): ...
def test_both(declared, waits): ...
@pytest.mark.slow_teardown("it waits for a deadline")
def test_marked(waits): ...
@pytest.mark.exhaustive
def test_more_of_the_same(): ...
"""


@pytest.fixture
def inner(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(test_inner=_TESTS)
    pytester.makeini("[pytest]\nmarkers =\n  exhaustive: more of the same\n")
    return pytester


def _run(inner: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return inner.runpytest_inprocess("-p", "tests.support.suite", *arguments)


def test_a_teardown_above_the_limit_fails_unless_it_is_declared(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()
    with (
        monkeypatch.context() as patch
    ):  # until here: the fixtures of this very test are measured too
        patch.setattr(suite, "clock_s", lambda: next(ticks) * 100.0)
        patch.setattr(suite, "limit_s", lambda: 99.0)
        result = _run(inner)
    result.assert_outcomes(passed=4, errors=2, deselected=1)
    result.stdout.fnmatch_lines(
        ["*ERROR at teardown of test_waits*", "its teardown took *waits 100.0 s*"]
    )
    assert "ERROR at teardown of test_declared" not in result.stdout.str()
    assert "ERROR at teardown of test_marked" not in result.stdout.str()


def test_a_teardown_below_the_limit_passes(inner: pytest.Pytester) -> None:
    _run(inner).assert_outcomes(passed=4, deselected=1)


@pytest.mark.parametrize(
    "arguments",
    [("--exhaustive",), ("-m", "exhaustive"), ("test_inner.py::test_more_of_the_same",)],
)
def test_more_of_the_same_runs_when_it_is_asked_for(
    inner: pytest.Pytester, arguments: tuple[str, ...]
) -> None:
    result = _run(inner, "-v", *arguments)
    result.stdout.fnmatch_lines(["*test_more_of_the_same PASSED*"])


@pytest.mark.parametrize(
    ("load", "limit_s"), [((0.0, 0, 0), 1.0), ((2.0, 0, 0), 1.0), ((7.0, 0, 0), 3.5)]
)
def test_the_limit_grows_with_what_wants_to_run(
    monkeypatch: pytest.MonkeyPatch, load: tuple[float, float, float], limit_s: float
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: load)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert suite.limit_s() == limit_s
