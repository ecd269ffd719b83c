"""What may be asked of deploys. Each call checks, records the intent, wakes the reactor, and returns."""

from collections.abc import Callable
from dataclasses import dataclass

from gantry.engines.database.protocol import Database, Session
from gantry.engines.sources.protocol import SourceStore
from gantry.features.audit import store as audit
from gantry.features.builds import store as builds
from gantry.features.builds.model import BuildState
from gantry.features.deploys import store
from gantry.features.deploys.checks import DeployChecks
from gantry.features.deploys.model import Deploy, DeployKind, DeployState
from gantry.features.deploys.pipeline import steps_of
from gantry.features.projects import service as project_service, store as projects
from gantry.features.projects.model import Environment
from gantry.features.releases import store as releases
from gantry.features.releases.model import Commit, Release, ReleaseState
from gantry.kernel.clock import Clock
from gantry.kernel.errors import ConflictError, UserError
from gantry.kernel.ids import IdSource

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
    projects: project_service.ProjectService
    clock: Clock
    ids: IdSource
    wake: Callable[[], None]

    async def deploy(
        self, project: str, environment: str, *, source_digest: str, commit: Commit, by: str
    ) -> Deploy:
        """Queue a deploy of an uploaded snapshot that passes its checks; project and environment are made when new.

        Raises:
            UserError: `source.unknown` it was not uploaded; `project.bad-name`, `environment.bad-name`; as
                `DeployChecks.check`; `deploy.queue-full`.
        """
        if await self.sources.get(source_digest) is None:
            raise UserError(
                "source.unknown",
                f"snapshot {source_digest[:12]} was not uploaded, or is no longer kept",
                hint="run gantry deploy again: it uploads what is missing",
            )
        async with self.database.transaction() as session:
            wanted = await self.projects.find_or_plan(session, project, environment)
        await self.checks.check(source_digest, wanted, branch=commit.branch)
        async with self.database.transaction() as session:
            target = await self.projects.ensure(session, project, environment, by=by)
            deploy = self._new(
                target, DeployKind.DEPLOY, by=by, commit=commit, source_digest=source_digest
            )
            await self._queue(session, deploy, target)
        self.wake()
        return deploy

    async def promote(
        self, project: str, environment: str, *, from_environment: str, by: str
    ) -> Deploy:
        """Queue a deploy of the build that is live in `from_environment`; it is built again only for public variables.

        Raises:
            UserError: `promote.nothing-live`, `promote.same-environment`, `environment.bad-name`; as `DeployChecks.check`,
                for the environment that it goes to.
        """
        if from_environment == environment:
            raise UserError(
                "promote.same-environment",
                f"{environment} cannot be promoted to itself",
                hint="gantry promote --from staging --to production",
            )
        async with self.database.transaction() as session:
            origin = await projects.get_environment(session, project, from_environment)
            if origin.live_release is None:
                raise UserError(
                    "promote.nothing-live",
                    f"nothing is live in {from_environment} of {project}",
                    hint=f"gantry deploy --to {from_environment}",
                )
            release = await releases.get(session, origin.live_release)
            build = await builds.get(session, release.build)
            wanted = await self.projects.find_or_plan(session, project, environment)
        # Of no branch: that is what a promotion is for.
        await self.checks.check(build.source_digest, wanted)
        async with self.database.transaction() as session:
            target = await self.projects.ensure(session, project, environment, by=by)
            deploy = self._new(
                target,
                DeployKind.PROMOTE,
                by=by,
                commit=release.commit,
                build=build.id,
                source_digest=build.source_digest,
            )
            await self._queue(session, deploy, target)
        self.wake()
        return deploy

    async def roll_back(
        self, project: str, environment: str, *, to_release: int | None, by: str
    ) -> Deploy:
        """Queue the return to an earlier release, with the configuration that it ran with.

        Raises:
            UserError: `rollback.nothing-before`, `rollback.unknown-release`, `rollback.already-live`,
                `rollback.gone` its artifact is no longer kept.
        """
        async with self.database.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            release = await self._rollback_target(session, target, to_release)
            if release.id == target.live_release:
                raise ConflictError(
                    "rollback.already-live",
                    f"release {release.number} is live already",
                    hint="gantry releases lists what can be rolled back to",
                )
            build = await builds.get(session, release.build)
            if build.state is not BuildState.READY:
                raise UserError(
                    "rollback.gone",
                    f"the artifact of release {release.number} is no longer kept",
                    hint="check its commit out and run gantry deploy",
                )
            deploy = self._new(
                target,
                DeployKind.ROLLBACK,
                by=by,
                commit=release.commit,
                build=release.build,
                release=release.id,
                source_digest=build.source_digest,
            )
            await self._queue(session, deploy, target)
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

    async def _rollback_target(
        self, session: Session, target: Environment, number: int | None
    ) -> Release:
        if number is None:
            found = await releases.previous_live(
                session, target.id, not_release=target.live_release or ""
            )
            if found is None:
                raise UserError(
                    "rollback.nothing-before",
                    f"{target.name} of {target.project} has no earlier release that was live",
                    hint="gantry releases lists them",
                )
            return found
        found = await releases.find_by_number(session, target.id, number)
        if found is None or found.live_at is None or found.state is ReleaseState.FAILED:
            raise UserError(
                "rollback.unknown-release",
                f"release {number} of {target.name} was never live",
                hint="gantry releases lists what can be rolled back to",
            )
        return found

    def _new(
        self,
        target: Environment,
        kind: DeployKind,
        *,
        by: str,
        commit: Commit,
        source_digest: str = "",
        build: str | None = None,
        release: str | None = None,
    ) -> Deploy:
        return Deploy(
            id=self.ids.new("dep"),
            environment=target.id,
            kind=kind,
            state=DeployState.QUEUED,
            step=steps_of(kind)[0],
            source_digest=source_digest,
            commit=commit,
            requested_by=by,
            requested_at=self.clock.now(),
            build=build,
            release=release,
        )

    async def _queue(self, session: Session, deploy: Deploy, target: Environment) -> None:
        # Locked, so that its end is not asked for meanwhile.
        if (await projects.lock_environment(session, target.id)).removing:
            raise ConflictError(
                "environment.removing",
                f"{target.name} of {target.project} is being destroyed",
                hint="deploy again when gantry status does not show it any more",
            )
        waiting = [
            other
            for other in await store.list_open(session)
            if other.environment == deploy.environment
        ]
        if len(waiting) >= MAX_QUEUED:
            raise ConflictError(
                "deploy.queue-full",
                f"{len(waiting)} deploys wait for {target.name} of {target.project} already",
                hint="gantry deploy --cancel takes one out of the queue",
            )
        await store.insert(session, deploy)
        await audit.record(
            session,
            at=deploy.requested_at,
            actor=deploy.requested_by,
            action=f"deploy.{deploy.kind}",
            target=f"{target.project}/{target.name}",
            details={"deploy": deploy.id, "commit": deploy.commit.sha, "release": deploy.release},
        )
