"""Ending environments on a machine of glass: an intent that is carried out, also after a crash at any commit."""

import random

import pytest

from gantry.app.engines import is_engine
from gantry.engines.database.postgres import PostgresDatabase
from gantry.engines.runtime.protocol import ProcessSpec
from gantry.features.deploys.model import DeployState
from gantry.features.projects import store as projects
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import ConflictError, NotFoundError
from gantry.kernel.ids import SeededIds
from tests.fakes.machine import Machine
from tests.sim.platform import HOST, Crasher, CrashError, Platform, program


@pytest.fixture
def platform(database: PostgresDatabase) -> Platform:
    return Platform(database, Machine(ManualClock(), random.Random(1)), SeededIds(1))


async def deploy(platform: Platform, environment: str = "production") -> None:
    """Something live with a database in an environment."""
    request = await platform.request(platform.sources.put(program(environment)), environment)
    assert (await platform.finish(request.id)).state is DeployState.SUCCEEDED


async def names(platform: Platform) -> list[str]:
    """The environments that are recorded."""
    async with platform.database.transaction() as session:
        return [each.name for each in await projects.list_environments(session)]


async def until_gone(platform: Platform, count: int) -> None:
    """Go on until only `count` environments are left."""
    for _ in range(600):
        if len(await names(platform)) == count:
            return
        await platform.tick()
    raise AssertionError(f"{await names(platform)} are still there")


def running(platform: Platform) -> list[str]:
    """Processes of products that run."""
    return [
        key
        for key, process in platform.machine.processes.items()
        if process.runs(platform.machine.now_s) and not is_engine(key)
    ]


async def test_an_environment_ends_and_the_other_stays(platform: Platform) -> None:
    await deploy(platform)
    await deploy(platform, "staging")
    await platform.runtime.start(
        ProcessSpec(f"cron-{await identity(platform, 'staging')}-tidy-1", ("node",), {}, "/")
    )
    before = set(running(platform))
    await platform.plane.removals.request("shop", "staging", by="ada")
    await platform.tick()
    assert platform.machine.visit("staging--shop.localhost") == (503, ""), (
        "visitors lose it at once"
    )
    await until_gone(platform, 1)
    assert await names(platform) == ["production"]
    assert len(platform.machine.databases) == 1
    assert platform.machine.visit(HOST)[0] == 200
    assert len(before - set(running(platform))) == 2, "its instance and its command"


async def test_a_project_ends_with_its_last_environment(platform: Platform) -> None:
    await deploy(platform)
    await platform.plane.removals.request("shop", None, by="ada")
    await until_gone(platform, 0)
    assert running(platform) == []
    assert platform.machine.databases == {}
    async with platform.database.transaction() as session:
        assert await projects.list_projects(session) == ()
    with pytest.raises(NotFoundError):
        await platform.plane.removals.request("shop", None, by="ada")


async def test_no_deploy_and_removal_at_once(platform: Platform) -> None:
    await deploy(platform)
    source = platform.sources.put(program("next"))
    request = await platform.request(source)
    with pytest.raises(ConflictError, match="under way"):
        await platform.plane.removals.request("shop", "production", by="ada")
    await platform.finish(request.id)
    await platform.plane.removals.request("shop", "production", by="ada")
    with pytest.raises(ConflictError) as caught:
        await platform.request(source)
    assert caught.value.code == "environment.removing"
    await until_gone(platform, 0)
    await deploy(platform)  # a new one of the same name begins anew
    assert await names(platform) == ["production"]


@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_anywhere_is_gone_on_from(database: PostgresDatabase, *, after: bool) -> None:
    """The control plane dies at each commit of a removal in turn; the next one finishes it."""
    at = 1
    while True:
        platform = Platform(
            database, Machine(ManualClock(), random.Random(at)), SeededIds(at + 100 * after)
        )
        await deploy(platform)
        crasher = Crasher(database, at=at, after=after)
        platform.boot(crasher)
        await platform.plane.asset_publisher.once()
        try:
            await platform.plane.removals.request("shop", "production", by="ada")
            await until_gone(platform, 0)
        except CrashError:
            pass
        await platform.tasks.aclose()
        crashed = crasher.crashed
        platform.boot(database)
        if await names(platform) and not await removing(platform):
            # The request itself was lost with its transaction: whoever asked asks again.
            await platform.plane.removals.request("shop", "production", by="ada")
        await until_gone(platform, 0)
        assert running(platform) == []
        assert platform.machine.databases == {}
        if not crashed:
            break
        at += 1
    assert at > 3, "there were commits to die at"


async def identity(platform: Platform, name: str) -> str:
    """Id of an environment."""
    async with platform.database.transaction() as session:
        return (await projects.get_environment(session, "shop", name)).id


async def removing(platform: Platform) -> bool:
    """Whether the end of some environment was recorded."""
    async with platform.database.transaction() as session:
        return any(each.removing for each in await projects.list_environments(session))
