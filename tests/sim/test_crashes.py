"""SIGKILL of the control plane at every commit, before and after it: the deploy ends, and visitors notice nothing."""

import random
from contextlib import suppress
from dataclasses import replace

import pytest

from gantry.features.deploys.model import Deploy, DeployState, Step
from gantry.features.rollouts.model import RolloutState
from tests.fakes.machine import Faults
from tests.sim.platform import HOST, Crasher, CrashError, Platform, program

# Of a deploy to an environment that has a release.
_COMMITS = 26


async def _crash_at(platform: Platform, crasher: Crasher, deploy_id: str) -> bool:
    """Go on until the control plane dies or the deploy ends; whether it died."""
    platform.boot(crasher)
    with suppress(CrashError):
        await platform.finish(deploy_id)
    return crasher.crashed


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, _COMMITS + 1))
async def test_a_crash_at_a_commit(live: Platform, at: int, after: bool) -> None:
    platform = live
    platform.machine.chance.seed(at)
    deploy = await platform.request(platform.sources.put(program("2")))
    builds = platform.machine.builds_run
    crasher = Crasher(platform.database, at=at, after=after)
    died = await _crash_at(platform, crasher, deploy.id)
    assert died == (crasher.commits >= at)
    assert platform.machine.visit(HOST)[0] == 200, "the edge serves without a control plane"
    platform.boot(platform.database)
    ended = await platform.finish(deploy.id)
    assert ended.state is DeployState.SUCCEEDED, ended.error
    assert platform.machine.visit(HOST) == (200, ended.release)
    assert platform.machine.builds_run == builds + 1, "the build is not repeated"
    migrations = [one for one in platform.machine.spawned if one == deploy.migrate_task]
    assert len(migrations) == 1, "what ran to its end is not run again"


async def test_every_commit_of_a_deploy_is_covered(live: Platform) -> None:
    deploy = await live.request(live.sources.put(program("2")))
    crasher = Crasher(live.database)
    assert not await _crash_at(live, crasher, deploy.id)
    assert crasher.commits == _COMMITS


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 7))
async def test_a_crash_at_a_commit_of_a_promotion_that_builds_anew(
    live: Platform, at: int, after: bool
) -> None:
    platform = live
    platform.machine.chance.seed(at)
    staging = {"NX_PUBLIC_API": "https://api.staging"}
    await platform.plane.variables.change("shop", "staging", put=staging, remove=(), by="ada")
    source = platform.sources.put(program("2"))
    staged = await platform.finish((await platform.request(source, "staging")).id)
    promoted = await platform.plane.deploys.promote(
        "shop", "production", from_environment="staging", by="ada"
    )
    builds = platform.machine.builds_run
    assert await _crash_at(platform, Crasher(platform.database, at=at, after=after), promoted.id)
    platform.boot(platform.database)
    ended = await platform.finish(promoted.id)
    assert ended.state is DeployState.SUCCEEDED, ended.error
    assert ended.build != staged.build
    assert platform.machine.builds_run == builds + 1, "production's own values are built once"


CANARY = """
[deploy]
strategy = "canary"
steps = [{ percent = 5, time = "1s" }, { percent = 50, time = "1s" }]
"""
# The rollout lies between these commits of such a deploy; those before are those of any deploy.
_FIRST, _LAST = 17, 36


async def _canary(platform: Platform) -> Deploy:
    source = program("2")
    source = replace(source, manifest=source.manifest + CANARY)
    return await platform.request(platform.sources.put(source))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(_FIRST, _LAST + 1))
async def test_a_crash_at_a_commit_of_a_canary(live: Platform, at: int, after: bool) -> None:
    platform = live
    platform.machine.chance.seed(at)
    deploy = await _canary(platform)
    crasher = Crasher(platform.database, at=at, after=after)
    assert await _crash_at(platform, crasher, deploy.id)
    platform.boot(platform.database)
    ended = await platform.finish(deploy.id)
    assert ended.state is DeployState.SUCCEEDED, ended.error
    assert platform.machine.visit(HOST) == (200, ended.release)
    service = platform.plane.rollouts
    assert (await service.latest("shop", "production")).state is RolloutState.PASSED


async def test_every_commit_of_a_canary_is_covered(live: Platform) -> None:
    platform = live
    deploy = await _canary(platform)
    crasher = Crasher(platform.database)
    begun = 0
    platform.boot(crasher)
    while not (found := await platform.get(deploy.id)).state.ended:
        if found.step is Step.ROLLOUT and not begun:
            begun = crasher.commits
        await platform.tick()
    assert begun >= _FIRST - 2, f"the rollout begins at commit {begun}"
    assert crasher.commits >= _LAST, f"there are {crasher.commits} commits"


@pytest.mark.parametrize("seed", range(12))
async def test_a_storm_of_faults(live: Platform, seed: int) -> None:
    """Lost replies, refusals, killed instances and control planes, in an order drawn from the seed."""
    platform, chance = live, random.Random(seed)
    platform.machine.chance.seed(seed)
    platform.machine.faults = Faults(lose_reply=0.1, refuse=0.1)
    _, serving = platform.machine.visit(HOST)
    for number in range(4):
        how = chance.choice([{}, {}, {"web": "crash"}, {"migrate": "fail"}, {"build": "fail"}])
        deploy = await platform.request(platform.sources.put(program(f"s{number}", **how)))
        for _ in range(3_000):
            await platform.tick(chance.choice([0.05, 0.2, 1.0]))
            if chance.random() < 0.05:
                platform.boot(platform.database)
            running = platform.machine.running_instances()
            answering = [key for key in running if _is_up(platform, key)]
            if chance.random() < 0.1 and len(answering) > 2:
                platform.machine.kill(chance.choice(answering))
            status, _ = platform.machine.visit(HOST)
            assert status == 200 or not _has_healthy(platform, serving), (number, status)
            if (await platform.get(deploy.id)).state.ended:
                break
        found = await platform.get(deploy.id)
        assert found.state.ended, f"stuck at {found.step}"
        if found.state is DeployState.SUCCEEDED:
            assert not how, how
            serving = found.release or ""
        platform.machine.faults = Faults()
        for _ in range(50):
            await platform.tick()
        assert platform.machine.visit(HOST) == (200, serving)
        platform.machine.faults = Faults(lose_reply=0.1, refuse=0.1)


def _is_up(platform: Platform, instance_id: str) -> bool:
    port = int(platform.machine.processes[instance_id].spec.env["PORT"])
    return platform.machine.answer(port, "/") == 200


def _has_healthy(platform: Platform, release: str | None) -> bool:
    return any(
        platform.machine.processes[key].spec.env["GANTRY_RELEASE"] == release
        and _is_up(platform, key)
        for key in platform.machine.running_instances()
    )
