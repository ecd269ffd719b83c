"""What the suite asks of its tests: what is more of the same runs when it is wanted, and a slow teardown says why.

A teardown that takes long is nearly always a wait that nobody wanted: each edge of each test once waited five seconds for
its own question to end. So one above the limit fails its test, unless it is declared:

- for a test or a module: `pytest.mark.slow_teardown("why")`;
- for a fixture, wherever it is used: `@slow_teardown("why")` below `@pytest.fixture`.

The limit is a second of real time where there is a processor for everyone. Where more wants to run than there are
processors it is so much longer: then work takes longer too, and only what waits does not.
"""

import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

LIMIT_S = 1.0
clock_s = time.perf_counter
_DECLARED = "__slow_teardown__"
F = TypeVar("F", bound=Callable[..., Any])


def slow_teardown(reason: str) -> Callable[[F], F]:
    """Declare that the teardown of a fixture takes long, and why."""

    def declare(fixture: F) -> F:
        setattr(fixture, _DECLARED, reason)
        return fixture

    return declare


def limit_s() -> float:
    """The longest that a teardown may take now without being declared."""
    return LIMIT_S * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class _Teardown:
    """How long the teardown of one fixture took, without that of the fixtures that use it."""

    fixture: str
    seconds: float
    is_declared: bool


# Of the phase that goes on.
_teardowns: list[_Teardown] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--exhaustive", action="store_true", help="run tests marked exhaustive too")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow_teardown(reason): its teardown takes above a second")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked exhaustive, unless it is asked for, by an option, by its mark or by name."""
    by_name = any("::" in argument for argument in config.args)
    by_mark = "exhaustive" in str(config.getoption("markexpr"))
    if config.getoption("exhaustive") or by_name or by_mark:
        return
    left_out = [item for item in items if item.get_closest_marker("exhaustive")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("exhaustive")]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    begun_s: list[float] = []
    declared = bool(getattr(fixturedef.func, _DECLARED, ""))

    def begin() -> None:
        begun_s.append(clock_s())

    def end() -> None:
        seconds = clock_s() - begun_s.pop()
        _teardowns.append(_Teardown(fixturedef.argname, seconds, declared))

    # Finalizers run in reverse: `end` after the fixture's own, `begin` before it and after those of fixtures that use it.
    fixturedef.addfinalizer(end)
    try:
        return (yield)
    finally:
        fixturedef.addfinalizer(begin)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when != "teardown":
        return report
    teardowns = sorted(_teardowns, key=lambda teardown: -teardown.seconds)
    _teardowns.clear()
    undeclared = [one for one in teardowns if not one.is_declared]
    elsewhere_s = max(0.0, call.duration - sum(one.seconds for one in teardowns))
    undeclared_s = elsewhere_s + sum(one.seconds for one in undeclared)
    allowed_s = limit_s()
    if report.passed and undeclared_s > allowed_s and not item.get_closest_marker("slow_teardown"):
        report.outcome = "failed"
        slowest = [f"{one.fixture} {one.seconds:.1f} s" for one in undeclared]
        report.longrepr = (
            f"its teardown took {undeclared_s:.1f} s, more than {allowed_s:.1f} s: {', '.join(slowest[:5])}\n"
            "end the wait, or declare it: see tests/support/suite.py"
        )
    return report
