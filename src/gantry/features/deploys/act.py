"""The effects of the pipeline's steps. Each comes before its record, and may be repeated.

An effect that ends its step returns `Next`; otherwise the step is decided again after the next look.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from gantry.engines.builders.protocol import BuildOutcome, Workshop
from gantry.engines.database.protocol import Database, Session
from gantry.engines.runtime.protocol import ProcessStatus, Runtime
from gantry.features.builds import store as builds
from gantry.features.builds.model import Build
from gantry.features.deploys import store
from gantry.features.deploys.model import Deploy, DeployKind, StepState
from gantry.features.deploys.rules import Next
from gantry.features.deploys.source import SourceReader
from gantry.features.instances.launching import Launcher, wanted_services
from gantry.features.probes.public import PublicProbe, SmokeResult
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.releases import store as releases
from gantry.features.releases.model import Release, ReleaseState
from gantry.features.releases.reading import manifest_of, parse_manifest
from gantry.features.rollouts import store as rollouts
from gantry.features.rollouts.model import Rollout, RolloutState
from gantry.features.rollouts.rules import stages_of
from gantry.features.services.extensions import refused_extension
from gantry.features.variables.service import VariableService
from gantry.kernel.clock import Clock
from gantry.kernel.errors import PermanentError
from gantry.kernel.ids import IdSource

TaskName = Literal["build", "test", "migrate"]
_TAIL_BYTES = 4_000


@dataclass(frozen=True, slots=True)
class Work:
    """A deploy with what belongs to it, as one look showed it.

    Attributes:
        release: the one that it made or returns to.
        rollout: its own, also when it has ended.
        processes: those of its tasks, by id.
        shares_build: another open deploy works with the same build.
    """

    deploy: Deploy
    environment: Environment
    release: Release | None
    build: Build | None
    rollout: Rollout | None
    processes: Mapping[str, ProcessStatus]
    shares_build: bool = False

    @property
    def made_release(self) -> Release:
        """The release; there is one from the release step on."""
        assert self.release is not None, "the release step made one"
        return self.release

    @property
    def claimed_build(self) -> Build:
        """The build; there is one from the source step on."""
        assert self.build is not None, "the source step claimed one"
        return self.build


@dataclass(slots=True)
class Answers:
    """What was asked from outside for open deploys. May be forgotten at any time, at the price of asking again.

    Attributes:
        smoke: deploy -> result of its smoke checks.
        served_by: deploy -> release that the public port answered with.
        waiting: deploy -> what its present step waits for, for people.
    """

    smoke: dict[str, SmokeResult] = field(default_factory=dict)
    served_by: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)

    def forget(self, deploy_id: str) -> None:
        """The deploy has ended."""
        self.smoke.pop(deploy_id, None)
        self.served_by.pop(deploy_id, None)
        self.waiting.pop(deploy_id, None)


@dataclass(frozen=True, slots=True)
class Context:
    """What effects work with.

    Attributes:
        released: called when a release was made or went live: its files may be served without it now.
    """

    database: Database
    runtime: Runtime
    workshop: Workshop
    source_reader: SourceReader
    launcher: Launcher
    variables: VariableService
    probe: PublicProbe
    answers: Answers
    clock: Clock
    ids: IdSource
    released: Callable[[], None]


Act = Callable[[Context, Work], Awaitable[Next | None]]


async def read_source(context: Context, work: Work) -> Next:
    """Read the manifest from the snapshot, ask the gates, and find or claim the build."""
    return Next(detail=await context.source_reader.read(work.deploy, work.environment))


async def start_build(context: Context, work: Work) -> None:
    """Start the process that builds."""
    await _start_task(context, work, "build")


async def start_test(context: Context, work: Work) -> None:
    """Start the process that runs the project's tests."""
    await _start_task(context, work, "test")


async def take_build(context: Context, work: Work) -> None:
    """Record what the build made.

    Raises:
        PermanentError: why it made nothing.
    """
    build, manifest = work.claimed_build, parse_manifest(work.deploy.manifest or {})
    outcome = await _outcome(context, work, "build", build.build_task)
    assert outcome.artifact is not None, "a build without an error has an artifact"
    artifact = outcome.artifact
    async with context.database.transaction() as session:
        await builds.set_built(
            session,
            build.id,
            artifact,
            phases=outcome.phases,
            ready=not manifest.test.command,
            at=context.clock.now(),
        )


async def take_test(context: Context, work: Work) -> None:
    """Record that the project's tests passed.

    Raises:
        PermanentError: they did not.
    """
    build = work.claimed_build
    await _outcome(context, work, "test", build.test_task)
    async with context.database.transaction() as session:
        await builds.set_ready(session, build.id)


async def make_release(context: Context, work: Work) -> Next:
    """Freeze build and configuration into a release."""
    checks = context.source_reader.checks
    async with context.database.transaction() as session:
        environment = await projects.lock_environment(session, work.deploy.environment)
        deploy = await _taken_over(session, work.deploy, environment)
        assert deploy.build is not None, "a build was claimed, or is live"
        manifest = (
            parse_manifest(deploy.manifest)
            if deploy.manifest is not None  # not of a promotion that an older Gantry has queued
            else await checks.manifest(deploy.source_digest, work.environment)
        )
        # Asked anew: a variable, say, may have been taken away since the deploy was queued.
        await checks.tree_may_go_live(
            session, environment, manifest, branch=deploy.commit.branch, build=deploy.build
        )
        values = await context.variables.reveal(session, deploy.environment)
        number = await projects.next_release_number(session, deploy.environment)
        release = Release(
            id=context.ids.new("r"),
            environment=deploy.environment,
            number=number,
            build=deploy.build,
            manifest=manifest.model_dump(mode="json"),
            commit=deploy.commit,
            state=ReleaseState.PENDING,
            created_at=context.clock.now(),
        )
        sealed = context.variables.seal_all({**manifest.variables.plain, **values})
        await releases.insert(session, release, variables_sealed=sealed)
        await store.set_release(session, deploy.id, release.id)
    context.released()
    return Next(detail=f"release {number}")


async def _taken_over(session: Session, deploy: Deploy, environment: Environment) -> Deploy:
    """A redeploy takes what is live when its turn has come, which may be newer than what was live when it was queued."""
    if deploy.kind is not DeployKind.REDEPLOY or environment.live_release is None:
        return deploy
    live = await releases.get(session, environment.live_release)
    await store.take_over(session, deploy.id, live)
    return replace(deploy, build=live.build, commit=live.commit, manifest=live.manifest)


async def start_migration(context: Context, work: Work) -> None:
    """Start the release command."""
    manifest = manifest_of(work.made_release)
    spec = await context.launcher.for_command(
        work.made_release.id,
        work.deploy.migrate_task,
        manifest.release.command or "",
        timeout_s=manifest.release.timeout_s,
    )
    await context.runtime.start(spec)


async def take_migration(context: Context, work: Work) -> Next:
    """The release command ended well.

    Raises:
        PermanentError: it did not.
    """
    task = work.deploy.migrate_task
    process = work.processes[task]
    if process.exit_code == 0:
        return Next(detail="the release command succeeded")
    if process.timed_out or process.out_of_memory:
        raise _interrupted("migrate", process)
    tail = await context.runtime.read_log(task, offset=-_TAIL_BYTES)
    last = next((line for line in reversed(tail.text.splitlines()) if line.strip()), "")
    refused = refused_extension(tail.text)
    raise PermanentError(
        "migrate.failed",
        f"the release command exited with {process.exit_code}: "
        + (refused.reason if refused else last[:300]),
        hint=refused.hint
        if refused
        else "fix the migration and deploy again; the live release still serves",
    )


async def provide_services(context: Context, work: Work) -> Next:
    """Make sure that the environment's databases and caches exist."""
    launch = await context.launcher.prepare(work.made_release.id)
    names = ", ".join(wanted_services(launch.manifest)) or "no services"
    return Next(StepState.SKIPPED, f"no release command; {names}")


async def start_release(context: Context, work: Work) -> Next:
    """Want the release's instances to run, unless it may not go live."""
    release = work.made_release
    if not work.deploy.kind.makes_release:
        # It was provided for long ago: what it needs may be gone. Said now, and not when it is not healthy in time.
        await context.launcher.prepare(release.id)
    async with context.database.transaction() as session:
        await _ask_gates(context, session, work)
        await releases.set_state(session, release.id, ReleaseState.RUNNING, at=context.clock.now())
    return Next()


async def _ask_gates(context: Context, session: Session, work: Work) -> Environment:
    """The environment, locked, where every gate is open for the release; asked by each step that gives it visitors.

    Raises:
        GantryError: why one is closed.
    """
    environment = await projects.lock_environment(session, work.deploy.environment)
    await releases.lock_domains(session)
    await context.source_reader.checks.release_may_go_live(session, environment, work.made_release)
    return environment


async def ask_smoke(context: Context, work: Work) -> None:
    """Ask the release's own address for each smoke path, through the edge."""
    before = context.answers.smoke.get(work.deploy.id)
    result = await context.probe.smoke(work.environment.project, work.made_release)
    attempts = before.attempts + 1 if before is not None else 1
    context.answers.smoke[work.deploy.id] = replace(result, attempts=attempts)


async def begin_rollout(context: Context, work: Work) -> None:
    """Give the candidate its first share."""
    section = manifest_of(work.made_release).deploy
    current = work.environment.live_release
    assert current is not None, "without one all traffic moves at once"
    now = context.clock.now()
    rollout = Rollout(
        id=context.ids.new("ro"),
        deploy=work.deploy.id,
        environment=work.deploy.environment,
        candidate=work.made_release.id,
        current=current,
        stages=stages_of(section),
        stage=0,
        state=RolloutState.RUNNING,
        approval=section.approval,
        cookie_key=context.ids.secret(),
        started_at=now,
        stage_started_at=now,
    )
    async with context.database.transaction() as session:
        await _ask_gates(context, session, work)
        await rollouts.insert(session, rollout)


async def switch(context: Context, work: Work) -> None:
    """Route visitors to the release."""
    release, now = work.made_release.id, context.clock.now()
    async with context.database.transaction() as session:
        environment = await _ask_gates(context, session, work)
        previous = environment.live_release
        if previous == release:
            return
        await store.set_previous_release(session, work.deploy.id, previous)
        await releases.set_live(session, environment.id, release, previous=previous, at=now)
        if work.deploy.kind is DeployKind.ROLLBACK and previous is not None:
            left = await releases.get(session, previous)
            if left.number > work.made_release.number:
                await releases.withdraw(session, previous, at=now)
    context.released()


async def ask_public_port(context: Context, work: Work) -> None:
    """Ask from outside which release answers."""
    context.answers.served_by[work.deploy.id] = await context.probe.served_by(
        work.environment, work.made_release
    )


async def _start_task(context: Context, work: Work, task: Literal["build", "test"]) -> None:
    deploy, build = work.deploy, work.claimed_build
    request = await context.source_reader.claimed(
        build, deploy.environment, parse_manifest(deploy.manifest or {})
    )
    make = context.workshop.build_task if task == "build" else context.workshop.test_task
    await context.runtime.start(replace(await make(request), id=f"{task}-{build.id}"))


async def _outcome(context: Context, work: Work, task: TaskName, task_id: str) -> BuildOutcome:
    """What the task left behind; why it failed is recorded on the build, and raised."""
    outcome = await context.workshop.outcome(task_id)
    if outcome is not None and not outcome.code:
        return outcome
    error = (
        PermanentError(outcome.code, outcome.message, hint=outcome.hint)
        if outcome is not None
        else _interrupted(task, work.processes.get(task_id))
    )
    async with context.database.transaction() as session:
        await builds.set_failed(
            session, work.claimed_build.id, error.as_dict(), at=context.clock.now()
        )
    raise error


def _interrupted(task: TaskName, process: ProcessStatus | None) -> PermanentError:
    """Why a task ended before it could say so itself."""
    if process is not None and process.out_of_memory:
        return PermanentError(
            f"{task}.out-of-memory",
            f"the {task} used more memory than it may",
            hint=f"raise [{task}] memory in gantry.toml",
        )
    if process is not None and process.timed_out:
        return PermanentError(
            f"{task}.timeout",
            f"the {task} did not end within its time",
            hint=f"raise [{task}] timeout in gantry.toml, or look at the log for what hangs",
        )
    code = "?" if process is None else process.exit_code
    return PermanentError(
        f"{task}.interrupted",
        f"the {task} ended with {code} before it could say why",
        hint="deploy again; the log says how far it came",
    )
