"""A platform on which release 1 is live, made once for each test process; tests get copies."""

import asyncio
import random
from copy import deepcopy

import pytest

from gantry.engines.database.postgres import PostgresDatabase
from gantry.features.deploys.model import DeployState
from gantry.kernel.clock import ManualClock
from gantry.kernel.ids import SeededIds
from tests.fakes.machine import Machine
from tests.sim.platform import Platform, program
from tests.support.postgres import SharedDatabase

_KEPT = "live"


@pytest.fixture(scope="session")
def kept(shared_database: SharedDatabase) -> tuple[Machine, SeededIds]:
    """A machine with release 1, and where its identities came from; the database is kept as it was then."""
    machine, ids = Machine(ManualClock(), random.Random(1)), SeededIds(1)

    async def go_live() -> None:
        state = PostgresDatabase(shared_database.url, most_connections=3)
        await state.open()
        try:
            platform = Platform(state, machine, ids)
            request = await platform.request(platform.sources.put(program("1")))
            assert (await platform.finish(request.id)).state is DeployState.SUCCEEDED
        finally:
            await state.aclose()

    shared_database.clear()
    asyncio.run(go_live())
    shared_database.keep(_KEPT)
    return machine, ids


@pytest.fixture
async def live(
    kept: tuple[Machine, SeededIds], database: PostgresDatabase, shared_database: SharedDatabase
) -> Platform:
    """A platform on which release 1 of the shop is live."""
    shared_database.bring_back(_KEPT)
    return Platform(database, *deepcopy(kept))
