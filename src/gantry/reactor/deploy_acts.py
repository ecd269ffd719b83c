"""Act: the steps of the pipeline. Effects come before their record, and every effect may be repeated."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from gantry.engines.builders.protocol import Workshop
from gantry.engines.database.protocol import Session, State
from gantry.engines.runtime.protocol import Runtime
from gantry.features.builds import store as builds
from gantry.features.builds.model import Build, BuildState
from gantry.features.deploys import rules, store
from gantry.features.deploys.model import (
    Deploy,
    DeployKind,
    DeployState,
    Step,
    StepState,
    following,
)
from gantry.features.deploys.preparing import Preparer
from gantry.features.instances.launching import Launcher, wanted_services
from gantry.features.projects import store as projects
from gantry.features.releases import store as releases
from gantry.features.releases.model import Release, ReleaseState
from gantry.features.releases.reading import manifest_of, parse_manifest
from gantry.features.rollouts import store as rollouts
from gantry.features.rollouts.model import Rollout, RolloutState, stages_of
from gantry.features.variables.service import VariableService
from gantry.kernel.clock import Clock
from gantry.kernel.errors import Cancelled, PermanentError
from gantry.kernel.ids import IdSource
from gantry.reactor.memory import Memory
from gantry.reactor.outside import Outside
from gantry.reactor.world import World

_log = logging.getLogger(__name__)
_TAIL_BYTES = 4_000


@dataclass(frozen=True, slots=True)
class DeployActs:
    """Carries out what `features.deploys.decide` decided.

    Attributes:
        tidy: called when a deploy has ended: what it needed may be deleted now.
        released: called when a release was made or went live: its files may be served without it now.
    """

    state: State
    runtime: Runtime
    workshop: Workshop
    preparer: Preparer
    launcher: Launcher
    variables: VariableService
    outside: Outside
    memory: Memory
    clock: Clock
    ids: IdSource
    owner: str
    tidy: Callable[[], None]
    released: Callable[[], None]

    async def act(  # noqa: C901, PLR0912 -- one branch for each action, nothing else
        self, deploy: Deploy, action: rules.Action, world: World
    ) -> None:
        """Carry out one action of one deploy.

        Raises:
            TransientError: to be tried again.
            GantryError: the deploy has failed for this reason.
        """
        match action:
            case rules.Begin():
                async with self.state.transaction() as session:
                    await store.activate(session, deploy, owner=self.owner, at=self.clock.now())
            case rules.ReadSource():
                await self._read_source(deploy, world)
            case rules.RunTask(task):
                await self._run_task(deploy, task, world)
            case rules.TakeOutcome(task):
                await self._take_outcome(deploy, task, world)
            case rules.MakeRelease():
                await self._make_release(deploy, world)
            case rules.ProvideServices():
                await self._provide(deploy)
            case rules.StartRelease():
                await self._start_release(deploy)
            case rules.RunSmoke():
                await self._smoke(deploy, world)
            case rules.BeginRollout():
                await self._begin_rollout(deploy, world)
            case rules.Switch():
                await self._switch(deploy)
            case rules.AskPublicPort():
                environment = world.environments[deploy.environment]
                self.memory.reached[deploy.id] = await self.outside.reached(environment)
            case rules.Advance():
                await self._advance(deploy, action)
            case rules.Fail(error):
                await self._end(deploy, DeployState.FAILED, dict(error), world)
            case rules.Cancel():
                error = Cancelled("deploy.cancelled", "the deploy was cancelled").as_dict()
                await self._end(deploy, DeployState.CANCELLED, error, world)
            case _:
                assert_never(action)

    async def _advance(self, deploy: Deploy, action: rules.Advance) -> None:
        to = following(deploy.kind, deploy.step)
        async with self.state.transaction() as session:
            await store.advance(
                session, deploy, to, state=action.state, detail=action.detail, at=self.clock.now()
            )
        _log.info("%s: %s %s %s", deploy.id, deploy.step, action.state, action.detail)
        if to is None:
            self._over(deploy)

    async def _read_source(self, deploy: Deploy, world: World) -> None:
        environment = world.environments[deploy.environment]
        prepared = await self.preparer.prepare(deploy, environment)
        async with self.state.transaction() as session:
            await store.set_source(
                session,
                deploy.id,
                manifest=prepared.manifest.model_dump(mode="json"),
                build=prepared.build.id,
            )
            await store.advance(
                session,
                deploy,
                Step.BUILD,
                state=StepState.DONE,
                detail=prepared.detail,
                at=self.clock.now(),
            )

    async def _run_task(self, deploy: Deploy, task: rules.Task, world: World) -> None:
        if task == "migrate":
            assert deploy.release is not None, "the release step made one"
            manifest = manifest_of(world.releases[deploy.release])
            spec = await self.launcher.for_command(
                deploy.release,
                deploy.migrate_task,
                manifest.release.command or "",
                timeout_s=manifest.release.timeout_s,
            )
            await self.runtime.start(spec)
            return
        assert deploy.build is not None and deploy.manifest is not None, "the source step set both"
        manifest = parse_manifest(deploy.manifest)
        request = await self.preparer.request(deploy, manifest, deploy.build)
        make = self.workshop.build_task if task == "build" else self.workshop.test_task
        await self.runtime.start(replace(await make(request), id=f"{task}-{deploy.build}"))

    async def _take_outcome(self, deploy: Deploy, task: rules.Task, world: World) -> None:
        if task == "migrate":
            await self._take_migration(deploy, world)
            return
        assert deploy.build is not None and deploy.manifest is not None, "the source step set both"
        build = world.builds[deploy.build]
        task_id = build.build_task if task == "build" else build.test_task
        outcome = await self.workshop.outcome(task_id)
        now = self.clock.now()
        if outcome is None or outcome.code:
            error = (
                PermanentError(outcome.code, outcome.message, hint=outcome.hint)
                if outcome is not None
                else await self._interrupted(task_id, task, world)
            )
            async with self.state.transaction() as session:
                await builds.set_failed(session, build.id, error.as_dict(), at=now)
            raise error
        ready = task == "test" or not parse_manifest(deploy.manifest).test.command
        async with self.state.transaction() as session:
            if task == "test":
                await builds.set_ready(session, build.id)
            else:
                assert outcome.artifact is not None, "a build without an error has an artifact"
                artifact = outcome.artifact
                await builds.set_built(
                    session,
                    build.id,
                    artifact=(artifact.digest, artifact.framework, artifact.size_bytes),
                    reasons=artifact.reasons,
                    phases=outcome.phases,
                    ready=ready,
                    at=now,
                )

    async def _interrupted(self, task_id: str, task: rules.Task, world: World) -> PermanentError:
        process = world.processes.get(task_id)
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

    async def _take_migration(self, deploy: Deploy, world: World) -> None:
        process = world.processes[deploy.migrate_task]
        if process.exit_code == 0:
            await self._advance(deploy, rules.Advance(detail="the release command succeeded"))
            return
        if process.timed_out or process.out_of_memory:
            raise await self._interrupted(deploy.migrate_task, "migrate", world)
        tail = await self.runtime.read_log(deploy.migrate_task, offset=-_TAIL_BYTES)
        last = next((line for line in reversed(tail.text.splitlines()) if line.strip()), "")
        raise PermanentError(
            "migrate.failed",
            f"the release command exited with {process.exit_code}: {last[:300]}",
            hint="mend the migration and deploy again; the release before still serves",
        )

    async def _make_release(self, deploy: Deploy, world: World) -> None:
        assert deploy.build is not None, "an earlier step claimed a build"
        environment = world.environments[deploy.environment]
        manifest = (
            parse_manifest(deploy.manifest)
            if deploy.manifest is not None
            else await self.preparer.manifest(deploy.source_digest, environment)
        )
        now = self.clock.now()
        async with self.state.transaction() as session:
            values = await self.variables.reveal(session, deploy.environment)
            number = await projects.next_release_number(session, deploy.environment)
            release = Release(
                id=self.ids.new("r"),
                environment=deploy.environment,
                number=number,
                build=deploy.build,
                manifest=manifest.model_dump(mode="json"),
                commit=deploy.commit,
                state=ReleaseState.PENDING,
                created_at=now,
            )
            sealed = self.variables.seal_all({**manifest.variables.plain, **values})
            await releases.insert(session, release, variables_sealed=sealed)
            await store.set_release(session, deploy.id, release.id)
            await store.advance(
                session,
                deploy,
                Step.MIGRATE,
                state=StepState.DONE,
                detail=f"release {number}",
                at=now,
            )
        self.released()

    async def _provide(self, deploy: Deploy) -> None:
        assert deploy.release is not None, "the release step made one"
        launch = await self.launcher.prepare(deploy.release)
        names = ", ".join(wanted_services(launch.manifest)) or "no services"
        detail = f"no release command; {names}"
        await self._advance(deploy, rules.Advance(StepState.SKIPPED, detail))

    async def _start_release(self, deploy: Deploy) -> None:
        assert deploy.release is not None, "the release step made one"
        async with self.state.transaction() as session:
            now = self.clock.now()
            await releases.set_state(session, deploy.release, ReleaseState.RUNNING, at=now)
            await store.advance(
                session, deploy, Step.HEALTHY, state=StepState.DONE, detail="", at=now
            )

    async def _smoke(self, deploy: Deploy, world: World) -> None:
        assert deploy.release is not None, "the release step made one"
        release = world.releases[deploy.release]
        environment = world.environments[deploy.environment]
        before = self.memory.smoke.get(deploy.id)
        smoke = await self.outside.smoke(environment.project, release)
        attempts = before.attempts + 1 if before is not None else 1
        self.memory.smoke[deploy.id] = replace(smoke, attempts=attempts)

    async def _begin_rollout(self, deploy: Deploy, world: World) -> None:
        assert deploy.release is not None, "the release step made one"
        section = manifest_of(world.releases[deploy.release]).deploy
        current = world.environments[deploy.environment].live_release
        assert current is not None, "without one all traffic moves at once"
        now = self.clock.now()
        rollout = Rollout(
            id=self.ids.new("ro"),
            deploy=deploy.id,
            environment=deploy.environment,
            candidate=deploy.release,
            current=current,
            stages=stages_of(section),
            stage=0,
            state=RolloutState.RUNNING,
            approval=section.approval,
            cookie_key=self.ids.secret(),
            started_at=now,
            stage_started_at=now,
        )
        async with self.state.transaction() as session:
            await rollouts.insert(session, rollout)

    async def _switch(self, deploy: Deploy) -> None:
        assert deploy.release is not None, "the release step made one"
        async with self.state.transaction() as session:
            environment = await projects.lock_environment(session, deploy.environment)
            now = self.clock.now()
            previous = environment.live_release
            if previous == deploy.release:
                return
            await store.set_previous_release(session, deploy.id, previous)
            await projects.set_live_release(session, environment.id, deploy.release)
            await releases.set_live(session, deploy.release, previous=previous, at=now)
        self.released()
        _log.info("%s: %s goes live", deploy.id, deploy.release)

    async def _end(
        self, deploy: Deploy, state: DeployState, error: dict[str, str], world: World
    ) -> None:
        for task_id in await self._own_tasks(deploy, world):
            await self.runtime.signal(task_id, kill=True)
        rollout = world.rollouts.get(deploy.id)
        async with self.state.transaction() as session:
            if rollout is not None:
                await rollouts.abort(session, rollout.id, error["message"], at=self.clock.now())
            await self._undo_switch(session, deploy)
            if deploy.release is not None and deploy.kind is not DeployKind.ROLLBACK:
                await releases.set_state(
                    session, deploy.release, ReleaseState.FAILED, at=self.clock.now()
                )
            await self._abandon_build(session, deploy, world, error)
            await store.end_badly(session, deploy, state, error, at=self.clock.now())
        self._over(deploy)
        _log.warning("%s: %s at %s: %s", deploy.id, state, deploy.step, error["message"])

    def _over(self, deploy: Deploy) -> None:
        self.memory.forget_deploy(deploy.id)
        self.tidy()

    async def _undo_switch(self, session: Session, deploy: Deploy) -> None:
        """Give visitors what they had before again, where a switch was recorded and not confirmed."""
        environment = await projects.lock_environment(session, deploy.environment)
        if deploy.release is None or environment.live_release != deploy.release:
            return
        # Asked anew: the switch may have been recorded after the look that `deploy` is from.
        previous = (await store.get(session, deploy.id)).previous_release
        if previous is None and deploy.kind is DeployKind.ROLLBACK:
            return  # it was live already, or comes after nothing; and it is no worse than before
        if previous == deploy.release:
            return
        await projects.set_live_release(session, environment.id, previous)
        await releases.set_live(session, previous, previous=deploy.release, at=self.clock.now())

    async def _own_tasks(self, deploy: Deploy, world: World) -> tuple[str, ...]:
        tasks = [deploy.migrate_task]
        build = world.builds.get(deploy.build or "")
        if build is not None and not _shared(deploy, build, world):
            tasks += [build.build_task, build.test_task]
        return tuple(task for task in tasks if task in world.processes)

    async def _abandon_build(
        self, session: Session, deploy: Deploy, world: World, error: dict[str, str]
    ) -> None:
        build = world.builds.get(deploy.build or "")
        if build is None or _shared(deploy, build, world):
            return
        if build.state in (BuildState.BUILDING, BuildState.BUILT):
            await builds.set_failed(session, build.id, error, at=self.clock.now())


def _shared(deploy: Deploy, build: Build, world: World) -> bool:
    """Another open deploy works with the same build."""
    return any(other.build == build.id and other.id != deploy.id for other in world.deploys)
