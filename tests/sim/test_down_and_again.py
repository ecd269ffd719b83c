"""Rolling back goes down, redeploying takes the variables of now, restarting loses nobody."""

import pytest

from gantry.features.deploys.bodies import DeployEvent
from gantry.features.deploys.model import Deploy, DeployState, Step
from gantry.features.platform.bodies import EnvironmentBody
from gantry.features.rollouts.model import RolloutState
from gantry.kernel.errors import UserError
from gantry.web import deploy_events
from gantry.web.environments import read_environment
from gantry.web.streams import Masks
from tests.fakes.programs import Program
from tests.sim.platform import HOST, MANIFEST, Platform, program

CANARY = '[deploy]\nstrategy = "canary"\nsteps = [{ percent = 5, time = "600s" }]\n'
WORKER = '[processes.worker.mail]\ncommand = "npm run mail"\n'


async def deployed(platform: Platform, note: str, more: str = "") -> Deploy:
    manifest = f"{MANIFEST}{more}# {note}\n"
    asked = await platform.request(platform.sources.put(Program(manifest=manifest)))
    ended = await platform.finish(asked.id)
    assert (ended.state, ended.error) == (DeployState.SUCCEEDED, None)
    return ended


async def rolled_back(platform: Platform, to: int | None = None) -> int:
    """The number of the release that is live after a rollback."""
    asked = await platform.plane.deploys.roll_back("shop", "production", to_release=to, by="ada")
    ended = await platform.finish(asked.id)
    assert (ended.state, ended.error) == (DeployState.SUCCEEDED, None)
    assert ended.release
    assert platform.machine.visit(HOST) == (200, ended.release)
    return (await platform.release(ended.release)).number


async def shown(platform: Platform) -> EnvironmentBody:
    return await read_environment(platform.plane.services, "shop", "production")


async def test_a_rollback_goes_down_and_never_back_to_what_was_withdrawn(live: Platform) -> None:
    second = await deployed(live, "2")
    third = await deployed(live, "3")
    assert await rolled_back(live) == 2
    assert third.release and (await live.release(third.release)).withdrawn_at is not None
    assert await rolled_back(live) == 1, "not up to 3 again"
    with pytest.raises(UserError, match="no earlier release below release 1") as nothing:
        await live.plane.deploys.roll_back("shop", "production", to_release=None, by="ada")
    assert "gantry rollback --release 3" in nothing.value.hint
    assert await rolled_back(live, 3) == 3, "its number leads up"
    assert (await live.release(third.release)).withdrawn_at is None
    assert second.release and (await live.release(second.release)).withdrawn_at is not None
    assert await rolled_back(live) == 1, "2 was withdrawn"


async def test_a_newer_release_is_no_reason_to_go_down_to_a_withdrawn_one(live: Platform) -> None:
    await deployed(live, "2")
    assert await rolled_back(live) == 1
    await deployed(live, "3")
    assert await rolled_back(live) == 1, "2 was withdrawn"


async def test_a_rollback_aborts_the_rollout_that_goes_on(live: Platform) -> None:
    await deployed(live, "2")
    moving = await live.request(live.sources.put(Program(manifest=f"{MANIFEST}{CANARY}# 3\n")))
    for _ in range(300):
        await live.tick()
        if (await live.get(moving.id)).step is Step.ROLLOUT:
            break
    await live.tick(5.0)
    assert await rolled_back(live) == 1
    ended = await live.get(moving.id)
    assert ended.error is not None
    assert (ended.state, ended.error["code"]) == (DeployState.FAILED, "rollout.aborted")
    rollout = await live.plane.rollouts.latest("shop", "production")
    assert rollout.state is RolloutState.ABORTED


async def test_a_redeploy_takes_the_build_and_the_variables_of_now(live: Platform) -> None:
    before = await shown(live)
    built = live.machine.builds_run
    await live.plane.variables.change(
        "shop", "production", put={"SECRET": "of now"}, remove=(), by="ada"
    )
    asked = await live.plane.deploys.redeploy("shop", "production", by="ada")
    ended = await live.finish(asked.id)
    assert (ended.state, ended.error) == (DeployState.SUCCEEDED, None)
    now = await shown(live)
    assert before.live is not None
    assert now.live is not None
    assert (now.live.number, now.live.build) == (2, before.live.build)
    assert live.machine.builds_run == built
    spec = live.machine.processes[now.instances[0].id].spec
    assert spec.env["SECRET"] == "of now"
    assert (await live.steps(ended.id))[0].name is Step.RELEASE


async def test_a_redeploy_that_waited_takes_what_is_live_when_its_turn_comes(
    live: Platform,
) -> None:
    newer = await live.request(live.sources.put(program("2")))
    await live.tick()  # what is asked at one moment has no order
    asked = await live.plane.deploys.redeploy("shop", "production", by="ada")
    assert (await live.finish(newer.id)).state is DeployState.SUCCEEDED
    ended = await live.finish(asked.id)
    assert (ended.state, ended.build) == (DeployState.SUCCEEDED, (await live.get(newer.id)).build)


async def test_a_variable_that_is_written_into_the_build_is_not_redeployed(live: Platform) -> None:
    await live.plane.variables.change(
        "shop", "production", put={"NX_PUBLIC_API": "https://api"}, remove=(), by="ada"
    )
    with pytest.raises(UserError, match="NX_PUBLIC_API changed") as refusal:
        await live.plane.deploys.redeploy("shop", "production", by="ada")
    assert refusal.value.code == "redeploy.built-in"


async def _restarted(
    platform: Platform, process: str = "", *, seconds: float = 0.1
) -> tuple[Deploy, list[int]]:
    """A restart, with how many instances the edge had at each look."""
    asked = await platform.plane.deploys.restart("shop", "production", process=process, by="ada")
    endpoints = []
    found = await platform.get(asked.id)
    for _ in range(300):
        await platform.tick(seconds)
        status, _ = platform.machine.visit(HOST)
        assert status == 200, "a visitor is always answered"
        backends = {item.name: item for item in platform.machine.edge_config.backends}
        endpoints.append(len(backends[str(asked.release)].endpoints))
        found = await platform.get(asked.id)
        if found.state.ended:
            return found, endpoints
    raise AssertionError(f"{found.id} is stuck at {found.step}")


async def test_a_restart_replaces_every_instance_and_loses_nobody(live: Platform) -> None:
    before = {item.id for item in (await shown(live)).instances}
    ended, endpoints = await _restarted(live)
    assert (ended.state, ended.error) == (DeployState.SUCCEEDED, None)
    after = {item.id for item in (await shown(live)).instances}
    assert len(after) == len(before) == 2
    assert not before & after
    assert min(endpoints) >= 2, "one more starts before one ends"
    steps = {step.name: step.detail for step in await live.steps(ended.id)}
    assert steps[Step.HEALTHY] == "2 instances were started anew"
    assert (await shown(live)).live is not None


async def test_an_instance_that_has_requests_is_not_told_to_end(live: Platform) -> None:
    """They get the time that the manifest gives requests, and no more."""
    release = (await shown(live)).live
    assert release is not None
    live.machine.active_requests[release.id] = 3
    began_s = live.machine.now_s
    ended, _ = await _restarted(live, seconds=1.0)
    assert ended.state is DeployState.SUCCEEDED
    assert live.machine.now_s - began_s >= 2 * 30.0


async def test_a_restart_of_one_kind_leaves_the_others_alone(live: Platform) -> None:
    await deployed(live, "2", WORKER)
    for _ in range(30):
        await live.tick()
    kinds = {item.id: item.process for item in (await shown(live)).instances}
    ended, _ = await _restarted(live, "worker.mail")
    assert ended.state is DeployState.SUCCEEDED
    now = {item.id: item.process for item in (await shown(live)).instances}
    assert {key for key, kind in kinds.items() if kind == "web"} <= now.keys()
    assert not {key for key, kind in kinds.items() if kind == "worker.mail"} & now.keys()
    assert "worker.mail" in now.values()


async def test_an_unknown_kind_is_named_beside_those_that_there_are(live: Platform) -> None:
    with pytest.raises(UserError, match="no process 'mail'") as refusal:
        await live.plane.deploys.restart("shop", "production", process="mail", by="ada")
    assert refusal.value.hint == "it has web: gantry restart web"


async def test_a_restart_that_is_cancelled_leaves_as_many_instances_as_were_wanted(
    live: Platform,
) -> None:
    asked = await live.plane.deploys.restart("shop", "production", by="ada")
    for _ in range(20):
        await live.tick()
    await live.plane.deploys.cancel(asked.id, by="ada")
    ended = await live.finish(asked.id)
    assert ended.state is DeployState.CANCELLED
    for _ in range(200):
        await live.tick()
    found = await shown(live)
    assert [item.state for item in found.instances] == ["healthy", "healthy"]
    assert found.live is not None
    assert live.machine.visit(HOST) == (200, found.live.id)


async def _printed(platform: Platform, deploy: Deploy) -> dict[str, str]:
    """What a page of the deploy shows that is opened now: step -> lines."""
    services = platform.plane.services
    found: dict[str, str] = {}
    async for event in deploy_events.follow(services, Masks(services), deploy.id):
        if event is None:
            break
        body = event[1]
        assert isinstance(body, DeployEvent)
        if body.step is not None:
            found[body.step] = found.get(body.step, "") + body.text
    return found


async def _say(platform: Platform, text: str) -> None:
    """Let every instance write a line, and let time pass beyond what a line's time may be late."""
    for instance in (await shown(platform)).instances:
        platform.machine.say(instance.id, f"{text}\n")
    await platform.runtime.mark_logs()
    for _ in range(5):
        await platform.tick(1.0)


async def test_the_page_of_a_restart_shows_what_was_printed_while_it_lasted(live: Platform) -> None:
    await _say(live, "before")
    asked = await live.plane.deploys.restart("shop", "production", by="ada")
    while (await live.get(asked.id)).step is not Step.HEALTHY:
        await live.tick()
    for instance in (await shown(live)).instances:
        live.machine.say(instance.id, "meanwhile\n")
    await live.runtime.mark_logs()
    during = await _printed(live, asked)
    assert "meanwhile" in during["healthy"]
    assert "before" not in during["healthy"]
    assert (await live.finish(asked.id)).state is DeployState.SUCCEEDED
    for _ in range(5):
        await live.tick(1.0)
    await _say(live, "afterwards")
    ended = await _printed(live, asked)
    assert "meanwhile" in ended["healthy"]
    assert "before" not in ended["healthy"]
    assert "afterwards" not in ended["healthy"], (
        "the product's own log, and no longer the restart's"
    )


async def test_the_page_of_a_failed_deploy_keeps_what_its_instances_printed(live: Platform) -> None:
    asked = await live.request(live.sources.put(program("2", web="never-healthy")))
    while (await live.get(asked.id)).step is not Step.HEALTHY:
        await live.tick()
    release = (await live.get(asked.id)).release
    while not (mine := [name for name, process in live.machine.processes.items()
                        if process.spec.labels.get("release") == release and name.startswith("i")]):  # fmt: skip
        await live.tick()
    for name in mine:
        live.machine.say(name, "cannot reach the queue\n")
    await live.runtime.mark_logs()
    assert (await live.finish(asked.id)).state is DeployState.FAILED
    for _ in range(5):
        await live.tick(1.0)
    assert "cannot reach the queue" in (await _printed(live, asked))["healthy"]
