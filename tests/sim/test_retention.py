"""What is deleted when nothing can reach it any more, and never what can be rolled back to."""

import random
from datetime import timedelta

import pytest

from gantry.engines.database.postgres import PostgresDatabase
from gantry.features.accounts.model import Caller, Role
from gantry.features.builds import store as builds
from gantry.features.builds.model import BuildState
from gantry.features.deploys.model import Deploy, DeployState
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import UserError
from gantry.kernel.ids import SeededIds
from tests.fakes.builders import FakeWorkshop
from tests.fakes.machine import Machine
from tests.fakes.programs import Program
from tests.sim.platform import MANIFEST, Crasher, CrashError, Platform

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
KEEP = '[deploy]\nkeep_releases = 3\nkeep_warm = "5s"\nskew_protection = "0s"\n'


@pytest.fixture
def platform(database: PostgresDatabase) -> Platform:
    return Platform(database, Machine(ManualClock(), random.Random(1)), SeededIds(1))


def source(platform: Platform, number: int) -> str:
    """A source of which three releases are kept, and none runs longer than it must."""
    return platform.sources.put(Program(manifest=f"{MANIFEST}{KEEP}# {number}\n"))


async def deployed(platform: Platform, count: int) -> list[Deploy]:
    """Releases 1 to `count`, of which the last is live and no other runs."""
    found = []
    for number in range(1, count + 1):
        found.append(await platform.finish((await platform.request(source(platform, number))).id))
        assert found[-1].state is DeployState.SUCCEEDED
    for _ in range(100):
        if len(platform.machine.running_instances()) == 2:
            return found
        await platform.tick(1.0)
    raise AssertionError(f"{platform.machine.running_instances()} run")


async def settled(platform: Platform) -> None:
    """Two rounds of retention: what was there all the time has been there long enough then."""
    await platform.plane.retention.once()
    platform.machine.pass_time(HOUR_S)
    await platform.plane.retention.once()


async def build_states(platform: Platform, deploys: list[Deploy]) -> list[BuildState]:
    async with platform.database.transaction() as session:
        return [(await builds.get(session, deploy.build or "")).state for deploy in deploys]


async def roll_back(platform: Platform, number: int) -> DeployState:
    """How a rollback to a release ends."""
    queued = await platform.plane.deploys.roll_back(
        "shop", "production", to_release=number, by="ada"
    )
    return (await platform.finish(queued.id)).state


async def test_what_can_be_rolled_back_to_stays_and_the_rest_goes(platform: Platform) -> None:
    deploys = await deployed(platform, 5)
    await settled(platform)
    kept, gone = deploys[2:], deploys[:2]
    assert await build_states(platform, gone) == [BuildState.GONE] * 2
    assert await build_states(platform, kept) == [BuildState.READY] * 3
    assert len(platform.machine.artifacts) == 3
    assert set(platform.machine.snapshots) == {deploy.source_digest for deploy in kept}
    assert await FakeWorkshop(platform.machine).folders() == frozenset()
    built = platform.machine.builds_run
    for number in (3, 4, 5):
        assert await roll_back(platform, number) is DeployState.SUCCEEDED
    assert platform.machine.builds_run == built
    with pytest.raises(UserError) as caught:
        await roll_back(platform, 2)
    assert caught.value.code == "rollback.gone"


async def test_a_disk_that_is_nearly_full_costs_every_release_but_the_next_rollback(
    platform: Platform,
) -> None:
    deploys = await deployed(platform, 4)
    platform.machine.free_share = 0.05
    await settled(platform)
    assert await build_states(platform, deploys) == [
        BuildState.GONE, BuildState.GONE, BuildState.READY, BuildState.READY,
    ]  # fmt: skip
    assert await roll_back(platform, 3) is DeployState.SUCCEEDED
    await settled(platform)
    assert await roll_back(platform, 4) is DeployState.SUCCEEDED, "the live one is no longer 4"


async def test_a_tree_that_was_deleted_is_built_anew(platform: Platform) -> None:
    first, *_ = await deployed(platform, 4)
    await settled(platform)
    again = await platform.finish((await platform.request(source(platform, 1))).id)
    assert (again.state, again.build != first.build) == (DeployState.SUCCEEDED, True)
    assert platform.machine.builds_run == 5


async def test_an_upload_has_an_hour_until_a_deploy_names_it(platform: Platform) -> None:
    (live,) = await deployed(platform, 1)
    waiting = source(platform, 2)
    await platform.plane.retention.once()
    platform.machine.pass_time(HOUR_S - 1)
    late = source(platform, 3)
    await platform.plane.retention.once()
    assert set(platform.machine.snapshots) == {live.source_digest, waiting, late}
    queued = await platform.request(waiting)
    platform.machine.pass_time(1.0)
    await platform.plane.retention.once()
    assert set(platform.machine.snapshots) == {live.source_digest, waiting, late}
    platform.machine.pass_time(HOUR_S)
    await platform.plane.retention.once()
    assert set(platform.machine.snapshots) == {live.source_digest, waiting}
    assert (await platform.finish(queued.id)).state is DeployState.SUCCEEDED


async def test_an_artifact_that_no_build_knows_goes_after_an_hour(platform: Platform) -> None:
    await deployed(platform, 1)
    (known,) = platform.machine.artifacts
    platform.machine.artifacts["stray"] = platform.machine.artifacts[known]
    await platform.plane.retention.once()
    platform.machine.pass_time(HOUR_S - 1)
    await platform.plane.retention.once()
    assert set(platform.machine.artifacts) == {known, "stray"}
    platform.machine.pass_time(1.0)
    await platform.plane.retention.once()
    assert set(platform.machine.artifacts) == {known}


async def test_an_artifact_goes_with_the_last_build_that_made_it(platform: Platform) -> None:
    deploys = await deployed(platform, 4)
    async with platform.database.transaction() as session:
        live = await builds.get(session, deploys[3].build or "")
        # As when a tree differs in a file that does not get into the artifact.
        await session.execute(
            "UPDATE builds SET artifact_digest = %(digest)s WHERE id = %(id)s",
            {"digest": live.artifact_digest, "id": deploys[0].build},
        )
    await platform.plane.retention.once()
    assert await build_states(platform, deploys[:1]) == [BuildState.GONE]
    assert live.artifact_digest in platform.machine.artifacts


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_between_the_record_and_the_deletion(platform: Platform, after: bool) -> None:
    deploys = await deployed(platform, 4)
    platform.boot(Crasher(platform.database, at=1, after=after))
    with pytest.raises(CrashError):
        await platform.plane.retention.once()
    assert len(platform.machine.artifacts) == 4, "nothing is deleted before it is recorded"
    expected = BuildState.GONE if after else BuildState.READY
    assert await build_states(platform, deploys[:1]) == [expected]
    platform.boot(platform.database)
    await settled(platform)
    assert await build_states(platform, deploys[:1]) == [BuildState.GONE]
    assert len(platform.machine.artifacts) == 3, "and what was recorded is deleted in the end"


async def test_a_deploy_keeps_what_it_works_with(platform: Platform) -> None:
    await deployed(platform, 1)
    deploy = await platform.request(source(platform, 2))
    retention = platform.plane.retention
    while not (found := await platform.get(deploy.id)).state.ended:
        await retention.once()
        if found.release is None:
            # An hour after every look, in which no control plane runs and the deploy cannot be late.
            platform.machine.pass_time(HOUR_S)
            await retention.once()
            platform.boot(platform.database)
        await platform.tick()
    assert (found.state, found.error) == (DeployState.SUCCEEDED, None)


async def test_records_of_ended_processes_are_kept_for_three_days(platform: Platform) -> None:
    (live,) = await deployed(platform, 1)
    tasks = {f"build-{live.build}", f"test-{live.build}", live.migrate_task}
    running = set(platform.machine.running_instances())
    platform.machine.pass_time(3 * DAY_S - HOUR_S)
    await platform.plane.retention.once()
    assert tasks <= set(platform.machine.processes)
    platform.machine.pass_time(2 * HOUR_S)
    await platform.plane.retention.once()
    assert not tasks & set(platform.machine.processes)
    assert running == set(platform.machine.running_instances()), "what runs is nobody's record"


async def test_logs_are_kept_within_bounds(platform: Platform) -> None:
    await deployed(platform, 1)
    chatty = platform.machine.running_instances()[0]
    platform.machine.say(chatty, ("x" * 999 + "\n") * 21_000)
    await platform.plane.retention.once()
    assert len(platform.machine.processes[chatty].log) <= 20_000_000


async def test_tokens_that_have_expired_are_forgotten(platform: Platform) -> None:
    by = Caller("ada", Role.OWNER)
    await platform.plane.accounts.api_token(label="laptop", role=Role.VIEWER, days=1, by=by)
    await platform.plane.accounts.api_token(label="ci", role=Role.VIEWER, days=365, by=by)

    async def labels() -> list[object]:
        async with platform.database.transaction() as session:
            return [row["label"] for row in await session.rows("SELECT label FROM tokens")]

    await platform.plane.retention.once()
    assert sorted(map(str, await labels())) == ["ci", "laptop"]
    platform.machine.pass_time(timedelta(days=40).total_seconds())
    await platform.plane.retention.once()
    assert await labels() == ["ci"]
