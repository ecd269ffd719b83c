"""Deploys on a machine of glass: every way that a deploy can end, and what is left behind."""

import random
from dataclasses import replace

import pytest

from gantry.engines.assets.protocol import of_scope
from gantry.engines.database.postgres import PostgresDatabase
from gantry.engines.edge.protocol import Assets
from gantry.features.deploys import store as deploys
from gantry.features.deploys.model import Deploy, DeployState, Step, StepState
from gantry.features.projects import store as projects
from gantry.features.releases.model import ReleaseState
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import UserError
from gantry.kernel.ids import SeededIds
from tests.fakes.machine import Machine
from tests.fakes.programs import Program
from tests.sim.platform import HOST, MANIFEST, Platform, program
from tests.support.names import BAD
from tests.support.stories import T0


@pytest.fixture
def platform(database: PostgresDatabase) -> Platform:
    machine = Machine(ManualClock(), random.Random(1))
    return Platform(database, machine, SeededIds(1))


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


async def _promoted(platform: Platform, *, to: dict[str, str]) -> tuple[Deploy, Deploy]:
    """What was built for staging, which has one value, and what went live in production, which has `to`."""
    change = platform.plane.variables.change
    staging = {"NX_PUBLIC_API": "https://api.staging", "PASSWORD": "s"}
    await change("shop", "staging", put=staging, remove=(), by="ada")
    await change("shop", "production", put={"PASSWORD": "p"} | to, remove=(), by="ada")
    staged = await platform.finish(
        (await platform.request(platform.sources.put(program()), "staging")).id
    )
    promoted = await platform.plane.deploys.promote(
        "shop", "production", from_environment="staging", by="ada"
    )
    return staged, await platform.finish(promoted.id)


async def test_a_secret_of_the_environment_s_own_changes_no_build(platform: Platform) -> None:
    staged, done = await _promoted(platform, to={"NX_PUBLIC_API": "https://api.staging"})
    assert (done.state, done.build) == (DeployState.SUCCEEDED, staged.build)
    assert platform.machine.builds_run == 1
    steps = {step.name: step for step in await platform.steps(done.id)}
    assert "built anew" not in steps[Step.SOURCE].detail
    assert steps[Step.BUILD].state is steps[Step.TEST].state is StepState.SKIPPED


@pytest.mark.parametrize("value", ["https://api", ""], ids=["another value", "empty"])
async def test_public_values_of_the_environment_s_own_are_built_into_its_pages(
    platform: Platform, value: str
) -> None:
    staged, done = await _promoted(platform, to={"NX_PUBLIC_API": value})
    assert done.state is DeployState.SUCCEEDED
    assert done.build != staged.build
    assert platform.machine.builds_run == 2
    steps = {step.name: step for step in await platform.steps(done.id)}
    assert steps[Step.SOURCE].detail.endswith(
        "built anew: production has its own value of NX_PUBLIC_API"
    )
    assert steps[Step.BUILD].state is StepState.DONE
    again = await platform.plane.deploys.promote(
        "shop", "production", from_environment="staging", by="ada"
    )
    assert (await platform.finish(again.id)).build == done.build
    assert platform.machine.builds_run == 2, "what was built for production is still there"


async def test_a_public_value_that_the_environment_lacks_is_not_brought_from_another(
    platform: Platform,
) -> None:
    staged, done = await _promoted(platform, to={})
    assert (done.state, done.build != staged.build) == (DeployState.SUCCEEDED, True)


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
        ({"web": "missing"}, Step.HEALTHY, "start.crash-loop"),
        ({"web": "elsewhere"}, Step.HEALTHY, "health.never-passed"),
        ({"web": "wrong"}, Step.SMOKE, "smoke.failed"),
    ],
)
async def test_a_bad_release_never_reaches_visitors(
    live: Platform, how: dict[str, str], step: Step, code: str
) -> None:
    _, before = live.machine.visit(HOST)
    bad = await live.request(live.sources.put(program("bad", **how)))
    visits = set()
    while not (ended := await live.get(bad.id)).state.ended:
        await live.tick(1.0)
        visits.add(live.machine.visit(HOST))
    assert (ended.state, ended.step) == (DeployState.FAILED, step)
    assert ended.error is not None and ended.error["code"] == code
    assert ended.error["message"] and ended.error["hint"] is not None
    assert visits == {(200, before)}
    for _ in range(300):
        if len(live.machine.running_instances()) == 2:
            break
        await live.tick(1.0)
    assert len(live.machine.running_instances()) == 2, "the bad release's instances are gone"


async def live_release(platform: Platform) -> str | None:
    async with platform.database.transaction() as session:
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


def keeping_nothing_warm(note: str) -> Program:
    """A source whose release ends as soon as it may, when another one is live."""
    section = '[deploy]\nkeep_warm = "5s"\nskew_protection = "0s"\n'
    made = program(note)
    return replace(made, manifest=made.manifest + section)


async def test_a_release_serves_again_when_the_switch_away_from_it_is_never_confirmed(
    platform: Platform,
) -> None:
    source = platform.sources.put(keeping_nothing_warm("1"))
    good = await platform.finish((await platform.request(source)).id)
    platform.machine.faults.unreached = HOST
    deploy = await platform.request(platform.sources.put(keeping_nothing_warm("2")))
    visits = set()
    while not (ended := await platform.get(deploy.id)).state.ended:
        await platform.tick(1.0)
        visits.add(platform.machine.visit(HOST))
    assert (ended.state, ended.step) == (DeployState.FAILED, Step.SWITCH)
    assert visits == {(200, good.release), (200, ended.release)}, "for a while the new one served"
    assert good.release and ended.release
    for _ in range(200):
        await platform.tick(1.0)
        assert platform.machine.visit(HOST) == (200, good.release)
    assert (await platform.release(good.release)).state is ReleaseState.RUNNING
    assert (await platform.release(ended.release)).state is ReleaseState.FAILED
    platform.machine.reboot()
    platform.boot(platform.database)
    for _ in range(20):
        await platform.tick()
    assert platform.machine.visit(HOST) == (200, good.release)


async def test_a_slow_home_page_can_go_live(platform: Platform) -> None:
    manifest = MANIFEST.replace('smoke = ["/"]\n', "")
    source = platform.sources.put(Program(manifest=manifest, web="slow-home"))
    ended = await platform.finish((await platform.request(source)).id)
    assert (ended.state, ended.error) == (DeployState.SUCCEEDED, None)


async def test_a_product_without_a_web_process_goes_live(platform: Platform) -> None:
    manifest = '[project]\nname = "shop"\n[processes]\nweb = false\nworker.mail.command = "run"\n'
    source = platform.sources.put(Program(manifest=manifest))
    ended = await platform.finish((await platform.request(source)).id)
    assert (ended.state, ended.error) == (DeployState.SUCCEEDED, None)


WITH_WORKER = """
[project]
name = "shop"
[processes.web]
health = { path = "/health", start_deadline = "10s" }
[processes.worker.mail]
command = "run"
[environments.production]
"""


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"worker": "missing"}, "worker.mail.0 could not be started: there is no program"),
        ({"worker": "crash"}, "worker.mail.0 exited with 1"),
    ],
)
async def test_a_worker_that_does_not_run_fails_its_deploy_and_the_release_before_is_live_again(
    platform: Platform, how: dict[str, str], said: str
) -> None:
    good = platform.sources.put(Program(manifest=WITH_WORKER))
    first = await platform.finish((await platform.request(good)).id)
    assert first.state is DeployState.SUCCEEDED, first.error
    bad = platform.sources.put(Program(manifest=WITH_WORKER + "# bad\n", **how))
    ended = await platform.finish((await platform.request(bad)).id)
    assert (ended.state, ended.step) == (DeployState.FAILED, Step.SWITCH)
    assert ended.error is not None and ended.error["code"] == "start.crash-loop"
    assert said in ended.error["message"]
    assert await live_release(platform) == first.release


async def test_a_deploy_says_within_seconds_that_its_product_listens_elsewhere_and_keeps_its_last_lines(
    platform: Platform,
) -> None:
    elsewhere = program("1", web="elsewhere")
    deploy = await platform.request(platform.sources.put(elsewhere))
    said = "0 of 2 instances are healthy: web.0: it listens on 127.0.0.1:3099, not on $PORT"
    began = None
    while said not in platform.plane.answers.waiting.get(deploy.id, ""):
        now = await platform.get(deploy.id)
        assert not now.state.ended, now.error
        if now.step is Step.HEALTHY and began is None:
            began = platform.machine.now_s
        await platform.tick(0.1)
    assert began is not None and platform.machine.now_s - began < 4
    ended = await platform.finish(deploy.id)
    assert ended.error is not None
    assert "it listens on 127.0.0.1:3099" in ended.error["message"]
    assert ended.error["last_lines"] == "listening on 3099"
    assert deploy.id not in platform.plane.answers.waiting


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


def requiring_variables() -> Program:
    """A source that needs a variable by its `.env.example`, and two by its manifest, of which a service provides one."""
    required = '[variables]\nrequired = ["API_KEY", "DATABASE_URL"]\n'
    return Program(manifest=MANIFEST + required, env_example="SESSION_SECRET=\n")


async def set_variables(platform: Platform, environment: str, *names: str) -> None:
    await platform.plane.variables.change(
        "shop", environment, put=dict.fromkeys(names, "s3cret!"), remove=(), by="ada"
    )


def lacks(environment: str, *names: str) -> pytest.RaisesExc[UserError]:
    """The refusal that names the variables and how to set them."""

    def says_so(error: UserError) -> bool:
        return (
            error.code == "variable.missing"
            and error.message
            == f"{environment} of shop lacks required variables: {', '.join(names)}"
            and error.hint == f"gantry env set {' '.join(names)} -e {environment}"
        )

    return pytest.RaisesExc(UserError, check=says_so)


async def deploys_of(platform: Platform, environment: str) -> tuple[Deploy, ...]:
    async with platform.database.transaction() as session:
        found = await projects.find_environment(session, "shop", environment)
        return await deploys.list_for_environment(session, found.id) if found else ()


async def test_missing_variables_stop_a_deploy_before_the_queue(platform: Platform) -> None:
    source = platform.sources.put(requiring_variables())
    with lacks("production", "API_KEY", "SESSION_SECRET"):
        await platform.request(source)
    async with platform.database.transaction() as session:
        assert await projects.find_project(session, "shop") is None, "a refusal makes nothing"
    await set_variables(platform, "production", "API_KEY")
    with lacks("production", "SESSION_SECRET"):
        await platform.request(source)
    assert await deploys_of(platform, "production") == ()
    await set_variables(platform, "production", "SESSION_SECRET")
    assert (await platform.finish((await platform.request(source)).id)).error is None


async def test_missing_variables_stop_a_promotion(platform: Platform) -> None:
    source = platform.sources.put(requiring_variables())
    await set_variables(platform, "staging", "API_KEY", "SESSION_SECRET")
    await platform.finish((await platform.request(source, "staging")).id)

    async def promote() -> Deploy:
        return await platform.plane.deploys.promote(
            "shop", "production", from_environment="staging", by="ada"
        )

    with lacks("production", "API_KEY", "SESSION_SECRET"):
        await promote()
    assert await deploys_of(platform, "production") == ()
    await set_variables(platform, "production", "API_KEY", "SESSION_SECRET")
    assert (await platform.finish((await promote()).id)).error is None


@pytest.mark.parametrize("kind", ["deploy", "promote"])
async def test_a_variable_that_is_taken_away_while_a_deploy_waits_stops_it(
    platform: Platform, kind: str
) -> None:
    source = platform.sources.put(requiring_variables())
    for environment in ("staging", "production"):
        await set_variables(platform, environment, "API_KEY", "SESSION_SECRET")
    await platform.finish((await platform.request(source, "staging")).id)
    queued = await (
        platform.request(source)
        if kind == "deploy"
        else platform.plane.deploys.promote(
            "shop", "production", from_environment="staging", by="ada"
        )
    )
    await platform.plane.variables.change(
        "shop", "production", put={}, remove=("SESSION_SECRET",), by="ada"
    )
    ended = await platform.finish(queued.id)
    assert (ended.state, ended.step) == (DeployState.FAILED, Step.SOURCE)
    assert ended.error is not None and ended.error["code"] == "variable.missing"
    assert "SESSION_SECRET" in ended.error["message"]
    assert platform.machine.visit(HOST)[0] == 503


async def test_a_variable_that_is_taken_away_during_the_build_stops_its_deploy(
    platform: Platform,
) -> None:
    await set_variables(platform, "production", "API_KEY", "SESSION_SECRET")
    deploy = await platform.request(platform.sources.put(requiring_variables()))
    while (await platform.get(deploy.id)).step is not Step.BUILD:
        await platform.tick()
    await platform.plane.variables.change(
        "shop", "production", put={}, remove=("API_KEY",), by="ada"
    )
    ended = await platform.finish(deploy.id)
    assert (ended.state, ended.step) == (DeployState.FAILED, Step.RELEASE)
    assert ended.error is not None and ended.error["code"] == "variable.missing"


async def test_a_rollback_has_the_variables_that_its_release_was_made_with(
    platform: Platform,
) -> None:
    first = await platform.finish((await platform.request(platform.sources.put(program("1")))).id)
    await set_variables(platform, "production", "API_KEY", "SESSION_SECRET")
    source = platform.sources.put(requiring_variables())
    await platform.finish((await platform.request(source)).id)
    # Neither what the newer source requires nor what is set now is a reason to stay where one is.
    await platform.plane.variables.change(
        "shop", "production", put={}, remove=("API_KEY", "SESSION_SECRET"), by="ada"
    )
    back = await platform.plane.deploys.roll_back("shop", "production", to_release=None, by="ada")
    assert (await platform.finish(back.id)).state is DeployState.SUCCEEDED
    assert platform.machine.visit(HOST) == (200, first.release)
    again = await platform.plane.deploys.roll_back("shop", "production", to_release=2, by="ada")
    assert (await platform.finish(again.id)).state is DeployState.SUCCEEDED


@pytest.mark.parametrize("ticks", range(0, 40, 2))
async def test_cancel_works_at_any_moment(live: Platform, ticks: int) -> None:
    _, before = live.machine.visit(HOST)
    deploy = await live.request(live.sources.put(program("next")))
    for _ in range(ticks):
        await live.tick()
    if not (await live.get(deploy.id)).state.ended:
        await live.plane.deploys.cancel(deploy.id, by="ada")
    ended = await live.finish(deploy.id, ticks=100)
    expected = before if ended.state is DeployState.CANCELLED else ended.release
    assert ended.state in (DeployState.CANCELLED, DeployState.SUCCEEDED)
    assert live.machine.visit(HOST) == (200, expected)


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
    ended = await platform.finish(deploy.id, seconds=1.0)
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
    platform.boot(platform.database)
    assert (await platform.finish(deploy.id)).state is DeployState.SUCCEEDED


async def test_a_fault_that_passes_ends_nothing(platform: Platform) -> None:
    platform.machine.faults.refuse = 1.0
    deploy = await platform.request(platform.sources.put(program()))
    for _ in range(100):
        await platform.tick(0.1)
    platform.machine.faults.refuse = 0.0
    assert (await platform.finish(deploy.id)).state is DeployState.SUCCEEDED


def with_domain(platform: Platform, environment: str) -> str:
    """A source whose environment has the domain `example.org`."""
    section = f"[environments.{environment}]"
    changed = MANIFEST.replace(section, f'{section}\ndomains = ["example.org"]')
    return platform.sources.put(Program(manifest=changed))


async def test_a_domain_of_another_environment_is_refused(platform: Platform) -> None:
    first = await platform.finish((await platform.request(with_domain(platform, "production"))).id)
    with pytest.raises(UserError, match="leads to production of shop now") as caught:
        await platform.request(with_domain(platform, "staging"), "staging")
    assert caught.value.code == "domain.taken"
    assert await deploys_of(platform, "staging") == ()
    for _ in range(10):
        await platform.tick()
    assert platform.machine.visit("example.org") == (200, first.release)


async def test_a_domain_that_another_environment_took_meanwhile_is_refused(
    platform: Platform,
) -> None:
    waits = await platform.request(platform.sources.put(program("waits", build="hang")), "staging")
    second = await platform.request(with_domain(platform, "staging"), "staging")
    first = await platform.finish((await platform.request(with_domain(platform, "production"))).id)
    await platform.plane.deploys.cancel(waits.id, by="ada")
    ended = await platform.finish(second.id)
    assert ended.error is not None
    assert ended.error["code"] == "domain.taken"
    for _ in range(10):
        await platform.tick()
    assert platform.machine.visit("example.org") == (200, first.release)


@pytest.mark.own_database
async def test_a_project_of_a_bad_name_stops_the_edge_for_nobody(platform: Platform) -> None:
    first = await platform.finish((await platform.request(platform.sources.put(program("1")))).id)
    await platform.finish(
        (await platform.request(platform.sources.put(program("1")), "staging")).id
    )
    before = {site.hosts: site for site in platform.machine.edge_config.sites}
    async with platform.database.transaction() as session:
        # As an earlier version could be made to store it.
        await session.execute("ALTER TABLE projects DROP CONSTRAINT projects_name")
        for number, name in enumerate((*BAD, "staging--shop", f"{first.release}--shop")):
            if "\0" not in name:
                await projects.insert_project(session, name, action_key_sealed=b"", at=T0)
                await projects.insert_environment(
                    session,
                    environment_id=f"env-{number}",
                    project=name,
                    name="production",
                    at=T0,
                )
    for _ in range(20):
        await platform.tick()
    after = {site.hosts: site for site in platform.machine.edge_config.sites}
    assert before.items() <= after.items()
    second = await platform.finish((await platform.request(platform.sources.put(program("2")))).id)
    assert (second.state, second.error) == (DeployState.SUCCEEDED, None)
    assert platform.machine.visit(HOST) == (200, second.release)


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
    platform.boot(platform.database)
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
    for _ in range(18):
        await platform.tick(5.0)
    assert len(platform.machine.running_instances()) == 4, "the live one and the one before"
    for _ in range(60):
        await platform.tick(10.0)
    assert len(platform.machine.running_instances()) == 2


async def test_older_releases_run_on_for_their_pages(platform: Platform) -> None:
    for number in range(5):
        source = platform.sources.put(program(str(number)))
        await platform.finish((await platform.request(source)).id)
    for _ in range(18):
        await platform.tick(5.0)
    assert len(platform.machine.running_instances()) == 8, "the live one and three before it"
    for _ in range(60):
        await platform.tick(10.0)
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
    platform.boot(platform.database)
    await platform.plane.reconciler.once()
    assert platform.machine.edge_config == before
    await platform.tick()
    assert platform.machine.edge_config == before
