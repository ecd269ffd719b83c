"""Waiting for a loop's waker, on the clock that the loop goes by."""

import asyncio

from gantry.kernel.clock import ManualClock
from gantry.reactor.waker import Waker
from tests.fakes.clock import HeldClock


async def test_a_wait_lasts_no_longer_than_it_may() -> None:
    clock = ManualClock()
    assert not await Waker().wait(3.0, clock)
    assert clock.monotonic_s() == 3.0


async def test_a_wait_ends_when_it_is_woken() -> None:
    clock, waker = HeldClock(), Waker()
    waiting = asyncio.create_task(waker.wait(3.0, clock))
    await asyncio.sleep(0)
    assert not waiting.done()
    waker.wake()
    assert await waiting
    assert (clock.monotonic_s(), clock.sleepers) == (0.0, 0)


async def test_wakes_between_two_waits_are_one_and_not_lost() -> None:
    clock, waker = ManualClock(), Waker()
    waker.wake()
    waker.wake()
    assert await waker.wait(3.0, clock)
    assert clock.monotonic_s() == 0.0
    assert not await waker.wait(3.0, clock)


async def test_a_wait_that_is_cancelled_leaves_nothing_behind() -> None:
    clock, waker = HeldClock(), Waker()
    waiting = asyncio.create_task(waker.wait(3.0, clock))
    while not clock.sleepers:
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    await asyncio.sleep(0)
    assert clock.sleepers == 0
