"""The waits that tests use end as soon as they can.

`ended`, `logged` and `Lab.until_healthy` ask a runtime and an edge, whose contracts say that their answers come at once.

A wait in asyncio that does not have to wait is not suspended: a deadline of zero seconds does not touch it.
"""

import asyncio
import itertools
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import pytest

from tests.support import builders, edge_cache, platform, runtime

Until = Callable[[Callable[[], bool]], Awaitable[None]]
_UNTIL: list[Until] = [runtime.until, edge_cache.until]


def test_a_wait_returns_the_first_true_answer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _s: pytest.fail("there was nothing to wait for"))
    answers = iter(["here"])
    assert platform.wait_until(lambda: next(answers)) == "here"


def test_a_wait_asks_again_until_it_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    answers = iter([None, "", 7, 8])
    assert platform.wait_until(lambda: next(answers)) == 7
    assert len(slept) == 2
    assert max(slept) <= 0.05


def test_a_wait_names_what_did_not_happen(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count()
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", lambda _s: None)
        patch.setattr(time, "monotonic", lambda: float(next(seconds)))
        with pytest.raises(AssertionError, match="the end did not happen within 5 s"):
            platform.wait_until(lambda: None, timeout_s=5, what="the end")


@pytest.mark.parametrize("until", _UNTIL)
async def test_a_condition_that_holds_is_not_waited_for(until: Until) -> None:
    async with asyncio.timeout(0):
        await until(lambda: True)


@pytest.mark.parametrize("until", _UNTIL)
async def test_a_condition_is_asked_again_until_it_holds(until: Until) -> None:
    answers = iter([False, False, True])
    await until(lambda: next(answers))
    assert list(answers) == []


def test_a_product_that_listens_is_not_waited_for() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        process = subprocess.Popen([sys.executable, "-c", ""])
        builders._wait_until_it_answers(process, listener.getsockname()[1])
        process.wait()


def test_a_product_that_has_ended_is_not_waited_for() -> None:
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    process.wait()
    with pytest.raises(AssertionError, match="it ended with 3"):
        builders._wait_until_it_answers(process, builders.free_port())
