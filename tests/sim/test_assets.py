"""Files of kept builds on a machine of glass: a fault that passes takes nothing away, and is got over by itself."""

import logging
import random
from dataclasses import replace

import pytest

from gantry.engines.assets.protocol import of_scope
from gantry.engines.database.postgres import PostgresDatabase
from gantry.engines.edge.protocol import Assets
from gantry.features.deploys.model import Deploy
from gantry.kernel.clock import ManualClock
from gantry.kernel.ids import SeededIds
from tests.fakes.machine import Machine
from tests.sim.platform import HOST, Platform, program


@pytest.fixture
def platform(database: PostgresDatabase) -> Platform:
    return Platform(database, Machine(ManualClock(), random.Random(1)), SeededIds(1))


async def deployed(platform: Platform, note: str) -> Deploy:
    source = platform.sources.put(program(note))
    ended = await platform.finish((await platform.request(source)).id)
    await platform.tick()
    return ended


async def scope(platform: Platform, deploy: Deploy) -> tuple[str, ...]:
    """The builds whose files the environment has."""
    return (await platform.assets.status()).scopes.get(deploy.environment, ())


def served(platform: Platform) -> Assets | None:
    """What the edge was told of them."""
    return next(one for one in platform.machine.edge_config.sites if HOST in one.hosts).assets


async def test_a_full_disk_costs_the_new_build_s_files_until_there_is_room(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    first = await deployed(platform, "1")
    platform.machine.faults.assets_full = True
    with caplog.at_level(logging.WARNING, "gantry.reactor.assets"):
        second = await deployed(platform, "2")
        for _ in range(5):
            await platform.plane.asset_publisher.once()
    assert len(caplog.records) == 1, "said once, however often it is tried"
    assert await scope(platform, first) == (first.build,)
    platform.machine.faults.assets_full = False
    await platform.plane.asset_publisher.once()
    assert await scope(platform, second) == (second.build, first.build)


async def test_a_build_that_cannot_be_read_keeps_its_files(platform: Platform) -> None:
    first = await deployed(platform, "1")
    second = await deployed(platform, "2")
    both = (second.build, first.build)
    lost = dict(platform.machine.artifacts)
    # A new control plane reads all of them anew, and cannot.
    platform.machine.artifacts.clear()
    platform.boot(platform.database)
    await platform.plane.asset_publisher.once()
    assert (await platform.assets.status()).builds == set(both)
    assert await scope(platform, first) == both
    platform.machine.artifacts.update(lost)
    await platform.tick()
    await platform.plane.asset_publisher.once()
    await platform.tick()
    assert await scope(platform, first) == both
    assert served(platform) == Assets(of_scope(first.environment), ("/_next/static",))


async def test_the_edge_keeps_its_paths_while_a_build_cannot_be_read(platform: Platform) -> None:
    first = await deployed(platform, "1")
    before = served(platform)
    assert before is not None
    platform.machine.artifacts.clear()
    platform.plane.asset_publisher = replace(
        platform.plane.asset_publisher, _artifacts={}, _settled=None
    )
    await platform.plane.asset_publisher.once()
    await platform.tick()
    assert served(platform) == before
    assert await scope(platform, first) == (first.build,)
