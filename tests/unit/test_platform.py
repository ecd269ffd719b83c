"""The wiring: every room can be made over its engines, and making it starts nothing."""

import asyncio
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from pathlib import Path

import pytest

from gantry.app.engines import make_engines
from gantry.app.platform import Engines, Platform
from gantry.config.settings import Settings
from gantry.engines.database.protocol import Session
from gantry.kernel.clock import ManualClock
from gantry.kernel.ids import SeededIds
from gantry.kernel.tasks import TaskSet
from tests.fakes.engines import fake_engines
from tests.fakes.machine import Machine

ROOMS = [name for name, value in vars(Platform).items() if isinstance(value, cached_property)]


class Untouched:
    """A database that nobody may ask."""

    def transaction(self) -> AbstractAsyncContextManager[Session]:
        raise AssertionError("a room was made, and has asked the database")


@pytest.fixture
def machine() -> Machine:
    return Machine(ManualClock())


@pytest.fixture(params=["fakes", "this machine"])
def engines(request: pytest.FixtureRequest, machine: Machine, tmp_path: Path) -> Engines:
    if request.param == "fakes":
        return fake_engines(machine, SeededIds())
    return make_engines(Settings(home=tmp_path))


@pytest.fixture
def platform(engines: Engines, tmp_path: Path) -> Platform:
    return Platform(Settings(home=tmp_path), engines, Untouched(), TaskSet())


async def test_every_room_can_be_made_and_none_starts_anything(
    platform: Platform, machine: Machine
) -> None:
    before = asyncio.all_tasks()
    rooms = {name: getattr(platform, name) for name in ROOMS}
    assert len(rooms) > 20
    for name, room in rooms.items():
        assert getattr(platform, name) is room, f"there is one {name}"
    await platform.tasks.join()
    assert asyncio.all_tasks() == before
    assert await platform.engines.runtime.statuses() == {}
    assert not (await platform.engines.edge.status()).running
    assert (machine.spawned, machine.edge_configs) == ([], [])


def test_no_two_loops_have_one_name_and_each_has_a_pace(platform: Platform) -> None:
    names = [item.name for item in platform.periodic]
    assert len(set(names)) == len(names)
    assert {"reconcile", "health", "exits"}.isdisjoint(names), "the names of the other loops"
    assert all(0 < item.every_s <= 3600 for item in platform.periodic)
    assert platform.loops.periodic is platform.periodic


def test_no_two_loops_share_a_waker(platform: Platform) -> None:
    wakers = [platform.waker, *(item.waker for item in platform.periodic)]
    assert len({id(waker) for waker in wakers}) == len(wakers)


async def test_what_belongs_together_is_woken_together(platform: Platform) -> None:
    """Who records an intent wakes the reconciler; who ends a deploy wakes retention; a new release, the assets."""
    waits = {item.name: item.waker for item in platform.periodic}
    assert waits["retention"] is platform.tidy
    assert waits["assets"] is platform.assets_due
    assert platform.loops.waker is platform.waker


def test_the_web_room_gets_what_the_platform_has(platform: Platform) -> None:
    services = platform.services
    assert services.database is platform.database
    assert services.deploys is platform.deploys
    assert services.rollouts is platform.rollouts
    assert services.runtime is platform.engines.runtime
    assert not services.closing()
    assert services.health() is platform.health
    assert services.waits() == {}


def test_who_ends_the_platform_says_how(engines: Engines, tmp_path: Path) -> None:
    asked: list[str] = []
    platform = Platform(
        Settings(home=tmp_path),
        engines,
        Untouched(),
        TaskSet(),
        shutdown=lambda: asked.append("shutdown"),
        closing=lambda: True,
    )
    platform.services.shutdown()
    assert asked == ["shutdown"]
    assert platform.services.closing()
