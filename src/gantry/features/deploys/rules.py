"""The pipeline as a pure function: from a deploy and what was seen to the next smallest action.

Every action may be carried out more than once, because a control plane may die after the effect and before
its record. `None` is "wait": something else (a process, a probe, the reconciler) must move first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from gantry.engines.runtime.protocol import ProcessState, ProcessStatus
from gantry.features.builds.model import Build, BuildState
from gantry.features.deploys.model import Deploy, DeployState, Step, StepState
from gantry.features.rollouts.model import RolloutState

Task = Literal["build", "test", "migrate"]
CRASHES_BEFORE_FAILURE = 3
# One bad answer may be a cold cache; three in a row are the release.
SMOKE_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """The instances of the release that is to go live, as a group.

    Attributes:
        wanted: how many of them.
        healthy: how many are healthy.
        crashes: the most ends in a row of any of them.
        message: what is wrong with the worst of them.
    """

    wanted: int
    healthy: int
    crashes: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Smoke:
    """What the smoke checks said.

    Attributes:
        failures: one sentence for each path that failed.
        attempts: how often all paths were asked.
    """

    failures: tuple[str, ...]
    checked: int
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class RolloutSeen:
    """How the rollout of a deploy stands.

    Attributes:
        state: `None` before it has begun.
        reason: why it ended, in one sentence.
    """

    state: RolloutState | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was observed for one deploy.

    Attributes:
        task: the process of the present step (build, test or migrate), if there is one.
        has_release_command: the manifest declares migrations.
        live_release: what the environment routes to.
        edge_current: the edge acknowledged the configuration that the database implies.
        edge_healthy: instances of the candidate that the edge itself calls healthy.
        rollout: how the traffic moves in stages; `None` when it moves at once.
        reached: release that the public port answered with, asked after the switch; empty before.
        deadline_s: the longest that the present step may take.
    """

    now: datetime
    build: Build | None = None
    task: ProcessStatus | None = None
    has_release_command: bool = False
    live_release: str | None = None
    candidate: Candidate | None = None
    edge_current: bool = False
    edge_healthy: int = 0
    smoke: Smoke | None = None
    has_smoke: bool = False
    rollout: RolloutSeen | None = None
    reached: str = ""
    deadline_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Begin:
    """Take it from the queue."""


@dataclass(frozen=True, slots=True)
class ReadSource:
    """Read the manifest from the snapshot, check the variables, and find or claim the build."""


@dataclass(frozen=True, slots=True)
class RunTask:
    """Start the process of the step."""

    task: Task


@dataclass(frozen=True, slots=True)
class TakeOutcome:
    """The step's process ended: record what came of it."""

    task: Task


@dataclass(frozen=True, slots=True)
class MakeRelease:
    """Freeze build and configuration into a release."""


@dataclass(frozen=True, slots=True)
class ProvideServices:
    """Make sure that the databases and caches of the environment exist."""


@dataclass(frozen=True, slots=True)
class StartRelease:
    """Want the candidate's instances to run."""


@dataclass(frozen=True, slots=True)
class RunSmoke:
    """Ask the candidate's own address for each smoke path, through the edge."""


@dataclass(frozen=True, slots=True)
class BeginRollout:
    """Give the candidate its first share."""


@dataclass(frozen=True, slots=True)
class Switch:
    """Route visitors to the candidate."""


@dataclass(frozen=True, slots=True)
class AskPublicPort:
    """Ask from outside which release answers."""


@dataclass(frozen=True, slots=True)
class Advance:
    """Go on to the next step, or end in success after the last."""

    state: StepState = StepState.DONE
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Fail:
    """End it. What it started is stopped; what was live stays, or comes back."""

    error: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cancel:
    """End it because somebody asked."""


Action = (
    Begin
    | ReadSource
    | RunTask
    | TakeOutcome
    | MakeRelease
    | ProvideServices
    | StartRelease
    | RunSmoke
    | BeginRollout
    | Switch
    | AskPublicPort
    | Advance
    | Fail
    | Cancel
)


def decide(deploy: Deploy, seen: Seen) -> Action | None:
    """The next action, or `None` to wait."""
    if deploy.state is DeployState.QUEUED:
        return Cancel() if deploy.cancel_requested else Begin()
    if deploy.cancel_requested and not _is_live(deploy, seen):
        return Cancel()
    if _overdue(deploy, seen):
        return Fail(_too_long(deploy, seen))
    return _STEPS[deploy.step](deploy, seen)


def _is_live(deploy: Deploy, seen: Seen) -> bool:
    return deploy.release is not None and seen.live_release == deploy.release


def _overdue(deploy: Deploy, seen: Seen) -> bool:
    assert deploy.step_started_at is not None, "an active deploy has begun its step"
    return (seen.now - deploy.step_started_at).total_seconds() > seen.deadline_s


def _source(deploy: Deploy, seen: Seen) -> Action | None:
    return ReadSource()


def _build(deploy: Deploy, seen: Seen) -> Action | None:
    build = seen.build
    assert build is not None and deploy.started_at is not None, "the source step claimed a build"
    match build.state:
        case BuildState.BUILT | BuildState.READY if build.created_at < deploy.started_at:
            return Advance(StepState.SKIPPED, f"this tree was built before, as {build.id}")
        case BuildState.BUILT | BuildState.READY:
            return Advance(detail=_phases(build))
        case BuildState.BUILDING:
            return _task("build", seen)
        case BuildState.FAILED | BuildState.GONE:
            return Fail(build.error or _gone(build))


def _test(deploy: Deploy, seen: Seen) -> Action | None:
    build = seen.build
    assert build is not None and deploy.started_at is not None, "the source step claimed a build"
    tested_here = seen.task is not None and build.created_at >= deploy.started_at
    match build.state:
        case BuildState.BUILT:
            return _task("test", seen)
        case BuildState.READY if tested_here:
            return Advance(detail="the project's tests passed")
        case BuildState.READY:
            return Advance(StepState.SKIPPED, "nothing to test, or tested before")
        case BuildState.BUILDING | BuildState.FAILED | BuildState.GONE:
            return Fail(build.error or _gone(build))


def _release(deploy: Deploy, seen: Seen) -> Action | None:
    return MakeRelease() if deploy.release is None else Advance()


def _migrate(deploy: Deploy, seen: Seen) -> Action | None:
    if seen.has_release_command:
        # Services are provided together with the start of the release command.
        return _task("migrate", seen)
    return ProvideServices()


def _start(deploy: Deploy, seen: Seen) -> Action | None:
    return StartRelease()


def _healthy(deploy: Deploy, seen: Seen) -> Action | None:
    candidate = seen.candidate
    if candidate is None:
        return None
    if candidate.crashes >= CRASHES_BEFORE_FAILURE:
        return Fail(
            _error(
                "start.crash-loop",
                f"an instance of the new release ended {candidate.crashes} times: {candidate.message}",
                "read its log below; the release before still serves",
            )
        )
    if candidate.healthy < candidate.wanted:
        return None
    if candidate.wanted and (not seen.edge_current or seen.edge_healthy < candidate.wanted):
        return None
    return Advance(detail=f"{candidate.healthy} of {candidate.wanted} instances are healthy")


def _smoke(deploy: Deploy, seen: Seen) -> Action | None:
    if not seen.has_smoke:
        return Advance(StepState.SKIPPED, "no smoke checks are declared")
    if seen.smoke is None:
        return RunSmoke()
    if not seen.smoke.failures:
        return Advance(detail=f"{seen.smoke.checked} paths answered well")
    if seen.smoke.attempts < SMOKE_ATTEMPTS:
        return RunSmoke()
    return Fail(
        _error(
            "smoke.failed",
            f"the new release does not answer as it should: {'; '.join(seen.smoke.failures)}",
            "open its own address to see for yourself; the release before still serves",
        )
    )


def _rollout(deploy: Deploy, seen: Seen) -> Action | None:
    if seen.rollout is None:
        return Advance(StepState.SKIPPED, "all traffic moves at once")
    match seen.rollout.state:
        case None:
            return BeginRollout()
        case RolloutState.PASSED:
            return Advance(detail=seen.rollout.reason)
        case RolloutState.FAILED | RolloutState.ABORTED as state:
            return Fail(
                _error(
                    f"rollout.{state}",
                    f"the new release was taken back: {seen.rollout.reason}",
                    "gantry rollout status shows the numbers; the release before has all traffic",
                )
            )
        case _:
            return None


def _switch(deploy: Deploy, seen: Seen) -> Action | None:
    if not _is_live(deploy, seen):
        return Switch()
    if not seen.edge_current:
        return None
    if seen.reached != deploy.release:
        return AskPublicPort()
    return Advance(detail=f"the public port answers with {deploy.release}")


def _drain(deploy: Deploy, seen: Seen) -> Action | None:
    # The release before is retired by its own rules, with deadlines for its requests and streams; a deploy
    # does not hold the queue for them.
    if deploy.previous_release is None or deploy.previous_release == deploy.release:
        return Advance(StepState.SKIPPED, "nothing was live before")
    return Advance(detail=f"{deploy.previous_release} ends its requests and stays warm")


_STEPS = {
    Step.SOURCE: _source,
    Step.BUILD: _build,
    Step.TEST: _test,
    Step.RELEASE: _release,
    Step.MIGRATE: _migrate,
    Step.START: _start,
    Step.HEALTHY: _healthy,
    Step.SMOKE: _smoke,
    Step.ROLLOUT: _rollout,
    Step.SWITCH: _switch,
    Step.DRAIN: _drain,
}


def _task(task: Task, seen: Seen) -> Action | None:
    if seen.task is None or seen.task.state is ProcessState.LOST:
        return RunTask(task)
    if seen.task.state is ProcessState.RUNNING:
        return None
    return TakeOutcome(task)


def _phases(build: Build) -> str:
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in build.phases.items())


def _gone(build: Build) -> Mapping[str, str]:
    return _error(
        "build.gone", f"the artifact of build {build.id} is no longer kept", "deploy again"
    )


def _too_long(deploy: Deploy, seen: Seen) -> Mapping[str, str]:
    why = seen.candidate.message if seen.candidate is not None else ""
    if deploy.step is Step.HEALTHY:
        return _error(
            "health.never-passed",
            f"the new release was not healthy within {seen.deadline_s:.0f} s"
            + (f": {why}" if why else ""),
            "check processes.web.health in gantry.toml and the log below; "
            "the release before still serves",
        )
    return _error(
        f"{deploy.step}.timeout",
        f"the step {deploy.step} took longer than {seen.deadline_s:.0f} s",
        "the log says how far it came; deadlines are set in gantry.toml",
    )


def _error(code: str, message: str, hint: str) -> Mapping[str, str]:
    return {"kind": "permanent", "code": code, "message": message, "hint": hint, "where": ""}
