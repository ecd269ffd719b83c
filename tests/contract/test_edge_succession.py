"""Envoy is upgraded, killed, and killed in the middle of an upgrade; visitors notice as little as can be."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator

import pytest
import websockets

from gantry.engines.edge.envoy import EnvoyEdge
from gantry.engines.edge.process import Generation, generations
from gantry.kernel.clock import ManualClock, SystemClock
from gantry.kernel.errors import TransientError
from tests.support.edge import (
    DEADLINE_S,
    Lab,
    backend,
    config,
    kill,
    lab,
    running,
    served,
    upgraded,
)
from tests.support.edge_visitors import url, visitors
from tests.support.suite import slow_teardown

pytestmark = pytest.mark.real


@pytest.fixture
@slow_teardown("Envoys are ended in the middle of an upgrade, where one may wait for the other")
async def edge() -> AsyncIterator[Lab]:
    async with lab() as made:
        await made.edge.start()
        yield made


async def until_alone(edge: Lab) -> None:
    """Wait until the predecessor has ended."""
    async with asyncio.timeout(DEADLINE_S):
        while len(await running(edge)) > 1:
            await asyncio.sleep(0.05)


def newest(names: dict[str, int]) -> Generation:
    return generations(names)[-1]


async def test_upgrades_under_load_fail_no_request(edge: Lab) -> None:
    await served(edge)
    async with visitors(edge) as seen:
        for number in range(3):
            before = newest(await running(edge))
            edge.edge = upgraded(edge, number)
            await edge.edge.start()
            after = newest(await running(edge))
            assert after.epoch == before.epoch + 1
            assert after.made_from != before.made_from
            await until_alone(edge)
    assert seen["failures"] == 0, seen
    assert seen["requests"] > 500, seen
    assert seen["reconnects"] >= 40, "connections of before were told to come anew"


async def test_an_upgrade_waits_until_the_one_before_has_ended(edge: Lab) -> None:
    await served(edge)
    async with visitors(edge) as seen:
        edge.edge = upgraded(edge, 1)
        await edge.edge.start()
        two = await running(edge)
        assert len(two) == 2
        edge.edge = upgraded(edge, 2)
        await edge.edge.start()
        assert await running(edge) == two
        await until_alone(edge)
        await edge.edge.start()
        assert newest(await running(edge)).epoch == 2
    assert seen["failures"] == 0, seen


async def test_the_successor_takes_changes_and_goes_on_with_what_was_counted(edge: Lab) -> None:
    await served(edge)
    for _ in range(20):
        assert (await edge.get()).body == "one"
    edge.edge = upgraded(edge, 1)
    await edge.edge.start()
    two = await edge.instance("two")
    certificate = await edge.certificate("a.localhost")
    wanted = config("two", backend("two", two), certificates=(certificate,))
    await edge.edge.apply(wanted)
    assert (await edge.edge.status()).applied == edge.edge.digest(wanted)
    assert (await edge.get()).body == "two"


async def test_nothing_happens_where_nothing_changed(edge: Lab) -> None:
    await served(edge)
    before = await running(edge)
    for _ in range(3):
        await edge.edge.start()
    assert await running(edge) == before


async def test_a_websocket_goes_on_at_the_predecessor_for_a_while(edge: Lab) -> None:
    await served(edge)
    async with websockets.connect(
        url(edge, "/socket", scheme="wss"), ssl=edge.context(), host="127.0.0.1"
    ) as socket:
        edge.edge = upgraded(edge, 1)
        await edge.edge.start()
        assert len(await running(edge)) == 2
        for number in range(3):
            await socket.send(str(number))
            assert str(number) in str(await asyncio.wait_for(socket.recv(), DEADLINE_S))
    assert (await edge.get()).body == "one"


async def test_a_program_that_does_not_work_changes_nothing(edge: Lab) -> None:
    await served(edge)
    before = await running(edge)
    broken = edge.settings.home / "broken"
    shutil.copy("/bin/false", broken)
    edge.edge = EnvoyEdge(edge.settings, edge.runtime, SystemClock(), broken)
    async with visitors(edge) as seen:
        await edge.edge.start()
        await edge.edge.start()
    assert seen["failures"] == 0, seen
    assert await running(edge) == before
    assert (await edge.edge.status()).running


async def test_a_successor_that_ends_at_once_is_not_waited_for(edge: Lab) -> None:
    await served(edge)
    before = await running(edge)
    ends = edge.settings.home / "ends"
    ends.write_text('#!/bin/sh\ncase "$*" in *validate*) exit 0 ;; esac\nexit 1\n')
    ends.chmod(0o755)
    clock = ManualClock()
    await EnvoyEdge(edge.settings, edge.runtime, clock, ends).start()
    assert clock.monotonic_s() < 20, "the deadline of a start is 20 s"
    assert await running(edge) == before
    assert (await edge.get()).body == "one"


async def test_a_first_one_that_ends_at_once_says_why() -> None:
    async with lab() as made:
        ends = made.settings.home / "ends"
        ends.write_text("#!/bin/sh\necho it wants another processor >&2\nexit 1\n")
        ends.chmod(0o755)
        clock = ManualClock()
        with pytest.raises(TransientError) as caught:
            await EnvoyEdge(made.settings, made.runtime, clock, ends).start()
    assert caught.value.code == "edge.start-failed"
    assert "it wants another processor" in str(caught.value)
    assert clock.monotonic_s() < 20, "the deadline of a start is 20 s"


async def test_a_control_plane_that_died_in_an_upgrade_is_followed_by_one_that_finishes_it(
    edge: Lab,
) -> None:
    await served(edge)
    async with visitors(edge) as seen:
        for number, pause_s in enumerate((0.01, 0.1, 0.2, 0.3, 0.5)):
            dying = asyncio.create_task(upgraded(edge, number).start())
            await asyncio.sleep(pause_s)
            dying.cancel()
            await asyncio.gather(dying, return_exceptions=True)
            edge.edge = upgraded(edge, 100 + number)
            await edge.edge.start()
            assert (await edge.edge.status()).running
            await until_alone(edge)
    assert seen["failures"] == 0, seen


async def test_killed_right_after_an_upgrade_it_is_back(edge: Lab) -> None:
    await served(edge)
    edge.edge = upgraded(edge, 1)
    await edge.edge.start()
    after = newest(await running(edge))
    await edge.runtime.signal(after.id, kill=True)
    await edge.edge.start()
    (left,) = await running(edge)
    assert generations([left])[0].epoch == 0, "the predecessor took no connections any more"
    assert (await edge.get()).body == "one"


async def test_it_is_back_without_a_control_plane(edge: Lab) -> None:
    await served(edge)
    for upgrades in range(3):
        if upgrades:
            edge.edge = upgraded(edge, upgrades)
            await edge.edge.start()
            await until_alone(edge)
        ((name, pid),) = (await running(edge)).items()
        assert newest({name: pid}).epoch == upgrades
        await asyncio.sleep(1.1)  # what dies in its first second is left to the control plane
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(DEADLINE_S):
            while (await running(edge)).get(name) in (None, pid):
                await asyncio.sleep(0.01)
        await edge.until_healthy("r-1")
        assert (await edge.get()).body == "one"
        assert (await edge.edge.status()).running
        # Nor does a control plane that looks now do anything to it.
        before = await running(edge)
        await edge.edge.start()
        assert await running(edge) == before


async def test_a_predecessor_that_is_killed_stays_away(edge: Lab) -> None:
    await served(edge)
    await asyncio.sleep(1.1)
    ((name, pid),) = (await running(edge)).items()
    edge.edge = upgraded(edge, 1)
    await edge.edge.start()
    os.kill(pid, signal.SIGKILL)
    await until_alone(edge)
    assert (await edge.runtime.statuses())[name].restarts == 0
    assert (await edge.get()).body == "one"
    # Envoy asks its dead predecessor for its counters for 10 s, and hears nothing else meanwhile; then it aborts.
    await kill(edge)


async def test_both_are_ended_together_and_at_once(edge: Lab) -> None:
    await served(edge)
    edge.edge = upgraded(edge, 1)
    await edge.edge.start()
    clock = ManualClock()
    await EnvoyEdge(edge.settings, edge.runtime, clock).stop()
    assert clock.monotonic_s() == 0
    assert await running(edge) == {}
    with pytest.raises(TransientError):
        await edge.edge.numbers()
