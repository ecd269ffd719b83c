"""Releases on a real database: what is live runs."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from gantry.engines.builders.protocol import BuildRequest
from gantry.engines.database.postgres import PostgresDatabase
from gantry.features.builds import store as builds
from gantry.features.deploys import store as deploys
from gantry.features.deploys.model import Deploy, DeployState, Step, StepState
from gantry.features.projects import store as projects
from gantry.features.releases import store as releases
from gantry.features.releases.model import Release, ReleaseState
from tests.support import stories
from tests.support.stories import T0, at

ENVIRONMENT = "env-1"


@pytest.fixture
async def old(database: PostgresDatabase) -> Release:
    """What was live before `new`."""
    return await _make(database, "r-1", 1)


@pytest.fixture
async def new(database: PostgresDatabase, old: Release) -> Release:
    """What is live."""
    made = await _make(database, "r-2", 2)
    await _give_visitors(database, old.id, previous=None, seconds=1)
    await _give_visitors(database, made.id, previous=old.id, seconds=2)
    return made


async def _make(database: PostgresDatabase, release_id: str, number: int) -> Release:
    made = stories.release(release_id, number=number)
    async with database.transaction() as session:
        if number == 1:
            await projects.insert_project(session, "shop", action_key_sealed=b"", at=T0)
            await projects.insert_environment(
                session, environment_id=ENVIRONMENT, project="shop", name="production", at=T0
            )
            request = BuildRequest("b-1", "shop", "0" * 64, Path())
            await builds.claim(session, request, "k", variables_sealed=b"", at=T0)
        await releases.insert(session, made, variables_sealed=b"")
    return made


async def _give_visitors(
    database: PostgresDatabase, release_id: str | None, *, previous: str | None, seconds: float
) -> None:
    async with database.transaction() as session:
        await releases.set_live(session, ENVIRONMENT, release_id, previous=previous, at=at(seconds))


async def _live(database: PostgresDatabase) -> str | None:
    async with database.transaction() as session:
        return (await projects.get_environment_by_id(session, ENVIRONMENT)).live_release


async def _get(database: PostgresDatabase, release_id: str) -> Release:
    async with database.transaction() as session:
        return await releases.get(session, release_id)


async def _set_state(database: PostgresDatabase, release_id: str, to: ReleaseState) -> None:
    async with database.transaction() as session:
        await releases.set_state(session, release_id, to, at=at(3))


async def test_a_retired_release_that_goes_live_runs_again(
    database: PostgresDatabase, old: Release, new: Release
) -> None:
    await _set_state(database, old.id, ReleaseState.RETIRED)
    await _give_visitors(database, old.id, previous=new.id, seconds=4)
    assert await _live(database) == old.id
    found = await _get(database, old.id)
    assert (found.state, found.retired_at) == (ReleaseState.RUNNING, None)
    assert (found.live_at, found.left_at) == (at(4), None)
    assert (await _get(database, new.id)).left_at == at(4)


@pytest.mark.parametrize("to", [ReleaseState.RETIRED, ReleaseState.FAILED, ReleaseState.PENDING])
async def test_the_database_refuses_to_end_what_is_live(
    database: PostgresDatabase, new: Release, to: ReleaseState
) -> None:
    with pytest.raises(psycopg.IntegrityError):
        await _set_state(database, new.id, to)
    assert (await _get(database, new.id)).state is ReleaseState.RUNNING


async def test_an_environment_that_ends_has_nothing_live(
    database: PostgresDatabase, old: Release, new: Release
) -> None:
    async with database.transaction() as session:
        await releases.retire_all(session, ENVIRONMENT, at=at(5))
    assert await _live(database) is None
    assert {(await _get(database, one.id)).state for one in (old, new)} == {ReleaseState.RETIRED}
    await _give_visitors(database, new.id, previous=None, seconds=6)
    async with database.transaction() as session:
        await projects.delete_project(session, "shop")
        assert await releases.list_all(session) == ()


async def _retire(database: PostgresDatabase, release_id: str) -> bool:
    async with database.transaction() as session:
        return await releases.retire(session, release_id, at=at(5))


async def _open_deploy(database: PostgresDatabase) -> Deploy:
    queued = stories.deploy(Step.SWITCH, state=DeployState.QUEUED, environment=ENVIRONMENT)
    async with database.transaction() as session:
        await deploys.insert(session, queued)
        await deploys.activate(session, queued, at=T0)
    return queued


async def test_nothing_is_retired_that_is_live_or_that_an_open_deploy_may_return_to(
    database: PostgresDatabase, old: Release, new: Release
) -> None:
    """Whoever decided it may have looked a moment before it became so."""
    opened = await _open_deploy(database)
    async with database.transaction() as session:
        await deploys.set_release(session, opened.id, new.id)
        await deploys.set_previous_release(session, opened.id, old.id)
    assert not await _retire(database, old.id)
    assert not await _retire(database, new.id)
    async with database.transaction() as session:
        await deploys.advance(session, opened, None, state=StepState.DONE, detail="", at=at(6))
    assert await _retire(database, old.id)
    found = await _get(database, old.id)
    assert (found.state, found.retired_at) == (ReleaseState.RETIRED, at(5))
    assert not await _retire(database, old.id), "only what runs can be retired"


async def test_a_retirement_waits_for_a_switch_under_way(
    database: PostgresDatabase, old: Release, new: Release
) -> None:
    async with database.transaction() as session:
        environment = await projects.lock_environment(session, ENVIRONMENT)
        retiring = asyncio.create_task(_retire(database, old.id))
        async with asyncio.timeout(5):
            while not await session.rows("SELECT 1 FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0)
        await releases.set_live(session, environment.id, old.id, previous=new.id, at=at(4))
    assert not await retiring
    assert (await _get(database, old.id)).state is ReleaseState.RUNNING
