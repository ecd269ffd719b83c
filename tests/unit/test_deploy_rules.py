"""The pipeline's rules: one story for each way that a step can go."""

import math
from dataclasses import replace
from typing import Any

import pytest

from gantry.config.load import load_manifest
from gantry.engines.runtime.protocol import ProcessState, ProcessStatus
from gantry.features.builds.model import BuildState
from gantry.features.deploys import pipeline, rules
from gantry.features.deploys.model import DeployKind, DeployState, Step, StepState
from gantry.features.deploys.pipeline import PIPELINE, Intent, following, steps_of
from gantry.features.deploys.rules import WAIT, Do, Fail, Next, Observed, RolloutProgress
from gantry.features.probes.public import SmokeResult
from gantry.features.releases.reading import parse_manifest
from gantry.features.rollouts.model import RolloutState
from tests.support.stories import at, build, deploy, exited, running

OBSERVED = Observed(now=at(1))
READY = build(state=BuildState.READY, phases={"install": 9.0, "build": 5.25})
ERROR = {
    "kind": "permanent",
    "code": "build.command-failed",
    "message": "no",
    "hint": "",
    "where": "",
}

ONLY_WORKERS = '[project]\nname = "shop"\n[processes]\nweb = false\n[processes.worker.mail]\ncommand = "mail"\n'


def observed(**changes: Any) -> Observed:
    return replace(OBSERVED, **changes)


def fails(action: object, code: str, *told: str) -> None:
    """`action` ends the deploy with `code`, a message that tells the reason, and a hint."""
    assert isinstance(action, Fail)
    assert action.error["code"] == code
    assert all(part in action.error["message"] for part in told)
    assert action.error["hint"]


def test_the_queue() -> None:
    queued = deploy(state=DeployState.QUEUED, started_at=None, step_started_at=None)
    assert pipeline.decide(queued, OBSERVED) == Intent.BEGIN
    assert pipeline.decide(replace(queued, cancel_requested=True), OBSERVED) == Intent.CANCEL


@pytest.mark.parametrize("step", list(Step))
def test_cancel_works_at_every_step_until_visitors_have_the_release(step: Step) -> None:
    story = deploy(step, cancel_requested=True, build="b-1", release="r-2")
    assert pipeline.decide(story, observed(build=READY, live_release="r-1")) == Intent.CANCEL
    if step in (Step.SWITCH, Step.DRAIN):
        live = pipeline.decide(
            story, observed(live_release="r-2", edge_current=True, served_by="r-2")
        )
        assert isinstance(live, Next)


@pytest.mark.parametrize("step", list(Step))
def test_no_step_lasts_for_ever(step: Step) -> None:
    story = deploy(step, build="b-1", release="r-2")
    action = pipeline.decide(story, observed(now=at(601), build=build(), deadline_s=600))
    assert isinstance(action, Fail)
    expected = "health.never-passed" if step is Step.HEALTHY else f"{step}.timeout"
    assert action.error["code"] == expected
    in_time = pipeline.decide(story, observed(now=at(600), build=build(), deadline_s=600))
    assert not isinstance(in_time, Fail) or in_time.error["code"] != expected


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        (None, ""),
        (rules.Candidate(1, 0), ""),
        (rules.Candidate(1, 0, message="/: 500"), ": /: 500"),
    ],
)
def test_a_deadline_that_passed_is_told_with_the_reason(
    candidate: rules.Candidate | None, why: str
) -> None:
    late = observed(now=at(46), deadline_s=45, candidate=candidate)
    action = pipeline.decide(deploy(Step.HEALTHY, release="r-2"), late)
    fails(action, "health.never-passed", "45 s")
    assert isinstance(action, Fail) and action.error["message"].endswith(f"45 s{why}")


@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({"build": build()}, Do.START_TASK),
        ({"build": build(), "task": running("build-b-1")}, WAIT),
        ({"build": build(), "task": exited("build-b-1", 0)}, Do.TAKE_OUTCOME),
        (
            {"build": build(), "task": ProcessStatus("build-b-1", ProcessState.LOST, None, at(0))},
            Do.START_TASK,
        ),
        ({"build": READY}, Next(detail="install 9.0 s, build 5.2 s")),
        (
            {"build": replace(READY, created_at=at(-1))},
            Next(StepState.SKIPPED, "this tree was built before, as b-1"),
        ),
        ({"build": build(state=BuildState.FAILED, error=ERROR)}, Fail(ERROR)),
    ],
)
def test_build(changes: dict[str, Any], action: rules.Decision) -> None:
    assert pipeline.decide(deploy(Step.BUILD, build="b-1"), observed(**changes)) == action


@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({"build": build(state=BuildState.BUILT)}, Do.START_TASK),
        (
            {"build": build(state=BuildState.BUILT), "task": exited("test-b-1", 1)},
            Do.TAKE_OUTCOME,
        ),
        (
            {"build": READY, "task": exited("test-b-1", 0)},
            Next(detail="the project's tests passed"),
        ),
        ({"build": READY}, Next(StepState.SKIPPED, "nothing to test, or tested before")),
        (
            {"build": replace(READY, created_at=at(-9)), "task": exited("test-b-1", 0)},
            Next(StepState.SKIPPED, "nothing to test, or tested before"),
        ),
        ({"build": build(state=BuildState.FAILED, error=ERROR)}, Fail(ERROR)),
    ],
)
def test_test(changes: dict[str, Any], action: rules.Decision) -> None:
    assert pipeline.decide(deploy(Step.TEST, build="b-1"), observed(**changes)) == action


@pytest.mark.parametrize("step", [Step.BUILD, Step.TEST])
@pytest.mark.parametrize("error", [None, ERROR])
def test_an_artifact_that_is_no_longer_kept_ends_the_deploy(
    step: Step, error: dict[str, str] | None
) -> None:
    gone = build(state=BuildState.GONE, error=error)
    no_longer_kept = rules.error_of(
        "build.gone", "the artifact of build b-1 is no longer kept", "deploy again"
    )
    action = pipeline.decide(deploy(step, build="b-1"), observed(build=gone))
    assert action == Fail(error or no_longer_kept)


def test_the_source_is_read_once() -> None:
    assert pipeline.decide(deploy(Step.SOURCE), OBSERVED) == Do.READ_SOURCE
    promoted = deploy(Step.SOURCE, kind=DeployKind.PROMOTE, build="b-1")
    assert pipeline.decide(promoted, OBSERVED) == Do.READ_SOURCE, "it may have to be built anew"
    known = deploy(Step.SOURCE, manifest={}, build="b-1", source_digest="0123456789abcdef")
    assert pipeline.decide(known, OBSERVED) == Next(detail="snapshot 0123456789ab")


def test_the_scan_is_skipped_visibly() -> None:
    skipped = Next(StepState.SKIPPED, "no scanner is set up")
    assert pipeline.decide(deploy(Step.SCAN, build="b-1"), OBSERVED) == skipped


def test_the_start_says_what_is_wanted() -> None:
    assert pipeline.decide(deploy(Step.START, release="r-2"), OBSERVED) == Do.START_RELEASE


def test_release_and_migrate() -> None:
    assert pipeline.decide(deploy(Step.RELEASE), OBSERVED) == Do.MAKE_RELEASE
    assert pipeline.decide(deploy(Step.RELEASE, release="r-2"), observed(release_number=2)) == Next(
        detail="release 2"
    )
    migrate = deploy(Step.MIGRATE, release="r-2")
    assert pipeline.decide(migrate, OBSERVED) == Do.PROVIDE_SERVICES
    assert pipeline.decide(migrate, observed(has_release_command=True)) == Do.START_TASK
    ended = observed(has_release_command=True, task=exited("migrate-dep-1", 1))
    assert pipeline.decide(migrate, ended) == Do.TAKE_OUTCOME


def test_healthy_waits_for_the_instances_and_for_the_edge() -> None:
    story = deploy(Step.HEALTHY, release="r-2")
    both = rules.Candidate(wanted=2, healthy=2)
    assert pipeline.decide(story, OBSERVED) is WAIT
    assert pipeline.decide(story, observed(candidate=rules.Candidate(2, 1))) is WAIT
    assert pipeline.decide(story, observed(candidate=both, edge_healthy=2)) is WAIT
    assert (
        pipeline.decide(story, observed(candidate=both, edge_healthy=1, edge_current=True)) is WAIT
    )
    well = pipeline.decide(story, observed(candidate=both, edge_healthy=2, edge_current=True))
    assert well == Next(detail="2 of 2 instances are healthy")


def test_a_crash_loop_fails_the_deploy_long_before_its_deadline() -> None:
    story = deploy(Step.HEALTHY, release="r-2")
    action = pipeline.decide(story, observed(candidate=rules.Candidate(2, 1, 3, "exited with 1")))
    fails(action, "start.crash-loop", "3 times", "exited with 1")
    assert pipeline.decide(story, observed(candidate=rules.Candidate(2, 1, 2))) is WAIT


def test_what_cannot_be_started_fails_the_deploy_at_once_and_in_its_own_words() -> None:
    story = deploy(Step.HEALTHY, release="r-2")
    hopeless = rules.Candidate(2, 1, rules.HOPELESS_CRASHES, "web.0 could not be started")
    action = pipeline.decide(story, observed(candidate=hopeless))
    fails(action, "start.crash-loop", "does not run: web.0 could not be started")
    last = replace(hopeless, crashes=rules.HOPELESS_CRASHES - 1)
    fails(pipeline.decide(story, observed(candidate=last)), "start.crash-loop", "ended 4 times")


WORKERS = rules.Candidate(wanted=0, healthy=0, workers=2)


def at_the_switch(candidate: rules.Candidate, **changes: Any) -> rules.Observed:
    return observed(live_release="r-2", edge_current=True, candidate=candidate, **changes)


def test_the_switch_is_done_when_the_workers_have_stayed_up_for_a_while() -> None:
    story = deploy(Step.SWITCH, release="r-2", previous_release="r-1")
    for steady in (0, 1):
        waiting = replace(WORKERS, steady_workers=steady)
        assert pipeline.decide(story, at_the_switch(waiting)) is WAIT
    done = pipeline.decide(story, at_the_switch(replace(WORKERS, steady_workers=2)))
    assert done == Next(detail="no process of it answers visitors")


@pytest.mark.parametrize("kind", list(DeployKind))
def test_a_worker_that_does_not_run_takes_the_release_back_but_holds_up_nobody_who_goes_back(
    kind: DeployKind,
) -> None:
    story = deploy(Step.SWITCH, kind=kind, release="r-2", previous_release="r-1")
    crashing = replace(WORKERS, crashes=3, message="worker.w.0 exited with 1")
    action = pipeline.decide(story, at_the_switch(crashing))
    if kind is DeployKind.ROLLBACK:
        assert action == Next(detail="no process of it answers visitors")
    else:
        fails(action, "start.crash-loop", "worker.w.0 exited with 1")
        early = pipeline.decide(story, at_the_switch(replace(crashing, crashes=2)))
        assert early is WAIT


@pytest.mark.parametrize(
    ("message", "why"), [("", ""), ("worker.w.0 exited with 1", ": worker.w.0 exited with 1")]
)
def test_workers_that_never_stay_up_end_the_switch_with_their_reason(
    message: str, why: str
) -> None:
    story = deploy(Step.SWITCH, release="r-2", previous_release="r-1")
    late = at_the_switch(
        replace(WORKERS, steady_workers=1, message=message), now=at(121), deadline_s=120
    )
    action = pipeline.decide(story, late)
    fails(action, "switch.workers", "1 of 2 workers")
    assert isinstance(action, Fail) and action.error["message"].endswith(f"within 120 s{why}")


@pytest.mark.parametrize(
    ("step", "candidate", "said"),
    [
        (Step.HEALTHY, None, ""),
        (Step.HEALTHY, rules.Candidate(2, 1), "1 of 2 instances are healthy"),
        (
            Step.HEALTHY,
            rules.Candidate(2, 0, message="web.0: it listens on 127.0.0.1:3099"),
            "0 of 2 instances are healthy: web.0: it listens on 127.0.0.1:3099",
        ),
        (Step.HEALTHY, rules.Candidate(2, 2, message="old"), ""),
        (Step.HEALTHY, replace(WORKERS, message="old"), ""),
        (Step.SWITCH, WORKERS, "0 of 2 workers stay up"),
        (
            Step.SWITCH,
            replace(WORKERS, steady_workers=1, message="worker.w.0 exited with 1"),
            "1 of 2 workers stay up: worker.w.0 exited with 1",
        ),
        (Step.SWITCH, replace(WORKERS, steady_workers=2, message="old"), ""),
        (Step.SMOKE, rules.Candidate(2, 1), ""),
    ],
)
def test_a_step_says_what_it_waits_for(
    step: Step, candidate: rules.Candidate | None, said: str
) -> None:
    story = deploy(step, release="r-2")
    assert rules.waiting_for(story, observed(candidate=candidate)) == said


def test_a_release_without_web_instances_does_not_wait_for_the_edge() -> None:
    story = deploy(Step.HEALTHY, release="r-2")
    workers_only = pipeline.decide(story, observed(candidate=rules.Candidate(0, 0)))
    assert workers_only == Next(detail="0 of 0 instances are healthy")


def test_smoke_is_tried_three_times() -> None:
    story = deploy(Step.SMOKE, release="r-2")
    none = Next(StepState.SKIPPED, "no smoke checks are declared")
    assert pipeline.decide(story, OBSERVED) == none
    assert pipeline.decide(story, observed(has_smoke=True)) == Do.ASK_SMOKE
    bad = SmokeResult(failures=("/: status 500", "/b: no answer"), checked=2)
    for attempts in (1, 2):
        again = observed(has_smoke=True, smoke=replace(bad, attempts=attempts))
        assert pipeline.decide(story, again) == Do.ASK_SMOKE
    action = pipeline.decide(story, observed(has_smoke=True, smoke=replace(bad, attempts=3)))
    fails(action, "smoke.failed", "/: status 500; /b: no answer")
    good = pipeline.decide(story, observed(has_smoke=True, smoke=SmokeResult((), 2)))
    assert good == Next(detail="2 paths answered well")


@pytest.mark.parametrize(
    ("rollout", "action"),
    [
        (None, Next(StepState.SKIPPED, "all traffic moves at once")),
        (RolloutProgress(), Do.BEGIN_ROLLOUT),
        (RolloutProgress(RolloutState.RUNNING), WAIT),
        (RolloutProgress(RolloutState.PAUSED), WAIT),
        (RolloutProgress(RolloutState.WAITING), WAIT),
        (
            RolloutProgress(RolloutState.PASSED, "3 stages went well"),
            Next(detail="3 stages went well"),
        ),
    ],
)
def test_the_rollout_has_rules_of_its_own(
    rollout: RolloutProgress | None, action: rules.Decision
) -> None:
    story = deploy(Step.ROLLOUT, release="r-2")
    assert pipeline.decide(story, observed(rollout=rollout)) == action


@pytest.mark.parametrize("state", [RolloutState.FAILED, RolloutState.ABORTED])
def test_a_rollout_that_was_taken_back_ends_the_deploy(state: RolloutState) -> None:
    story = deploy(Step.ROLLOUT, release="r-2")
    action = pipeline.decide(story, observed(rollout=RolloutProgress(state, "5 % failed")))
    fails(action, f"rollout.{state}", "5 % failed")


@pytest.mark.parametrize(
    ("previous", "action"),
    [
        (None, Next(StepState.SKIPPED, "nothing was live before")),
        ("r-2", Next(StepState.SKIPPED, "nothing was live before")),
        ("r-1", Next(detail="r-1 ends its requests and stays warm")),
    ],
)
def test_the_drain_holds_nobody_up(previous: str | None, action: rules.Decision) -> None:
    story = deploy(Step.DRAIN, release="r-2", previous_release=previous)
    assert pipeline.decide(story, OBSERVED) == action


def test_the_switch_is_done_when_the_public_port_answers_with_the_release() -> None:
    story = deploy(Step.SWITCH, release="r-2", previous_release="r-1")
    assert pipeline.decide(story, observed(live_release="r-1")) == Do.SWITCH
    assert pipeline.decide(story, observed(live_release="r-2")) is WAIT
    ask = observed(live_release="r-2", edge_current=True)
    assert pipeline.decide(story, ask) == Do.ASK_PUBLIC_PORT
    assert pipeline.decide(story, replace(ask, served_by="r-1")) == Do.ASK_PUBLIC_PORT
    done = pipeline.decide(story, replace(ask, served_by="r-2"))
    assert done == Next(detail="the public port answers with r-2")


def test_what_has_no_process_for_visitors_is_not_asked_whether_it_answers() -> None:
    story = deploy(Step.SWITCH, release="r-2", previous_release="r-1")
    nobody = observed(live_release="r-2", candidate=rules.Candidate(wanted=0, healthy=0))
    assert pipeline.decide(story, nobody) is WAIT, "the edge must have taken it all the same"
    done = pipeline.decide(story, replace(nobody, edge_current=True))
    assert done == Next(detail="no process of it answers visitors")


@pytest.mark.parametrize(
    ("step", "changes", "message", "hint"),
    [
        (Step.SWITCH, {}, "the edge did not take the new routes", "gantry status"),
        (Step.SWITCH, {"edge_current": True}, "answered by no release", "processes.web.health"),
        (
            Step.SWITCH,
            {"edge_current": True, "served_by": "r-1"},
            "answered by r-1",
            "processes.web.health",
        ),
        (Step.BUILD, {"build": build()}, "the step build took longer than 600 s", "build.timeout"),
        (Step.TEST, {}, "the step test", "test.timeout"),
        (Step.MIGRATE, {}, "the step migrate", "release.timeout"),
        (Step.START, {}, "the step start", "deploy again"),
        (Step.HEALTHY, {}, "not healthy within 600 s", "processes.web.health"),
    ],
)
def test_a_step_that_takes_too_long_says_what_would_help(
    step: Step, changes: dict[str, Any], message: str, hint: str
) -> None:
    story = deploy(step, build="b-1", release="r-2")
    action = pipeline.decide(
        story, observed(now=at(601), live_release="r-2", deadline_s=600, **changes)
    )
    code = "health.never-passed" if step is Step.HEALTHY else f"{step}.timeout"
    fails(action, code, message)
    assert isinstance(action, Fail)
    assert hint in action.error["hint"]


def test_a_deploy_needs_what_it_makes_live_and_what_comes_back_when_it_fails() -> None:
    assert deploy(Step.RELEASE).needs == ()
    assert deploy(Step.HEALTHY, release="r-2").needs == ("r-2",)
    assert deploy(Step.SWITCH, release="r-2", previous_release="r-1").needs == ("r-2", "r-1")


def test_pipelines_end_and_begin_where_they_should() -> None:
    assert steps_of(DeployKind.DEPLOY) == tuple(row.step for row in PIPELINE)
    assert set(steps_of(DeployKind.DEPLOY)) == set(Step), "each step has a row"
    assert steps_of(DeployKind.DEPLOY)[0] is Step.SOURCE
    assert steps_of(DeployKind.PROMOTE) == steps_of(DeployKind.DEPLOY)
    assert steps_of(DeployKind.ROLLBACK) == (Step.START, Step.HEALTHY, Step.SWITCH, Step.DRAIN)
    for kind in DeployKind:
        steps = steps_of(kind)
        assert following(kind, steps[-1]) is None
        assert [following(kind, step) for step in steps[:-1]] == list(steps[1:])


def test_the_table_is_complete() -> None:
    assert len({row.label for row in PIPELINE}) == len(PIPELINE)
    needed = {
        Step.SOURCE: {Do.READ_SOURCE},
        Step.BUILD: {Do.START_TASK, Do.TAKE_OUTCOME},
        Step.TEST: {Do.START_TASK, Do.TAKE_OUTCOME},
        Step.RELEASE: {Do.MAKE_RELEASE},
        Step.MIGRATE: {Do.START_TASK, Do.TAKE_OUTCOME, Do.PROVIDE_SERVICES},
        Step.START: {Do.START_RELEASE},
        Step.SMOKE: {Do.ASK_SMOKE},
        Step.ROLLOUT: {Do.BEGIN_ROLLOUT},
        Step.SWITCH: {Do.SWITCH, Do.ASK_PUBLIC_PORT},
    }
    assert {row.step: set(row.acts) for row in PIPELINE if row.acts} == needed
    assert {row.step for row in PIPELINE if row.task} == {Step.BUILD, Step.TEST, Step.MIGRATE}


def test_the_process_of_a_step_is_named_by_what_it_works_on() -> None:
    names = {
        step: pipeline.task_of(deploy(step, build="b-1"))
        for step in (Step.BUILD, Step.TEST, Step.MIGRATE, Step.HEALTHY)
    }
    assert names == {
        Step.BUILD: "build-b-1",
        Step.TEST: "test-b-1",
        Step.MIGRATE: "migrate-dep-1",
        Step.HEALTHY: None,
    }


def test_a_release_is_live_only_when_visitors_get_it() -> None:
    assert rules.is_live(deploy(release="r-2"), observed(live_release="r-2"))
    assert not rules.is_live(deploy(release="r-2"), observed(live_release="r-1"))
    assert not rules.is_live(deploy(), OBSERVED), "an environment and a deploy without a release"


def test_an_error_is_stored_whole() -> None:
    assert rules.error_of("a.b", "it broke", "fix it") == {
        "kind": "permanent",
        "code": "a.b",
        "message": "it broke",
        "hint": "fix it",
        "where": "",
    }


def test_a_deploy_can_be_cancelled_until_its_switch() -> None:
    may = [step for step in steps_of(DeployKind.DEPLOY) if pipeline.may_cancel(deploy(step))]
    assert may == list(steps_of(DeployKind.DEPLOY))[: list(Step).index(Step.SWITCH)]
    assert not pipeline.may_cancel(deploy(Step.BUILD, state=DeployState.FAILED))


def test_deadlines_are_those_of_the_manifest() -> None:
    manifest = parse_manifest(
        load_manifest(
            "[project]\nname = 'shop'\n[build]\ntimeout = '5m'\n[test]\ncommand = 'x'\ntimeout = '3m'\n"
            "[release]\ncommand = 'y'\ntimeout = '2m'\n[processes.web]\n"
            "health = { path = '/h', start_deadline = '45s' }\n[environments.production]\n",
            where="gantry.toml",
        )
        .for_environment("production")
        .model_dump(mode="json")
    )
    wanted = {
        Step.BUILD: 360.0,
        Step.TEST: 240.0,
        Step.MIGRATE: 180.0,
        Step.HEALTHY: 45.0,
        Step.ROLLOUT: math.inf,
        Step.SOURCE: 120.0,
        Step.SWITCH: 120.0,
    }
    assert {step: pipeline.deadline_s(step, manifest) for step in wanted} == wanted
    assert pipeline.deadline_s(Step.BUILD, None) == 120.0
    assert pipeline.deadline_s(Step.HEALTHY, load_manifest(ONLY_WORKERS)) == 120.0
    patient = '[project]\nname = "shop"\n[processes.web]\nhealth.start_deadline = "10m"\n'
    assert pipeline.deadline_s(Step.SWITCH, load_manifest(patient)) == 600.0
