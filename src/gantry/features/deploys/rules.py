"""The rules of the pipeline's steps: from a deploy and what was observed to what its step needs next. Pure.

A rule answers one of four things: `Wait` (a process, a probe or the reconciler must move first), `Do` (an effect), `Next`
(the step is over) or `Fail`. Every effect may be carried out more than once, because a control plane may die after the
effect and before its record. Which rule belongs to which step stands in `pipeline.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum

from gantry.engines.runtime.protocol import ProcessState, ProcessStatus
from gantry.features.builds.model import Build, BuildState
from gantry.features.deploys.model import Deploy, DeployKind, Step, StepState
from gantry.features.instances.rules import CRASH_LOOP_FAILURES
from gantry.features.probes.public import SmokeResult
from gantry.features.rollouts.model import RolloutState
from gantry.kernel.units import counted

CRASHES_BEFORE_FAILURE = 3
# So many ends are recorded at once of what would end the same way every time.
HOPELESS_CRASHES = CRASH_LOOP_FAILURES
# One bad answer may be a cold cache; three in a row are the release.
SMOKE_ATTEMPTS = 3
_SUPERSEDED = "another release went live meanwhile: its instances are new"


@dataclass(frozen=True, slots=True)
class Candidate:
    """The instances of the release that is to go live, as a group.

    Attributes:
        wanted: how many of them.
        healthy: how many are healthy.
        crashes: the most ends in a row of any instance of the release, workers too.
        message: what is wrong with the worst of them.
        workers: how many instances of workers are wanted; none before the release is live.
        steady_workers: how many of them have stayed up for a while.
    """

    wanted: int
    healthy: int
    crashes: int = 0
    message: str = ""
    workers: int = 0
    steady_workers: int = 0


@dataclass(frozen=True, slots=True)
class RolloutProgress:
    """How far the rollout of a deploy is.

    Attributes:
        state: `None` before it has begun.
        reason: why it ended, in one sentence.
    """

    state: RolloutState | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RestartProgress:
    """How far the restart of a release's instances is.

    Attributes:
        wanted: how many are to be started anew.
        done: of these, how many were, and are healthy.
        over: none of the old ones, and no additional one, is there any more.
        crashes: the most ends in a row of any that was started anew.
        message: how it ended last.
    """

    wanted: int
    done: int
    over: bool
    crashes: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """What was observed for one deploy.

    Attributes:
        task: the process of the present step, if it has one.
        has_release_command: the manifest declares migrations.
        release_number: of the release that this deploy made or returns to.
        live_release: what the environment routes to.
        edge_current: the edge acknowledged the configuration that the database implies.
        edge_healthy: instances of the candidate that the edge itself calls healthy.
        rollout: how the traffic moves in stages; `None` when it moves at once.
        restart: how far the restart of the live release's instances is, where the deploy is one.
        served_by: release that the public port answered with, asked after the switch; empty before.
        deadline_s: the longest that the present step may take.
    """

    now: datetime
    build: Build | None = None
    task: ProcessStatus | None = None
    has_release_command: bool = False
    release_number: int | None = None
    live_release: str | None = None
    candidate: Candidate | None = None
    edge_current: bool = False
    edge_healthy: int = 0
    smoke: SmokeResult | None = None
    has_smoke: bool = False
    rollout: RolloutProgress | None = None
    restart: RestartProgress | None = None
    served_by: str = ""
    deadline_s: float = 600.0


class Do(StrEnum):
    """An effect that a step needs."""

    READ_SOURCE = "read the manifest, check the variables, and find or claim the build"
    START_TASK = "start the process of the step"
    TAKE_OUTCOME = "record what came of the step's process"
    MAKE_RELEASE = "freeze build and configuration into a release"
    PROVIDE_SERVICES = "make sure that the environment's databases and caches exist"
    START_RELEASE = "want the release's instances to run"
    ASK_SMOKE = "ask the release's own address for each smoke path, through the edge"
    BEGIN_ROLLOUT = "give the candidate its first share"
    SWITCH = "route visitors to the release"
    ASK_PUBLIC_PORT = "ask from outside which release answers"


class Wait(Enum):
    """Something else must move first."""

    WAIT = "wait"


WAIT = Wait.WAIT


@dataclass(frozen=True, slots=True)
class Next:
    """The step is over: go on with the next one, or end in success after the last."""

    state: StepState = StepState.DONE
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Fail:
    """End the deploy. What it started is stopped; what was live stays, or comes back."""

    error: Mapping[str, str] = field(default_factory=dict)


Decision = Wait | Do | Next | Fail


def source(deploy: Deploy, observed: Observed) -> Decision:
    """The tree is read once."""
    if deploy.manifest is None:
        return Do.READ_SOURCE
    return Next(detail=f"snapshot {deploy.source_digest[:12]}")


def build(deploy: Deploy, observed: Observed) -> Decision:
    """A tree is built once, whoever asked for it first."""
    found = observed.build
    assert found is not None and deploy.started_at is not None, "the source step claimed a build"
    match found.state:
        case BuildState.BUILT | BuildState.READY if found.created_at < deploy.started_at:
            return Next(StepState.SKIPPED, f"this tree was built before, as {found.id}")
        case BuildState.BUILT | BuildState.READY:
            return Next(detail=_phases(found))
        case BuildState.BUILDING:
            return _task(observed)
        case BuildState.FAILED | BuildState.GONE:
            return Fail(found.error or _gone(found))


def test(deploy: Deploy, observed: Observed) -> Decision:
    """A build is tested once, before its first release."""
    found = observed.build
    assert found is not None and deploy.started_at is not None, "the source step claimed a build"
    tested_here = observed.task is not None and found.created_at >= deploy.started_at
    match found.state:
        case BuildState.BUILT:
            return _task(observed)
        case BuildState.READY if tested_here:
            return Next(detail="the project's tests passed")
        case BuildState.READY:
            return Next(StepState.SKIPPED, "nothing to test, or tested before")
        case BuildState.BUILDING | BuildState.FAILED | BuildState.GONE:
            return Fail(found.error or _gone(found))


def scan(deploy: Deploy, observed: Observed) -> Decision:
    """Nothing scans artifacts yet, and the deploy says so."""
    return Next(StepState.SKIPPED, "no scanner is set up")


def release(deploy: Deploy, observed: Observed) -> Decision:
    """One release for each deploy."""
    if deploy.release is None:
        return Do.MAKE_RELEASE
    return Next(detail=f"release {observed.release_number}")


def migrate(deploy: Deploy, observed: Observed) -> Decision:
    """The release command runs once; services are provided together with its start, or without it alone."""
    return _task(observed) if observed.has_release_command else Do.PROVIDE_SERVICES


def start(deploy: Deploy, observed: Observed) -> Decision:
    """The reconciler starts instances; the step says that they are wanted."""
    if deploy.kind is DeployKind.RESTART and not is_live(deploy, observed):
        return Next(StepState.SKIPPED, _SUPERSEDED)
    return Do.START_RELEASE


def healthy(deploy: Deploy, observed: Observed) -> Decision:
    """Every instance is healthy, and the edge says so too; of a restart, every one that was started anew."""
    if deploy.kind is DeployKind.RESTART:
        return _restarted(deploy, observed)
    candidate = observed.candidate
    if candidate is None:
        return WAIT
    if candidate.crashes >= CRASHES_BEFORE_FAILURE:
        return _crash_loop(candidate, "the live release still serves")
    if candidate.healthy < candidate.wanted:
        return WAIT
    seen_by_edge = observed.edge_current and observed.edge_healthy >= candidate.wanted
    if candidate.wanted and not seen_by_edge:
        return WAIT
    return Next(detail=_healthy(candidate))


def _healthy(candidate: Candidate) -> str:
    """`2 of 3 instances are healthy`."""
    are = "is" if candidate.wanted == 1 else "are"
    return f"{candidate.healthy} of {counted(candidate.wanted, 'instance')} {are} healthy"


def waiting_for(deploy: Deploy, observed: Observed) -> str:
    """What the present step waits for, for people; empty where there is nothing to say of it."""
    candidate = observed.candidate
    if candidate is None:
        return ""
    if deploy.step is Step.HEALTHY and candidate.healthy < candidate.wanted:
        said = _healthy(candidate)
    elif deploy.step is Step.SWITCH and candidate.steady_workers < candidate.workers:
        stay = "stays" if candidate.workers == 1 else "stay"
        said = f"{candidate.steady_workers} of {counted(candidate.workers, 'worker')} {stay} up"
    else:
        return ""
    return said + (f": {candidate.message}" if candidate.message else "")


def smoke(deploy: Deploy, observed: Observed) -> Decision:
    """Every smoke path answers well, in one of three tries."""
    if not observed.has_smoke:
        return Next(StepState.SKIPPED, "no smoke checks are declared")
    if observed.smoke is None:
        return Do.ASK_SMOKE
    if not observed.smoke.failures:
        return Next(detail=f"{counted(observed.smoke.checked, 'path')} answered well")
    if observed.smoke.attempts < SMOKE_ATTEMPTS:
        return Do.ASK_SMOKE
    return Fail(
        error_of(
            "smoke.failed",
            f"the new release does not answer as it should: {'; '.join(observed.smoke.failures)}",
            "open its own address to see for yourself; the live release still serves",
        )
    )


def rollout(deploy: Deploy, observed: Observed) -> Decision:
    """The rollout has rules of its own; the step begins it and takes its result."""
    if observed.rollout is None:
        return Next(StepState.SKIPPED, "all traffic moves at once")
    match observed.rollout.state:
        case None:
            return Do.BEGIN_ROLLOUT
        case RolloutState.PASSED:
            return Next(detail=observed.rollout.reason)
        case RolloutState.FAILED | RolloutState.ABORTED as state:
            return Fail(
                error_of(
                    f"rollout.{state}",
                    f"the new release was taken back: {observed.rollout.reason}",
                    "gantry rollout status shows the numbers; the previous release has all traffic",
                )
            )
        case _:
            return WAIT


def switch(deploy: Deploy, observed: Observed) -> Decision:
    """Done when a request from outside reaches the release."""
    if not is_live(deploy, observed):
        return Do.SWITCH
    candidate = observed.candidate
    # Workers begin with the switch. Somebody who goes back has a reason to, and the web process counts more.
    judged = candidate if deploy.kind is not DeployKind.ROLLBACK else None
    if judged is not None and judged.crashes >= CRASHES_BEFORE_FAILURE:
        return _crash_loop(judged, "what was live before serves again")
    if not observed.edge_current:
        return WAIT
    if judged is not None and judged.steady_workers < judged.workers:
        return WAIT
    if candidate is not None and not candidate.wanted:
        return Next(detail="no process of it answers visitors")
    if observed.served_by != deploy.release:
        return Do.ASK_PUBLIC_PORT
    return Next(detail=f"the public port answers with {deploy.release}")


def drain(deploy: Deploy, observed: Observed) -> Decision:
    """The release before is retired by its own rules; a deploy does not hold the queue for its requests and streams."""
    if deploy.previous_release is None or deploy.previous_release == deploy.release:
        return Next(StepState.SKIPPED, "nothing was live before")
    return Next(detail=f"{deploy.previous_release} ends its requests and stays warm")


def is_live(deploy: Deploy, observed: Observed) -> bool:
    """Visitors get this deploy's release."""
    return deploy.release is not None and observed.live_release == deploy.release


def error_of(code: str, message: str, hint: str) -> Mapping[str, str]:
    """An error that ends a deploy, as it is stored."""
    return {"kind": "permanent", "code": code, "message": message, "hint": hint, "where": ""}


def _restarted(deploy: Deploy, observed: Observed) -> Decision:
    """The reconciler exchanges the instances; it is over when no old one is left."""
    progress = observed.restart
    if not is_live(deploy, observed) or progress is None:
        return Next(StepState.SKIPPED, _SUPERSEDED)
    if progress.crashes >= CRASHES_BEFORE_FAILURE:
        return Fail(
            error_of(
                "start.crash-loop",
                f"an instance that was started anew ended {counted(progress.crashes, 'time')}: {progress.message}",
                "read its log; the instances whose turn had not come still serve",
            )
        )
    if not progress.over or progress.done < progress.wanted:
        return WAIT
    instances = "instance was" if progress.wanted == 1 else "instances were"
    return Next(detail=f"{progress.wanted} {instances} started anew")


def _crash_loop(candidate: Candidate, still: str) -> Fail:
    return Fail(
        error_of(
            "start.crash-loop",
            f"an instance of the new release ended {counted(candidate.crashes, 'time')}: {candidate.message}"
            if candidate.crashes < HOPELESS_CRASHES
            else f"an instance of the new release does not run: {candidate.message}",
            f"read its log; {still}",
        )
    )


def _task(observed: Observed) -> Decision:
    if observed.task is None or observed.task.state is ProcessState.LOST:
        return Do.START_TASK
    if observed.task.state is ProcessState.RUNNING:
        return WAIT
    return Do.TAKE_OUTCOME


def _phases(found: Build) -> str:
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in found.phases.items())


def _gone(found: Build) -> Mapping[str, str]:
    return error_of(
        "build.gone", f"the artifact of build {found.id} is no longer kept", "deploy again"
    )
