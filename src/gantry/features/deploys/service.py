"""What may be asked of deploys. Each call checks, records the intent, wakes the reactor, and returns."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from gantry.engines.database.protocol import Database, Session
from gantry.engines.sources.protocol import SourceStore
from gantry.features.audit import store as audit
from gantry.features.builds import store as builds
from gantry.features.deploys import store
from gantry.features.deploys.checks import DeployChecks
from gantry.features.deploys.gates import being_removed
from gantry.features.deploys.model import Deploy, DeployKind, DeployState
from gantry.features.deploys.pipeline import steps_of
from gantry.features.deploys.source import SourceReader
from gantry.features.projects import service as project_service, store as projects
from gantry.features.projects.model import Environment
from gantry.features.releases import store as releases
from gantry.features.releases.model import BuiltRelease, Commit, Release
from gantry.features.releases.reading import manifest_of
from gantry.features.releases.rules import rollback_target
from gantry.features.rollouts import store as rollouts
from gantry.features.rollouts.model import RolloutCommand
from gantry.kernel.clock import Clock
from gantry.kernel.errors import ConflictError, UserError
from gantry.kernel.ids import IdSource
from gantry.kernel.units import counted

MAX_QUEUED = 20


@dataclass(frozen=True, slots=True)
class DeployService:
    """Requests for deploys.

    Attributes:
        wake: tells the reactor that an intent was recorded; returns at once.
    """

    database: Database
    sources: SourceStore
    checks: DeployChecks
    source_reader: SourceReader
    projects: project_service.ProjectService
    clock: Clock
    ids: IdSource
    wake: Callable[[], None]

    async def deploy(
        self,
        project: str,
        environment: str,
        *,
        source_digest: str,
        commit: Commit,
        use_cache: bool = True,
        by: str,
    ) -> Deploy:
        """Queue a deploy of an uploaded snapshot that may go live; project and environment are made when new.

        Parameters:
            use_cache: a build of before is taken where there is one of this tree, and what builds have left.

        Raises:
            UserError: `source.unknown` it was not uploaded; `project.bad-name`, `environment.bad-name`;
                `deploy.queue-full`.
            GantryError: why a gate is closed.
        """
        if await self.sources.get(source_digest) is None:
            raise UserError(
                "source.unknown",
                f"snapshot {source_digest[:12]} was not uploaded, or is no longer kept",
                hint="run gantry deploy again: it uploads what is missing",
            )
        async with self.database.transaction() as session:
            wanted = await self.projects.find_or_plan(session, project, environment)
        await self.checks.snapshot_may_go_live(source_digest, wanted, branch=commit.branch)
        async with self.database.transaction() as session:
            target = await self.projects.ensure(session, project, environment, by=by)
            deploy = self._new(
                target, DeployKind.DEPLOY, by=by, commit=commit, source_digest=source_digest
            )
            await self._queue(session, replace(deploy, use_cache=use_cache), target)
        self.wake()
        return deploy

    async def promote(
        self, project: str, environment: str, *, from_environment: str, by: str
    ) -> Deploy:
        """Queue a deploy of the build that is live in `from_environment`; it is built again only for public variables and
        for tests of the environment's own.

        Raises:
            UserError: `promote.nothing-live`, `promote.same-environment`, `environment.bad-name`.
            GantryError: why a gate of the environment that it goes to is closed.
        """
        if from_environment == environment:
            raise UserError(
                "promote.same-environment",
                f"{environment} cannot be promoted to itself",
                hint="gantry promote --from staging --to production; gantry redeploy takes what is live here again",
            )
        async with self.database.transaction() as session:
            origin = await projects.get_environment(session, project, from_environment)
            release = await self._live(session, origin, "promote.nothing-live")
            build = await builds.get(session, release.build)
            wanted = await self.projects.find_or_plan(session, project, environment)
        await self.checks.snapshot_may_go_live(
            build.source_digest, wanted, branch=release.commit.branch, build=build.id
        )
        async with self.database.transaction() as session:
            target = await self.projects.ensure(session, project, environment, by=by)
            deploy = self._new(target, DeployKind.PROMOTE, by=by, of=release)
            await self._queue(session, replace(deploy, source_digest=build.source_digest), target)
        self.wake()
        return deploy

    async def roll_back(
        self, project: str, environment: str, *, to_release: int | None, by: str
    ) -> Deploy:
        """Queue the return to an earlier release, with the configuration that it ran with. A rollout that goes on is aborted.

        Parameters:
            to_release: its number; `None` for the next one below the live release that nobody rolled back from.

        Raises:
            UserError: `rollback.nothing-before`, `rollback.unknown-release`, `rollback.already-live`,
                `rollback.gone` its artifact is no longer kept.
            GantryError: why another gate is closed.
        """
        async with self.database.transaction() as session:
            target = await self._locked(session, project, environment)
            release = await self._rollback_target(session, target, to_release)
            if release.id == target.live_release:
                raise ConflictError(
                    "rollback.already-live",
                    f"release {release.number} is live already",
                    hint="gantry releases lists what can be rolled back to",
                )
            await self.checks.release_may_go_live(session, target, release)
            await self._abort_rollout(session, target, by=by)
            deploy = self._new(target, DeployKind.ROLLBACK, by=by, of=release, release=release.id)
            await self._queue(session, deploy, target)
        self.wake()
        return deploy

    async def redeploy(self, project: str, environment: str, *, by: str) -> Deploy:
        """Queue a new release of the build that is live, with the variables that the environment has now. Nothing is built.

        Raises:
            UserError: `redeploy.nothing-live`; `redeploy.built-in` a variable that is written into the build has changed.
            GantryError: why a gate is closed.
        """
        async with self.database.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            live = await self._live(session, target, "redeploy.nothing-live")
        await self.source_reader.refuse_stale(target, live)
        async with self.database.transaction() as session:
            target = await self._locked(session, project, environment)
            await self.checks.tree_may_go_live(
                session,
                target,
                manifest_of(live),
                branch=live.commit.branch,
                build=live.build,
            )
            deploy = self._new(target, DeployKind.REDEPLOY, by=by, of=live)
            await self._queue(session, replace(deploy, manifest=live.manifest), target)
        self.wake()
        return deploy

    async def restart(
        self, project: str, environment: str, *, process: str = "", by: str
    ) -> Deploy:
        """Queue the restart of the live release's processes, one instance after the other.

        Parameters:
            process: which kind, `web` or `worker.NAME`; empty for all of them.

        Raises:
            UserError: `restart.nothing-live`, `restart.unknown-process`.
            GantryError: why a gate is closed.
        """
        async with self.database.transaction() as session:
            target = await self._locked(session, project, environment)
            live = await self._live(session, target, "restart.nothing-live")
            _check_process(live, process)
            await self.checks.release_may_go_live(session, target, live)
            deploy = self._new(target, DeployKind.RESTART, by=by, of=live, release=live.id)
            await self._queue(session, replace(deploy, process=process), target)
        self.wake()
        return deploy

    async def cancel(self, deploy_id: str, *, by: str) -> Deploy:
        """Ask for a deploy to stop, at whatever step it is. After its switch it is too late.

        Raises:
            ConflictError: `deploy.ended`.
        """
        async with self.database.transaction() as session:
            deploy = await store.get(session, deploy_id)
            if deploy.state.ended:
                raise ConflictError(
                    "deploy.ended",
                    f"deploy {deploy_id} has {deploy.state} already",
                    hint="gantry rollback returns to the previous release",
                )
            await store.request_cancel(session, deploy_id)
            await audit.record(
                session, at=self.clock.now(), actor=by, action="deploy.cancel", target=deploy_id
            )
            cancelled = await store.get(session, deploy_id)
        self.wake()
        return cancelled

    async def _locked(self, session: Session, project: str, environment: str) -> Environment:
        """The environment; nobody else changes what is live there until the transaction ends."""
        found = await projects.get_environment(session, project, environment)
        return await projects.lock_environment(session, found.id)

    async def _live(self, session: Session, target: Environment, code: str) -> Release:
        if target.live_release is None:
            raise UserError(
                code,
                f"nothing is live in {target.name} of {target.project}",
                hint=f"gantry deploy --to {target.name}",
            )
        return await releases.get(session, target.live_release)

    async def _rollback_target(
        self, session: Session, target: Environment, number: int | None
    ) -> Release:
        if number is None:
            known = await releases.list_were_live(session, target.id)
            found = rollback_target(known, target.live_release)
            if found is None:
                raise _nothing_below(target, known)
            return found.release
        named = await releases.find_by_number(session, target.id, number)
        if named is None or not named.was_live:
            raise UserError(
                "rollback.unknown-release",
                f"release {number} of {target.name} was never live",
                hint="gantry releases lists what can be rolled back to",
            )
        return named

    async def _abort_rollout(self, session: Session, target: Environment, *, by: str) -> None:
        """Visitors of a candidate get the live release again, before what is live changes."""
        moving = [
            deploy.id
            for deploy in await store.list_open(session)
            if deploy.environment == target.id
        ]
        for rollout in await rollouts.list_for_deploys(session, tuple(moving)):
            if rollout.state.ended or rollout.requested is RolloutCommand.ABORT:
                continue
            await rollouts.request(session, rollout, RolloutCommand.ABORT)
            await audit.record(
                session,
                at=self.clock.now(),
                actor=by,
                action=f"rollout.{RolloutCommand.ABORT}",
                target=f"{target.project}/{target.name}",
                details={"rollout": rollout.id, "stage": rollout.stage, "for": "rollback"},
            )

    def _new(
        self,
        target: Environment,
        kind: DeployKind,
        *,
        by: str,
        commit: Commit | None = None,
        source_digest: str = "",
        of: Release | None = None,
        release: str | None = None,
    ) -> Deploy:
        """A deploy that nobody has asked for yet.

        Parameters:
            of: the release whose build and commit it takes.
            release: the one that it makes live, where it makes none.
        """
        return Deploy(
            id=self.ids.new("dep"),
            environment=target.id,
            kind=kind,
            state=DeployState.QUEUED,
            step=steps_of(kind)[0],
            source_digest=source_digest,
            commit=commit or (of.commit if of is not None else Commit()),
            requested_by=by,
            requested_at=self.clock.now(),
            build=of.build if of is not None else None,
            release=release,
        )

    async def _queue(self, session: Session, deploy: Deploy, target: Environment) -> None:
        # Locked, so that its end is not asked for meanwhile.
        locked = await projects.lock_environment(session, target.id)
        if (error := being_removed(locked)) is not None:
            raise error
        waiting = [
            other
            for other in await store.list_open(session)
            if other.environment == deploy.environment
        ]
        if len(waiting) >= MAX_QUEUED:
            raise ConflictError(
                "deploy.queue-full",
                f"{counted(len(waiting), 'deploy')} for {target.name} of {target.project} in line already",
                hint="gantry deploy --cancel takes one out of the queue",
            )
        await store.insert(session, deploy)
        await audit.record(
            session,
            at=deploy.requested_at,
            actor=deploy.requested_by,
            action=f"deploy.{deploy.kind}",
            target=f"{target.project}/{target.name}",
            details={"deploy": deploy.id, "commit": deploy.commit.sha, "release": deploy.release}
            | ({"process": deploy.process} if deploy.process else {})
            | ({} if deploy.use_cache else {"use_cache": False}),
        )


def _check_process(live: Release, process: str) -> None:
    kinds = manifest_of(live).long_running
    if kinds and (not process or process in kinds):
        return
    if not kinds:
        raise UserError(
            "restart.unknown-process",
            f"release {live.number} has no processes: its files are served by the edge",
            hint="gantry deploy",
        )
    raise UserError(
        "restart.unknown-process",
        f"release {live.number} has no process {process!r}",
        hint=f"it has {', '.join(kinds)}: gantry restart {next(iter(kinds))}",
    )


def _nothing_below(target: Environment, known: tuple[BuiltRelease, ...]) -> UserError:
    live = next((built for built in known if built.release.id == target.live_release), None)
    above = [
        built.release.number
        for built in known
        if built.kept and built.release.was_live and built is not live
    ]
    where = f"release {live.release.number}" if live is not None else "what is live"
    return UserError(
        "rollback.nothing-before",
        f"{target.name} of {target.project} has no earlier release below {where} that can go live again",
        hint=f"gantry rollback --release {max(above)} goes to one that was withdrawn; gantry releases lists them"
        if above
        else "gantry releases lists them; gantry rollout abort ends a rollout that goes on",
    )
