"""The pipeline: which steps a deploy takes, in which order. No other place knows it; a new step is one row.

Read from top to bottom it is the story of a deploy: each row has the step's rule (what it needs next), its effects, the
longest that it may take, and its name for people.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from gantry.config.manifest import Manifest
from gantry.features.deploys import act, rules
from gantry.features.deploys.model import Deploy, DeployKind, DeployState, Step
from gantry.features.deploys.rules import Decision, Do, Fail, Observed
from gantry.kernel.units import counted

# Steps that do not run the project's own code have a fixed, generous deadline.
_QUICK_STEP_S = 120.0
# Above the deadline that a task enforces itself, so that its own words win.
_TASK_MARGIN_S = 60.0
_EVERY = frozenset(DeployKind)
# A release that was live before has passed its smoke checks; the database is never migrated backwards.
_NEW_RELEASE = frozenset(kind for kind in DeployKind if kind.makes_release)
_NEW_BUILD = frozenset({DeployKind.DEPLOY, DeployKind.PROMOTE})
# A restart changes neither what is live nor what was before.
_SWITCHING = _EVERY - {DeployKind.RESTART}


def _quick(manifest: Manifest) -> float:
    return _QUICK_STEP_S


def _for_build(manifest: Manifest) -> float:
    return manifest.build.timeout_s + _TASK_MARGIN_S


def _for_test(manifest: Manifest) -> float:
    return manifest.test.timeout_s + _TASK_MARGIN_S


def _for_migration(manifest: Manifest) -> float:
    return manifest.release.timeout_s + _TASK_MARGIN_S


def _for_start(manifest: Manifest) -> float:
    return manifest.web.health.start_deadline_s if manifest.web is not None else _QUICK_STEP_S


def _for_switch(manifest: Manifest) -> float:
    # A product that may take long to begin may take long to answer at the public port too.
    return max(_QUICK_STEP_S, _for_start(manifest))


def _for_restart(manifest: Manifest) -> float:
    """Instances follow each other; each may be tried more than once."""
    web_start_s = _for_start(manifest)
    return _QUICK_STEP_S + sum(
        (process.instances + 1)
        * (2 * web_start_s + process.drain.requests_s + process.drain.terminate_s)
        for process in manifest.long_running.values()
    )


def _never(manifest: Manifest) -> float:
    return math.inf  # its stages have their own times, and people may pause it


@dataclass(frozen=True, slots=True)
class Row:
    """One step of the pipeline.

    Attributes:
        label: what the step does, for people.
        rule: what it needs next.
        acts: how each of its effects is carried out.
        deadline: the longest that it may take, in seconds.
        kinds: the deploys that take it.
        task: id of the process that does its work; its output is the step's log.
        deadline_key: what in gantry.toml makes the deadline longer; empty where it is fixed.
        shows_instances: what the release's instances print meanwhile belongs to the step's log.
    """

    step: Step
    label: str
    rule: Callable[[Deploy, Observed], Decision]
    acts: Mapping[Do, act.Act] = field(default_factory=dict)
    deadline: Callable[[Manifest], float] = _quick
    deadline_key: str = ""
    kinds: frozenset[DeployKind] = _EVERY
    task: Callable[[Deploy], str] | None = None
    shows_instances: bool = False


PIPELINE: tuple[Row, ...] = (
    Row(Step.SOURCE, "Read source", rules.source, {Do.READ_SOURCE: act.read_source}, kinds=_NEW_BUILD),
    Row(
        Step.BUILD, "Build", rules.build, {Do.START_TASK: act.start_build, Do.TAKE_OUTCOME: act.take_build},
        deadline=_for_build, deadline_key="build.timeout", kinds=_NEW_BUILD, task=lambda deploy: f"build-{deploy.build}",
    ),
    Row(
        Step.TEST, "Test", rules.test, {Do.START_TASK: act.start_test, Do.TAKE_OUTCOME: act.take_test},
        deadline=_for_test, deadline_key="test.timeout", kinds=_NEW_BUILD, task=lambda deploy: f"test-{deploy.build}",
    ),
    Row(Step.SCAN, "Scan", rules.scan, kinds=_NEW_BUILD),
    Row(Step.RELEASE, "Make release", rules.release, {Do.MAKE_RELEASE: act.make_release}, kinds=_NEW_RELEASE),
    Row(
        Step.MIGRATE, "Migrate", rules.migrate,
        {
            Do.START_TASK: act.start_migration, Do.TAKE_OUTCOME: act.take_migration,
            Do.PROVIDE_SERVICES: act.provide_services,
        },
        deadline=_for_migration, deadline_key="release.timeout", kinds=_NEW_RELEASE,
        task=lambda deploy: deploy.migrate_task,
    ),
    Row(Step.START, "Start instances", rules.start, {Do.START_RELEASE: act.start_release}, shows_instances=True),
    Row(Step.HEALTHY, "Wait until healthy", rules.healthy, deadline=_for_start, shows_instances=True),
    Row(Step.SMOKE, "Smoke checks", rules.smoke, {Do.ASK_SMOKE: act.ask_smoke}, kinds=_NEW_RELEASE),
    Row(
        Step.ROLLOUT, "Rollout", rules.rollout, {Do.BEGIN_ROLLOUT: act.begin_rollout},
        deadline=_never, kinds=_NEW_RELEASE,
    ),
    Row(
        Step.SWITCH, "Switch traffic", rules.switch,
        {Do.SWITCH: act.switch, Do.ASK_PUBLIC_PORT: act.ask_public_port},
        deadline=_for_switch, kinds=_SWITCHING,
    ),
    Row(Step.DRAIN, "Drain the old release", rules.drain, kinds=_SWITCHING),
)  # fmt: skip

ROWS: Mapping[Step, Row] = {row.step: row for row in PIPELINE}


class Intent(Enum):
    """What becomes of a deploy as a whole."""

    BEGIN = "take it from the queue"
    CANCEL = "end it because somebody asked"


def steps_of(kind: DeployKind) -> tuple[Step, ...]:
    """The steps that a deploy of `kind` takes, in order."""
    return tuple(row.step for row in PIPELINE if kind in row.kinds)


def following(kind: DeployKind, step: Step) -> Step | None:
    """The step after `step`, or `None` after the last."""
    steps = steps_of(kind)
    position = steps.index(step) + 1
    return steps[position] if position < len(steps) else None


def may_cancel(deploy: Deploy) -> bool:
    """A deploy can be cancelled until its switch; afterwards a rollback is the way back."""
    steps = steps_of(deploy.kind)
    if deploy.state.ended or Step.SWITCH not in steps:
        return not deploy.state.ended
    return steps.index(deploy.step) < steps.index(Step.SWITCH)


def deadline_s(
    step: Step, manifest: Manifest | None, kind: DeployKind = DeployKind.DEPLOY
) -> float:
    """The longest that `step` may take; before the manifest is known, as long as a step without the project's code."""
    if kind is DeployKind.RESTART and step is Step.HEALTHY and manifest is not None:
        return _for_restart(manifest)
    return ROWS[step].deadline(manifest) if manifest is not None else _QUICK_STEP_S


def task_of(deploy: Deploy) -> str | None:
    """Id of the process that does the work of the present step, where a process does."""
    task = ROWS[deploy.step].task
    return task(deploy) if task is not None else None


def decide(deploy: Deploy, observed: Observed) -> Decision | Intent:
    """What the deploy needs next."""
    if deploy.state is DeployState.QUEUED:
        return Intent.CANCEL if deploy.cancel_requested else Intent.BEGIN
    switched = deploy.kind is not DeployKind.RESTART and rules.is_live(deploy, observed)
    if deploy.cancel_requested and not switched:
        return Intent.CANCEL
    assert deploy.step_started_at is not None, "an active deploy has begun its step"
    if (observed.now - deploy.step_started_at).total_seconds() > observed.deadline_s:
        return Fail(_too_long(deploy, observed))
    return ROWS[deploy.step].rule(deploy, observed)


def _too_long(deploy: Deploy, observed: Observed) -> Mapping[str, str]:
    why = observed.candidate.message if observed.candidate is not None else ""
    if deploy.step is Step.HEALTHY:
        return rules.error_of(
            "health.never-passed",
            f"the new release was not healthy within {observed.deadline_s:.0f} s"
            + (f": {why}" if why else ""),
            "check processes.web.health in gantry.toml and the log; the live release still serves",
        )
    if deploy.step is Step.SWITCH:
        return _not_confirmed(observed)
    key = ROWS[deploy.step].deadline_key
    return rules.error_of(
        f"{deploy.step}.timeout",
        f"the step {deploy.step} took longer than {observed.deadline_s:.0f} s",
        "the log says how far it came; "
        + (f"raise {key} in gantry.toml where it needs longer" if key else "deploy again"),
    )


def _not_confirmed(observed: Observed) -> Mapping[str, str]:
    candidate = observed.candidate
    if candidate is not None and candidate.steady_workers < candidate.workers:
        return rules.error_of(
            "switch.workers",
            f"{candidate.steady_workers} of {counted(candidate.workers, 'worker')} of the new release stayed up within "
            f"{observed.deadline_s:.0f} s"
            + (f": {candidate.message}" if candidate.message else ""),
            "read their log; what was live before serves again",
        )
    if not observed.edge_current:
        return rules.error_of(
            "switch.timeout",
            f"the edge did not take the new routes within {observed.deadline_s:.0f} s",
            "gantry status says what it refused; what was live before serves again",
        )
    return rules.error_of(
        "switch.timeout",
        f"within {observed.deadline_s:.0f} s no request to the public port reached the new release; "
        f"the last was answered by {observed.served_by or 'no release'}",
        "the path of processes.web.health is asked there: raise its timeout in gantry.toml where it is slow; "
        "what was live before serves again",
    )
