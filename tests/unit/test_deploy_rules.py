"""The pipeline's rules: one story for each way that a step can go."""

from dataclasses import replace
from typing import Any

import pytest

from gantry.engines.runtime.protocol import ProcessState, ProcessStatus
from gantry.features.builds.model import BuildState
from gantry.features.deploys import rules
from gantry.features.deploys.model import (
    PIPELINES,
    DeployKind,
    DeployState,
    Step,
    StepState,
    following,
)
from tests.support.stories import at, build, deploy, exited, running

SEEN = rules.Seen(now=at(1))
READY = build(state=BuildState.READY, phases={"install": 9.0, "build": 5.25})
ERROR = {
    "kind": "permanent",
    "code": "build.command-failed",
    "message": "no",
    "hint": "",
    "where": "",
}


def seen(**changes: Any) -> rules.Seen:
    return replace(SEEN, **changes)


def test_the_queue() -> None:
    queued = deploy(state=DeployState.QUEUED, started_at=None, step_started_at=None)
    assert rules.decide(queued, SEEN) == rules.Begin()
    assert rules.decide(replace(queued, cancel_requested=True), SEEN) == rules.Cancel()


@pytest.mark.parametrize("step", list(Step))
def test_cancel_works_at_every_step_until_visitors_have_the_release(step: Step) -> None:
    story = deploy(step, cancel_requested=True, build="b-1", release="r-2")
    assert rules.decide(story, seen(build=READY, live_release="r-1")) == rules.Cancel()
    if step in (Step.SWITCH, Step.DRAIN):
        live = rules.decide(story, seen(live_release="r-2", edge_current=True, reached="r-2"))
        assert isinstance(live, rules.Advance)


@pytest.mark.parametrize("step", list(Step))
def test_no_step_lasts_for_ever(step: Step) -> None:
    story = deploy(step, build="b-1", release="r-2")
    action = rules.decide(story, seen(now=at(601), build=build(), deadline_s=600))
    assert isinstance(action, rules.Fail)
    expected = "health.never-passed" if step is Step.HEALTHY else f"{step}.timeout"
    assert action.error["code"] == expected


@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({"build": build()}, rules.RunTask("build")),
        ({"build": build(), "task": running("build-b-1")}, None),
        ({"build": build(), "task": exited("build-b-1", 0)}, rules.TakeOutcome("build")),
        (
            {"build": build(), "task": ProcessStatus("build-b-1", ProcessState.LOST, None, at(0))},
            rules.RunTask("build"),
        ),
        ({"build": READY}, rules.Advance(detail="install 9.0 s, build 5.2 s")),
        (
            {"build": replace(READY, created_at=at(-1))},
            rules.Advance(StepState.SKIPPED, "this tree was built before, as b-1"),
        ),
        ({"build": build(state=BuildState.FAILED, error=ERROR)}, rules.Fail(ERROR)),
    ],
)
def test_build(changes: dict[str, Any], action: rules.Action | None) -> None:
    assert rules.decide(deploy(Step.BUILD, build="b-1"), seen(**changes)) == action


@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({"build": build(state=BuildState.BUILT)}, rules.RunTask("test")),
        (
            {"build": build(state=BuildState.BUILT), "task": exited("test-b-1", 1)},
            rules.TakeOutcome("test"),
        ),
        (
            {"build": READY, "task": exited("test-b-1", 0)},
            rules.Advance(detail="the project's tests passed"),
        ),
        ({"build": READY}, rules.Advance(StepState.SKIPPED, "nothing to test, or tested before")),
        (
            {"build": replace(READY, created_at=at(-9)), "task": exited("test-b-1", 0)},
            rules.Advance(StepState.SKIPPED, "nothing to test, or tested before"),
        ),
        ({"build": build(state=BuildState.FAILED, error=ERROR)}, rules.Fail(ERROR)),
    ],
)
def test_test(changes: dict[str, Any], action: rules.Action) -> None:
    assert rules.decide(deploy(Step.TEST, build="b-1"), seen(**changes)) == action


def test_release_and_migrate() -> None:
    assert rules.decide(deploy(Step.RELEASE), SEEN) == rules.MakeRelease()
    assert rules.decide(deploy(Step.RELEASE, release="r-2"), SEEN) == rules.Advance()
    migrate = deploy(Step.MIGRATE, release="r-2")
    assert rules.decide(migrate, SEEN) == rules.ProvideServices()
    assert rules.decide(migrate, seen(has_release_command=True)) == rules.RunTask("migrate")
    ended = seen(has_release_command=True, task=exited("migrate-dep-1", 1))
    assert rules.decide(migrate, ended) == rules.TakeOutcome("migrate")


def test_healthy_waits_for_the_instances_and_for_the_edge() -> None:
    story = deploy(Step.HEALTHY, release="r-2")
    both = rules.Candidate(wanted=2, healthy=2)
    assert rules.decide(story, SEEN) is None
    assert rules.decide(story, seen(candidate=rules.Candidate(2, 1))) is None
    assert rules.decide(story, seen(candidate=both, edge_healthy=2)) is None
    assert rules.decide(story, seen(candidate=both, edge_healthy=1, edge_current=True)) is None
    well = rules.decide(story, seen(candidate=both, edge_healthy=2, edge_current=True))
    assert well == rules.Advance(detail="2 of 2 instances are healthy")


def test_a_crash_loop_fails_the_deploy_long_before_its_deadline() -> None:
    story = deploy(Step.HEALTHY, release="r-2")
    action = rules.decide(story, seen(candidate=rules.Candidate(2, 1, 3, "exited with 1")))
    assert isinstance(action, rules.Fail)
    assert action.error["code"] == "start.crash-loop"
    assert "exited with 1" in action.error["message"]


def test_smoke_is_tried_three_times() -> None:
    story = deploy(Step.SMOKE, release="r-2")
    assert isinstance(rules.decide(story, SEEN), rules.Advance)
    assert rules.decide(story, seen(has_smoke=True)) == rules.RunSmoke()
    bad = rules.Smoke(failures=("/: status 500",), checked=2)
    assert rules.decide(story, seen(has_smoke=True, smoke=bad)) == rules.RunSmoke()
    action = rules.decide(story, seen(has_smoke=True, smoke=replace(bad, attempts=3)))
    assert isinstance(action, rules.Fail)
    assert action.error["code"] == "smoke.failed"
    good = rules.decide(story, seen(has_smoke=True, smoke=rules.Smoke((), 2)))
    assert good == rules.Advance(detail="2 paths answered well")


def test_the_switch_is_done_when_the_public_port_answers_with_the_release() -> None:
    story = deploy(Step.SWITCH, release="r-2", previous_release="r-1")
    assert rules.decide(story, seen(live_release="r-1")) == rules.Switch()
    assert rules.decide(story, seen(live_release="r-2")) is None
    ask = seen(live_release="r-2", edge_current=True)
    assert rules.decide(story, ask) == rules.AskPublicPort()
    assert rules.decide(story, replace(ask, reached="r-1")) == rules.AskPublicPort()
    done = rules.decide(story, replace(ask, reached="r-2"))
    assert done == rules.Advance(detail="the public port answers with r-2")


def test_pipelines_end_and_begin_where_they_should() -> None:
    assert PIPELINES[DeployKind.DEPLOY][0] is Step.SOURCE
    assert PIPELINES[DeployKind.PROMOTE] == PIPELINES[DeployKind.DEPLOY]
    assert PIPELINES[DeployKind.ROLLBACK] == (Step.START, Step.HEALTHY, Step.SWITCH, Step.DRAIN)
    for kind, steps in PIPELINES.items():
        assert following(kind, steps[-1]) is None
        assert [following(kind, step) for step in steps[:-1]] == list(steps[1:])
