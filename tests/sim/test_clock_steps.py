"""The machine's clock is set: recorded times follow at once, and nothing that waits is hours off."""

import random
from datetime import timedelta

import pytest

from gantry.engines.database.postgres import PostgresDatabase
from gantry.features.audit import store as audit
from gantry.features.deploys.model import DeployState, Step
from gantry.features.releases.model import ReleaseState
from gantry.kernel.clock import ManualClock
from gantry.kernel.ids import SeededIds
from tests.fakes.machine import Machine
from tests.sim.platform import Platform, program

HOUR_S = 3600.0


@pytest.fixture
def platform(database: PostgresDatabase) -> Platform:
    return Platform(database, Machine(ManualClock(), random.Random(1)), SeededIds(1))


@pytest.mark.parametrize("step_s", [2 * HOUR_S, -2 * HOUR_S, 20 * HOUR_S])
@pytest.mark.parametrize("at", [Step.BUILD, Step.HEALTHY])
async def test_a_deploy_goes_on_as_if_nothing_had_happened(
    platform: Platform, at: Step, step_s: float
) -> None:
    deploy = await platform.request(platform.sources.put(program()))
    while (await platform.get(deploy.id)).step is not at:
        await platform.tick()
    platform.machine.clock.jump(step_s)
    if at is Step.BUILD:
        platform.boot(platform.database)  # also over a restart
    ended = await platform.finish(deploy.id)
    assert (ended.state, ended.error) == (DeployState.SUCCEEDED, None)
    assert ended.finished_at is not None
    now = platform.machine.clock.now()
    assert abs(ended.finished_at - now) < timedelta(seconds=5), "recorded by the machine's clock"
    async with platform.database.transaction() as session:
        release = await platform.release(ended.release or "")
        entries = await audit.latest(session, limit=10)
    assert release.live_at is not None
    assert abs(release.live_at - now) < timedelta(seconds=5)
    assert entries


@pytest.mark.parametrize("step_s", [20 * HOUR_S, -20 * HOUR_S])
async def test_what_is_kept_warm_stays_warm(platform: Platform, step_s: float) -> None:
    first = await platform.finish((await platform.request(platform.sources.put(program()))).id)
    second = await platform.request(platform.sources.put(program("second")))
    assert (await platform.finish(second.id)).state is DeployState.SUCCEEDED
    platform.machine.clock.jump(step_s)
    for _ in range(50):
        await platform.tick()
    assert (await platform.release(first.release or "")).state is ReleaseState.RUNNING


async def test_a_hung_start_still_fails_after_its_deadline(platform: Platform) -> None:
    source = platform.sources.put(program(web="never-healthy"))
    deploy = await platform.request(source)
    while (await platform.get(deploy.id)).step is not Step.HEALTHY:
        await platform.tick()
    platform.machine.clock.jump(-2 * HOUR_S)
    begun_s = platform.machine.clock.monotonic_s()
    ended = await platform.finish(deploy.id)
    assert ended.error is not None
    assert ended.error["code"] == "health.never-passed"
    assert platform.machine.clock.monotonic_s() - begun_s < 15, "ten seconds, and not two hours"
