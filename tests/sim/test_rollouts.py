"""Canaries on a machine of glass: what visitors get in each stage, and how a bad candidate ends."""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from gantry.engines.database.postgres import PostgresDatabase
from gantry.engines.edge.protocol import TIMES_MS, BackendNumbers, FailedRequest, Site
from gantry.engines.runtime.protocol import LogChunk
from gantry.features.deploys.model import Deploy, DeployState, Step
from gantry.features.releases.model import ReleaseState
from gantry.features.rollouts import store
from gantry.features.rollouts.model import RolloutCommand, RolloutState, StageRecord
from gantry.features.rollouts.service import RolloutService
from gantry.features.rollouts.verdict.model import CheckName, Outcome
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import ConflictError, TransientError
from gantry.kernel.ids import SeededIds
from tests.fakes.edge import FakeEdge
from tests.fakes.machine import Machine
from tests.fakes.programs import Program
from tests.fakes.runtime import FakeRuntime
from tests.sim.platform import Platform

HOST = "shop.localhost"
MANIFEST = """
[project]
name = "shop"
[processes.web]
smoke = ["/"]
health = {{ path = "/health", start_deadline = "10s" }}
[deploy]
strategy = "canary"
mirror = "20s"
steps = [{{ percent = 5, time = "30s" }}, {{ percent = 50, time = "30s" }}]
{more}
[environments.production]
"""


def program(note: str, more: str = "") -> Program:
    return Program(manifest=f"{MANIFEST.format(more=more)}# {note}\n")


@pytest.fixture
def platform(database: PostgresDatabase) -> Platform:
    return Platform(database, Machine(ManualClock(), random.Random(1)), SeededIds(1))


def site(platform: Platform) -> Site:
    (found,) = [one for one in platform.machine.edge_config.sites if HOST in one.hosts]
    return found


def share(platform: Platform) -> str:
    """What the candidate gets now."""
    here = site(platform)
    if here.canary is not None:
        return f"{here.canary.percent} %"
    return "mirror" if here.mirror is not None else "nothing"


def traffic(platform: Platform, deploy: Deploy, *, failing: float = 0.0) -> None:
    """A second of 400 requests, divided as the edge was told."""
    here, machine = site(platform), platform.machine
    candidate = deploy.release
    parts = {here.backend: 400}
    if here.canary is not None:
        got = 4 * here.canary.percent
        parts = {here.backend: 400 - got, here.canary.candidate: got}
    elif here.mirror is not None:
        parts[here.mirror] = 400
    for name, requests in parts.items():
        assert name is not None
        before = machine.counted.get(name, BackendNumbers(within_ms=dict.fromkeys(TIMES_MS, 0)))
        failed = round(requests * failing) if name == candidate else 0
        within = {
            bound: count + (requests if bound >= 10 else 0)
            for bound, count in before.within_ms.items()
        }
        machine.counted[name] = BackendNumbers(
            before.requests + requests, before.errors + failed, within_ms=within
        )


async def stages(platform: Platform) -> tuple[StageRecord, ...]:
    """The stages so far, as the database has them."""
    service = platform.plane.rollouts
    rollout = await service.latest("shop", "production")
    async with platform.database.transaction() as session:
        (record,) = await store.list_newest(session, (rollout.environment,))
    return record.stages


async def live(platform: Platform, more: str = "") -> Deploy:
    """Release 1 is live."""
    source = platform.sources.put(program("1", more))
    return await platform.finish((await platform.request(source)).id)


async def run(
    platform: Platform, deploy: Deploy, seconds: int, *, failing: float = 0.0
) -> list[str]:
    """Let time pass under load; the shares that were seen, each once, in order."""
    shares: list[str] = []
    for _ in range(seconds):
        now = await platform.get(deploy.id)
        if now.state.ended:
            break
        await platform.tick(1.0)
        traffic(platform, await platform.get(deploy.id), failing=failing)
        if not shares or shares[-1] != share(platform):
            shares.append(share(platform))
    await platform.tick()  # the edge hears of the end
    return shares


async def test_a_good_candidate_gets_all_traffic_in_stages(platform: Platform) -> None:
    await live(platform)
    second = await platform.request(platform.sources.put(program("2")))
    shares = await run(platform, second, 200)
    ended = await platform.get(second.id)
    assert (ended.state, ended.error) == (DeployState.SUCCEEDED, None)
    assert shares == ["nothing", "mirror", "5 %", "50 %", "nothing"]
    assert platform.machine.visit(HOST) == (200, ended.release)


async def test_the_first_release_needs_no_stages(platform: Platform) -> None:
    first = await live(platform)
    (step,) = [one for one in await platform.steps(first.id) if one.name is Step.ROLLOUT]
    assert (step.state, step.detail) == ("skipped", "all traffic moves at once")


async def test_a_candidate_of_the_same_build_gets_what_its_pages_ask_for(
    platform: Platform,
) -> None:
    """Deployed again, with other variables: a deployment id tells nothing of the two releases."""
    first = await live(platform)
    await platform.tick()
    (pin,) = site(platform).pins
    assert pin.backend == first.release
    second = await platform.request(platform.sources.put(program("1")))
    await run(platform, second, 40)
    now = await platform.get(second.id)
    assert (share(platform), now.build) == ("5 %", first.build)
    assert site(platform).pins == ()
    await run(platform, second, 200)
    assert [pin.backend for pin in site(platform).pins] == [now.release]


async def test_a_bad_candidate_is_taken_back_before_a_visitor_sees_it(platform: Platform) -> None:
    first = await live(platform)
    second = await platform.request(platform.sources.put(program("2")))
    await run(platform, second, 20)
    candidate = (await platform.get(second.id)).release
    request = FailedRequest("2026-11-23T10:00:00Z", "GET", "/shop", 500, "", 12, "id-1")
    platform.machine.failed = [(candidate or "", request), ("another", request)]
    shares = await run(platform, second, 200, failing=0.05)
    ended = await platform.get(second.id)
    assert ended.state is DeployState.FAILED
    assert ended.error is not None
    assert ended.error["code"] == "rollout.failed"
    assert "requests failed on the candidate" in ended.error["message"]
    assert "5 %" not in shares, "the mirror was enough"
    service = platform.plane.rollouts
    await platform.tick(2.0)
    evidence = (await service.latest("shop", "production")).evidence
    assert evidence is not None
    assert [one.path for one in evidence.requests or ()] == ["/shop"]
    assert share(platform) == "nothing"
    assert platform.machine.visit(HOST) == (200, first.release)
    assert ended.release is not None
    assert (await platform.release(ended.release)).state is ReleaseState.FAILED


async def test_a_smoke_check_that_fails_in_the_middle_takes_the_candidate_back(
    platform: Platform,
) -> None:
    first = await live(platform)
    second = await platform.request(platform.sources.put(replace(program("2"), web="sours")))
    shares = await run(platform, second, 200)
    ended = await platform.get(second.id)
    assert ended.state is DeployState.FAILED
    assert ended.error is not None
    assert "1 failed smoke check on the candidate, none on" in ended.error["message"]
    assert shares[:3] == ["nothing", "mirror", "5 %"]
    assert platform.machine.visit(HOST) == (200, first.release)


async def test_what_both_releases_fail_is_no_fault_of_the_candidate(platform: Platform) -> None:
    source = platform.sources.put(replace(program("1"), web="sours"))
    first = await platform.finish((await platform.request(source)).id)
    second = await platform.request(platform.sources.put(replace(program("2"), web="sours")))
    await run(platform, second, 60)
    assert (await platform.get(second.id)).state is DeployState.ACTIVE
    service = platform.plane.rollouts
    verdict = (await service.latest("shop", "production")).verdict
    assert verdict is not None
    smoke = verdict.reason(CheckName.SMOKE)
    assert smoke is not None
    assert smoke.outcome is Outcome.INCONCLUSIVE
    assert smoke.current >= smoke.candidate > 0
    assert first.release is not None


async def test_a_log_that_cannot_be_read_costs_the_requests_and_nothing_else(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreadable(_edge: object, _release: str, *, most: int) -> tuple[FailedRequest, ...]:
        raise TransientError("edge.unreachable", f"the last {most} lines are lost")

    first = await live(platform)
    second = await platform.request(platform.sources.put(program("2")))
    monkeypatch.setattr(type(platform.edge), "failures", unreadable)
    await run(platform, second, 200, failing=0.05)
    assert (await platform.get(second.id)).state is DeployState.FAILED
    assert platform.machine.visit(HOST) == (200, first.release)
    await platform.tick(60.0)
    await platform.tick()
    evidence = (await platform.plane.rollouts.latest("shop", "production")).evidence
    assert evidence is not None
    assert evidence.requests == ()


async def test_people_pause_resume_and_promote(platform: Platform) -> None:
    await live(platform)
    second = await platform.request(platform.sources.put(program("2")))
    service = platform.plane.rollouts
    await run(platform, second, 20)
    assert share(platform) == "mirror"
    with pytest.raises(ConflictError, match="running"):
        await service.request("shop", "production", RolloutCommand.RESUME, by="ada")
    await service.request("shop", "production", RolloutCommand.PAUSE, by="ada")
    await run(platform, second, 300)
    assert share(platform) == "mirror"
    assert (await service.latest("shop", "production")).state is RolloutState.PAUSED
    await service.request("shop", "production", RolloutCommand.PROMOTE, by="ada")
    await run(platform, second, 5)
    assert share(platform) == "5 %"
    await run(platform, second, 200)
    assert (await platform.get(second.id)).state is DeployState.SUCCEEDED
    with pytest.raises(ConflictError, match="ended"):
        await service.request("shop", "production", RolloutCommand.ABORT, by="ada")


async def test_a_command_wakes_the_reactor_when_it_is_recorded(platform: Platform) -> None:
    await live(platform)
    second = await platform.request(platform.sources.put(program("2")))
    await run(platform, second, 20)
    states: list[str] = []
    service = RolloutService(
        platform.database, platform.machine.clock, lambda: states.append("woken")
    )
    with pytest.raises(ConflictError):
        await service.request("shop", "production", RolloutCommand.RESUME, by="ada")
    assert states == [], "nothing was recorded"
    rollout = await service.request("shop", "production", RolloutCommand.PAUSE, by="ada")
    assert rollout.requested is RolloutCommand.PAUSE
    assert states == ["woken"]


async def test_a_new_control_plane_goes_on_with_the_numbers_of_the_stage(
    platform: Platform,
) -> None:
    first = await live(platform)
    second = await platform.request(platform.sources.put(program("2")))
    await run(platform, second, 45)
    assert share(platform) == "5 %"
    # A few errors, not enough to tell; then the control plane is replaced, and a few more.
    for failing in (1.0, 0.0):
        traffic(platform, await platform.get(second.id), failing=failing * 0.1)
        await platform.tick(1.0)
        platform.plane.rollout_loop = replace(platform.plane.rollout_loop, _watches={})
    service = platform.plane.rollouts
    verdict = (await service.latest("shop", "production")).verdict
    assert verdict is not None
    errors = verdict.reason(CheckName.ERRORS)
    assert errors is not None
    assert errors.numbers.candidate == 2
    assert errors.numbers.candidate_of > 40, "counted since the stage began"
    assert platform.machine.visit(HOST) == (200, first.release)


async def test_an_abort_gives_all_traffic_back(platform: Platform) -> None:
    first = await live(platform)
    second = await platform.request(platform.sources.put(program("2")))
    await run(platform, second, 40)
    assert share(platform) == "5 %"
    service = platform.plane.rollouts
    await service.request("shop", "production", RolloutCommand.ABORT, by="ada")
    await run(platform, second, 20)
    ended = await platform.get(second.id)
    assert ended.error is not None
    assert ended.error["code"] == "rollout.aborted"
    assert platform.machine.visit(HOST) == (200, first.release)


async def test_a_cancel_ends_the_rollout_too(platform: Platform) -> None:
    await live(platform)
    second = await platform.request(platform.sources.put(program("2")))
    await run(platform, second, 40)
    await platform.plane.deploys.cancel(second.id, by="ada")
    await run(platform, second, 20)
    assert (await platform.get(second.id)).state is DeployState.CANCELLED
    service = platform.plane.rollouts
    assert (await service.latest("shop", "production")).state is RolloutState.ABORTED
    assert share(platform) == "nothing"


async def test_each_stage_waits_for_an_approval(platform: Platform) -> None:
    await live(platform, "approval = true")
    second = await platform.request(platform.sources.put(program("2", "approval = true")))
    service = platform.plane.rollouts
    for expected in ("mirror", "5 %", "50 %"):
        await run(platform, second, 100)
        assert share(platform) == expected
        assert (await service.latest("shop", "production")).state is RolloutState.WAITING
        await service.request("shop", "production", RolloutCommand.PROMOTE, by="ada")
    await run(platform, second, 20)
    assert (await platform.get(second.id)).state is DeployState.SUCCEEDED


async def test_a_stage_without_traffic_follows_the_policy(platform: Platform) -> None:
    more = '[deploy.verdict]\nwhen_inconclusive = "abort"'
    await live(platform, more)
    second = await platform.request(platform.sources.put(program("2", more)))
    for _ in range(120):
        await platform.tick(1.0)
    ended = await platform.get(second.id)
    assert ended.error is not None
    assert ended.error["code"] == "rollout.failed"
    assert "too little is known of it" in ended.error["message"]


@pytest.mark.parametrize("meanwhile", [RolloutCommand.ABORT, RolloutCommand.PAUSE])
async def test_what_is_asked_while_a_verdict_is_made_is_not_lost(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, meanwhile: RolloutCommand
) -> None:
    """Somebody asks just when the stage has passed: after the rollout was read, before the next stage is recorded."""
    first = await live(platform)
    second = await platform.request(platform.sources.put(program("2")))
    service = platform.plane.rollouts
    await run(platform, second, 40)
    assert share(platform) == "5 %"
    count = type(platform.edge).numbers
    asked = False

    async def ask_meanwhile(edge: FakeEdge) -> Mapping[str, BackendNumbers]:
        nonlocal asked
        age = (await service.latest("shop", "production")).stage_age(platform.machine.clock.now())
        if not asked and age.total_seconds() >= 30:
            asked = True
            await service.request("shop", "production", meanwhile, by="ada")
        return await count(edge)

    monkeypatch.setattr(type(platform.edge), "numbers", ask_meanwhile)
    shares = await run(platform, second, 60)
    assert asked
    assert "50 %" not in shares
    if meanwhile is RolloutCommand.ABORT:
        assert (await platform.get(second.id)).state is DeployState.FAILED
        assert platform.machine.visit(HOST) == (200, first.release)
    else:
        assert (await service.latest("shop", "production")).state is RolloutState.PAUSED


async def test_an_abort_is_not_taken_back(platform: Platform) -> None:
    await live(platform)
    second = await platform.request(platform.sources.put(program("2")))
    service = platform.plane.rollouts
    await run(platform, second, 20)
    for _ in range(2):
        await service.request("shop", "production", RolloutCommand.ABORT, by="ada")
    with pytest.raises(ConflictError) as refused:
        await service.request("shop", "production", RolloutCommand.PROMOTE, by="bob")
    assert refused.value.code == "rollout.aborting"


async def test_a_stage_lasts_from_when_it_is_in_effect(platform: Platform) -> None:
    await live(platform)
    second = await platform.request(platform.sources.put(program("2")))
    await run(platform, second, 22)
    assert share(platform) == "mirror"
    # The next stage begins in the database; the edge hears of it after a long time only.
    platform.machine.faults.refuse_edge = True
    await run(platform, second, 4)
    platform.machine.pass_time(300.0)
    platform.plane.backoff.succeeded("edge")
    platform.machine.faults.refuse_edge = False
    shares = await run(platform, second, 25)
    assert shares[-1] == "5 %"
    history = await stages(platform)
    assert len(history) == 2, "it is compared for as long as it was declared"


async def test_shares_that_the_edge_does_not_take_end_the_rollout(platform: Platform) -> None:
    first = await live(platform)
    second = await platform.request(platform.sources.put(program("2")))
    await run(platform, second, 22)
    platform.machine.faults.refuse_edge = True
    await run(platform, second, 200)
    platform.machine.faults.refuse_edge = False
    await run(platform, second, 40)
    ended = await platform.get(second.id)
    assert ended.state is DeployState.FAILED
    assert ended.error is not None
    assert (
        "the edge did not take its share of the traffic: the edge refused its configuration: it does not like them"
        in ended.error["message"]
    )
    assert platform.machine.visit(HOST) == (200, first.release)


async def test_visitors_of_the_candidate_keep_it_until_all_traffic_has_moved(
    platform: Platform,
) -> None:
    await live(platform)
    second = await platform.request(platform.sources.put(program("2")))
    await run(platform, second, 200)
    candidate = (await platform.get(second.id)).release
    gave = [
        (one.backend, one.canary.percent if one.canary else 0)
        for config in platform.machine.edge_configs
        for one in config.sites
        if HOST in one.hosts
    ]
    shares = [percent if backend != candidate else 100 for backend, percent in gave]
    assert shares == sorted(shares)
    assert {5, 50, 100} <= set(shares)


async def test_each_stage_keeps_the_verdict_at_its_end(platform: Platform) -> None:
    await live(platform)
    second = await platform.request(platform.sources.put(program("2")))
    await run(platform, second, 200)
    verdicts = [record.verdict for record in await stages(platform)]
    assert [verdict and verdict.outcome for verdict in verdicts] == [Outcome.PASS] * 3


async def test_a_candidate_is_taken_back_before_anything_is_read_of_it(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live(platform)
    second = await platform.request(platform.sources.put(program("2")))
    read = type(platform.runtime).read_log
    states: list[RolloutState] = []
    service = platform.plane.rollouts

    async def look_first(runtime: FakeRuntime, *arguments: Any, **named: Any) -> LogChunk:
        states.append((await service.latest("shop", "production")).state)
        return await read(runtime, *arguments, **named)

    await run(platform, second, 25)
    monkeypatch.setattr(type(platform.runtime), "read_log", look_first)
    await run(platform, second, 100, failing=0.2)
    assert states
    assert set(states) == {RolloutState.FAILED}
