"""Deploys on a machine of glass: every way that a deploy can end, and what is left behind."""

import random
from dataclasses import replace

import pytest

from gantry.engines.assets.protocol import of_scope
from gantry.engines.database.postgres import PostgresState
from gantry.engines.edge.protocol import Assets
from gantry.features.deploys.model import Deploy, DeployState, Step
from gantry.features.projects import store as projects
from gantry.features.releases.model import ReleaseState
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import UserError
from gantry.kernel.ids import SeededIds
from tests.fakes.machine import Machine
from tests.fakes.programs import Program
from tests.sim.platform import HOST, MANIFEST, Platform, program


@pytest.fixture
def platform(state: PostgresState) -> Platform:
    machine = Machine(ManualClock(), random.Random(1))
    return Platform(state, machine, SeededIds(1))


async def test_the_first_deploy_goes_live(platform: Platform) -> None:
    deploy = await platform.request(platform.sources.put(program()))
    ended = await platform.finish(deploy.id)
    assert (ended.state, ended.error) == (DeployState.SUCCEEDED, None)
    assert platform.machine.visit(HOST) == (200, ended.release)


async def test_the_next_deploy_replaces_it_and_a_rollback_brings_it_back(
    platform: Platform,
) -> None:
    first = await platform.finish((await platform.request(platform.sources.put(program("1")))).id)
    second = await platform.finish((await platform.request(platform.sources.put(program("2")))).id)
    assert second.state is DeployState.SUCCEEDED
    assert platform.machine.visit(HOST) == (200, second.release)
    back = await platform.plane.deploys.roll_back("shop", "production", to_release=None, by="ada")
    done = await platform.finish(back.id, ticks=20)
    assert done.state is DeployState.SUCCEEDED
    assert platform.machine.visit(HOST) == (200, first.release)


async def test_the_same_tree_is_built_once(platform: Platform) -> None:
    source = platform.sources.put(program())
    first = await platform.finish((await platform.request(source)).id)
    second = await platform.finish((await platform.request(source)).id)
    assert platform.machine.builds_run == 1
    assert first.build == second.build
    assert first.release != second.release


async def test_promotion_builds_nothing(platform: Platform) -> None:
    staged = await platform.finish(
        (await platform.request(platform.sources.put(program()), "staging")).id
    )
    promoted = await platform.plane.deploys.promote(
        "shop", "production", from_environment="staging", by="ada"
    )
    done = await platform.finish(promoted.id)
    assert done.state is DeployState.SUCCEEDED
    assert done.build == staged.build
    assert platform.machine.builds_run == 1
    assert len(platform.machine.databases) == 2, "each environment has a database of its own"
    # staging runs one instance, production two
    assert len(platform.machine.running_instances()) == 3


@pytest.mark.parametrize(
    ("how", "step", "code"),
    [
        ({"build": "fail"}, Step.BUILD, "build.command-failed"),
        ({"build": "oom"}, Step.BUILD, "build.out-of-memory"),
        ({"build": "hang"}, Step.BUILD, "build.timeout"),
        ({"build": "stuck"}, Step.BUILD, "build.timeout"),
        ({"test": "fail"}, Step.TEST, "test.failed"),
        ({"migrate": "fail"}, Step.MIGRATE, "migrate.failed"),
        ({"migrate": "hang"}, Step.MIGRATE, "migrate.timeout"),
        ({"migrate": "stuck"}, Step.MIGRATE, "migrate.timeout"),
        ({"web": "never-healthy"}, Step.HEALTHY, "health.never-passed"),
        ({"web": "crash"}, Step.HEALTHY, "start.crash-loop"),
        ({"web": "wrong"}, Step.SMOKE, "smoke.failed"),
    ],
)
async def test_a_bad_release_never_reaches_visitors(
    platform: Platform, how: dict[str, str], step: Step, code: str
) -> None:
    good = await platform.finish((await platform.request(platform.sources.put(program()))).id)
    bad = await platform.request(platform.sources.put(program("bad", **how)))
    visits = set()
    while not (ended := await platform.get(bad.id)).state.ended:
        await platform.tick(1.0)
        visits.add(platform.machine.visit(HOST))
    assert (ended.state, ended.step) == (DeployState.FAILED, step)
    assert ended.error is not None and ended.error["code"] == code
    assert ended.error["message"] and ended.error["hint"] is not None
    assert visits == {(200, good.release)}
    for _ in range(300):
        if len(platform.machine.running_instances()) == 2:
            break
        await platform.tick(1.0)
    assert len(platform.machine.running_instances()) == 2, "the bad release's instances are gone"


async def live_release(platform: Platform) -> str | None:
    async with platform.state.transaction() as session:
        return (await projects.get_environment(session, "shop", "production")).live_release


async def fail_at_the_switch(platform: Platform, source: str) -> Deploy:
    """A deploy whose switch is recorded, and from then on the edge takes nothing."""
    deploy = await platform.request(source)
    while (release := await live_release(platform)) is None or release != deploy.release:
        await platform.tick()
        deploy = await platform.get(deploy.id)
    platform.machine.faults.refuse = 1.0
    while not (ended := await platform.get(deploy.id)).state.ended:
        await platform.tick(1.0)
    platform.machine.faults.refuse = 0.0
    for _ in range(60):
        await platform.tick(1.0)
    assert (ended.state, ended.step) == (DeployState.FAILED, Step.SWITCH)
    assert ended.release and (await platform.release(ended.release)).state is ReleaseState.FAILED
    return ended


async def test_a_first_release_whose_switch_fails_leaves_nothing_live(platform: Platform) -> None:
    await fail_at_the_switch(platform, platform.sources.put(program("1")))
    assert await live_release(platform) is None
    site = next(one for one in platform.machine.edge_config.sites if HOST in one.hosts)
    assert site.backend is None, "visitors get the page that nothing is live yet"
    with pytest.raises(UserError, match="no earlier release"):
        await platform.plane.deploys.roll_back("shop", "production", to_release=None, by="ada")
    next_one = platform.sources.put(program("2"))
    ended = await platform.finish((await platform.request(next_one)).id)
    assert (ended.state, ended.previous_release) == (DeployState.SUCCEEDED, None)
    assert platform.machine.visit(HOST) == (200, ended.release)


async def test_a_release_whose_switch_failed_is_not_what_a_rollback_returns_to(
    platform: Platform,
) -> None:
    good = await platform.finish((await platform.request(platform.sources.put(program("1")))).id)
    await fail_at_the_switch(platform, platform.sources.put(program("2")))
    assert platform.machine.visit(HOST) == (200, good.release)
    with pytest.raises(UserError, match="no earlier release"):
        await platform.plane.deploys.roll_back("shop", "production", to_release=None, by="ada")


async def test_a_rollback_to_what_is_live_takes_nothing_away_when_it_fails(
    platform: Platform,
) -> None:
    source = platform.sources.put(program("1"))
    first = await platform.finish((await platform.request(source)).id)
    await platform.finish((await platform.request(platform.sources.put(program("2")))).id)
    both = [
        await platform.plane.deploys.roll_back("shop", "production", to_release=1, by="ada")
        for _ in range(2)
    ]
    assert (await platform.finish(both[0].id)).state is DeployState.SUCCEEDED
    platform.machine.programs[source] = program("1", web="never-healthy")
    failed = await platform.finish(both[1].id)
    assert (failed.state, failed.step) == (DeployState.FAILED, Step.HEALTHY)
    assert await live_release(platform) == first.release
    platform.machine.programs[source] = program("1")
    await platform.tick()
    assert platform.machine.visit(HOST) == (200, first.release)


async def test_missing_variables_stop_a_deploy_before_the_build(platform: Platform) -> None:
    manifest = MANIFEST + '[variables]\nrequired = ["SESSION_SECRET", "DATABASE_URL"]\n'
    source = platform.sources.put(Program(manifest=manifest))
    ended = await platform.finish((await platform.request(source)).id)
    assert ended.step is Step.SOURCE
    assert ended.error is not None and ended.error["code"] == "variable.missing"
    assert "SESSION_SECRET" in ended.error["message"]
    assert "DATABASE_URL" not in ended.error["message"], "the service provides it"
    assert platform.machine.builds_run == 0
    await platform.plane.variables.change(
        "shop", "production", put={"SESSION_SECRET": "s3cret!"}, remove=(), by="ada"
    )
    assert (await platform.finish((await platform.request(source)).id)).error is None


@pytest.mark.parametrize("ticks", range(0, 60, 3))
async def test_cancel_works_at_any_moment(platform: Platform, ticks: int) -> None:
    good = await platform.finish((await platform.request(platform.sources.put(program()))).id)
    deploy = await platform.request(platform.sources.put(program("next")))
    for _ in range(ticks):
        await platform.tick()
    if not (await platform.get(deploy.id)).state.ended:
        await platform.plane.deploys.cancel(deploy.id, by="ada")
    ended = await platform.finish(deploy.id, ticks=100)
    expected = good.release if ended.state is DeployState.CANCELLED else ended.release
    assert ended.state in (DeployState.CANCELLED, DeployState.SUCCEEDED)
    assert platform.machine.visit(HOST) == (200, expected)


async def test_a_fault_that_does_not_pass_ends_the_deploy_with_its_words(
    platform: Platform,
) -> None:
    platform.machine.faults.refuse = 1.0
    deploy = await platform.request(platform.sources.put(program()))
    for _ in range(100):
        await platform.tick(0.1)
    waiting = await platform.get(deploy.id)
    assert waiting.state is DeployState.ACTIVE, "a fault may pass"
    words = platform.plane.backoff.waits[deploy.id].message
    assert words.startswith("waits: build_task was refused; next try in")
    ended = await platform.finish(deploy.id)
    assert ended.state is DeployState.FAILED
    assert ended.error is not None
    assert ended.error["code"] == "build.low-memory"
    assert deploy.id not in platform.plane.backoff.waits


async def test_time_without_a_control_plane_is_not_held_against_a_candidate(
    platform: Platform,
) -> None:
    deploy = await platform.request(platform.sources.put(program()))
    for _ in range(200):
        await platform.tick()
        if (await platform.get(deploy.id)).step is Step.HEALTHY:
            break
    assert (await platform.get(deploy.id)).step is Step.HEALTHY
    platform.machine.pass_time(300.0)
    platform.boot(platform.state)
    assert (await platform.finish(deploy.id)).state is DeployState.SUCCEEDED


async def test_a_fault_that_passes_ends_nothing(platform: Platform) -> None:
    platform.machine.faults.refuse = 1.0
    deploy = await platform.request(platform.sources.put(program()))
    for _ in range(100):
        await platform.tick(0.1)
    platform.machine.faults.refuse = 0.0
    assert (await platform.finish(deploy.id)).state is DeployState.SUCCEEDED


async def test_a_domain_of_another_environment_is_refused(platform: Platform) -> None:
    def with_domain(environment: str) -> str:
        section = f"[environments.{environment}]"
        changed = MANIFEST.replace(section, f'{section}\ndomains = ["example.org"]')
        return platform.sources.put(Program(manifest=changed))

    first = await platform.finish((await platform.request(with_domain("production"))).id)
    second = await platform.request(with_domain("staging"), "staging")
    ended = await platform.finish(second.id)
    assert ended.error is not None
    assert ended.error["code"] == "domain.taken"
    for _ in range(10):
        await platform.tick()
    assert platform.machine.visit("example.org") == (200, first.release)


async def test_deploys_of_one_environment_queue(platform: Platform) -> None:
    first = await platform.request(platform.sources.put(program("1")))
    second = await platform.request(platform.sources.put(program("2")))
    await platform.tick()
    assert (await platform.get(first.id)).state is DeployState.ACTIVE
    assert (await platform.get(second.id)).state is DeployState.QUEUED
    ended = await platform.finish(second.id)
    assert platform.machine.visit(HOST) == (200, ended.release)


async def test_killed_instances_come_back_at_once(platform: Platform) -> None:
    ended = await platform.finish((await platform.request(platform.sources.put(program()))).id)
    for _ in range(30):
        victim = platform.machine.chance.choice(platform.machine.running_instances())
        platform.machine.kill(victim)
        for _ in range(10):
            await platform.tick()
            assert platform.machine.visit(HOST) == (200, ended.release)
    assert len(platform.machine.running_instances()) == 2


async def test_after_a_reboot_everything_runs_again(platform: Platform) -> None:
    ended = await platform.finish((await platform.request(platform.sources.put(program()))).id)
    platform.machine.reboot()
    assert platform.machine.visit(HOST)[0] == 0
    platform.boot(platform.state)
    for _ in range(20):
        await platform.tick()
    assert platform.machine.visit(HOST) == (200, ended.release)
    assert len(platform.machine.running_instances()) == 2


async def test_old_releases_stop_and_the_one_before_stays_warm(platform: Platform) -> None:
    for number in range(5):
        made = program(str(number))
        unprotected = f'{made.manifest}[deploy]\nskew_protection = "0s"\n'
        source = platform.sources.put(replace(made, manifest=unprotected))
        await platform.finish((await platform.request(source)).id)
    for _ in range(90):
        await platform.tick(1.0)
    assert len(platform.machine.running_instances()) == 4, "the live one and the one before"
    for _ in range(600):
        await platform.tick(1.0)
    assert len(platform.machine.running_instances()) == 2


async def test_older_releases_run_on_for_their_pages(platform: Platform) -> None:
    for number in range(5):
        source = platform.sources.put(program(str(number)))
        await platform.finish((await platform.request(source)).id)
    for _ in range(90):
        await platform.tick(1.0)
    assert len(platform.machine.running_instances()) == 8, "the live one and three before it"
    for _ in range(600):
        await platform.tick(1.0)
    assert len(platform.machine.running_instances()) == 2, "nobody asked for them"


async def test_the_asset_store_has_what_visitors_may_still_ask_for(platform: Platform) -> None:
    first = await platform.finish((await platform.request(platform.sources.put(program()))).id)
    source = platform.sources.put(program("second"))
    second = await platform.finish((await platform.request(source)).id)
    await platform.tick()
    status = await platform.assets.status()
    assert first.build and second.build
    assert status.scopes == {second.environment: (second.build, first.build)}
    site = next(one for one in platform.machine.edge_config.sites if HOST in one.hosts)
    assert site.assets == Assets(of_scope(second.environment), ("/_next/static",))
    # A control plane that has just begun does not take the files away until it has looked.
    before = platform.machine.edge_config
    platform.boot(platform.state)
    await platform.plane.reconciler.once()
    assert platform.machine.edge_config == before
    await platform.tick()
    assert platform.machine.edge_config == before
