"""The source step: from a snapshot to a checked manifest and a claimed build."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gantry.config.manifest import Manifest
from gantry.engines.builders.protocol import BuildRequest, Workshop
from gantry.engines.database.protocol import Database, Session
from gantry.engines.secrets.protocol import SecretBox
from gantry.engines.sources.protocol import Snapshot, SourceStore
from gantry.features.builds import store as builds
from gantry.features.builds.model import Build, BuildState
from gantry.features.builds.request import build_request, with_variables
from gantry.features.deploys import store
from gantry.features.deploys.checks import DeployChecks
from gantry.features.deploys.model import Deploy, DeployKind
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.releases import store as releases
from gantry.features.releases.model import Release
from gantry.features.releases.reading import manifest_of
from gantry.features.variables.service import VariableService
from gantry.kernel.clock import Clock
from gantry.kernel.errors import IntegrityError, UserError
from gantry.kernel.ids import IdSource


@dataclass(frozen=True, slots=True)
class SourceReader:
    """Reads snapshots."""

    database: Database
    checks: DeployChecks
    sources: SourceStore
    workshop: Workshop
    variables: VariableService
    box: SecretBox
    clock: Clock
    ids: IdSource

    async def snapshot(self, digest: str) -> Snapshot:
        """The stored snapshot.

        Raises:
            UserError: `source.unknown`.
        """
        snapshot = await self.sources.get(digest)
        if snapshot is None:
            raise UserError(
                "source.unknown",
                f"snapshot {digest[:12]} is no longer kept",
                hint="run gantry deploy again: it uploads what is missing",
            )
        return snapshot

    async def request(
        self, source_digest: str, environment_id: str, manifest: Manifest, build_id: str
    ) -> BuildRequest:
        """What a builder would be asked for, with the variables that the environment has now."""
        request = await self._without_variables(source_digest, manifest, build_id)
        return self._with_variables(
            request, manifest, await self._present(environment_id, manifest)
        )

    async def claimed(self, build: Build, environment_id: str, manifest: Manifest) -> BuildRequest:
        """What the builder is asked for: the build as it was claimed, with the variables that its key was made of.

        Those that the environment has by now may be others: they can be set at any time, and are another build.
        """
        request = await self._without_variables(build.source_digest, manifest, build.id)
        request = replace(request, fresh=build.fresh, cached=build.cached)
        present = await self._present(environment_id, manifest)
        made_with = await self._made_with(build.id)
        if made_with is None:
            return self._with_variables(request, manifest, present)
        request = self._with_variables(request, manifest, made_with)
        return replace(request, withheld=tuple(sorted(present.keys() - made_with.keys())))

    async def _without_variables(
        self, source_digest: str, manifest: Manifest, build_id: str
    ) -> BuildRequest:
        snapshot = await self.snapshot(source_digest)
        async with self.database.transaction() as session:
            key = await projects.action_key_sealed(session, manifest.project.name)
            fresh = await projects.fresh(session, manifest.project.name)
        request = build_request(build_id, manifest, snapshot, action_key=self.box.open(key))
        return replace(request, fresh=fresh)

    async def _present(self, environment_id: str, manifest: Manifest) -> dict[str, str]:
        async with self.database.transaction() as session:
            values = await self.variables.reveal(session, environment_id)
        return {**manifest.variables.plain, **values}

    async def _made_with(self, build_id: str) -> dict[str, str] | None:
        """The variables that a build is made with; `None` where an older Gantry claimed it, which did not keep them."""
        async with self.database.transaction() as session:
            sealed = await builds.variables_sealed(session, build_id)
        return None if sealed is None else self.variables.open_all(sealed)

    def _with_variables(
        self, request: BuildRequest, manifest: Manifest, variables: dict[str, str]
    ) -> BuildRequest:
        return with_variables(
            request,
            manifest,
            variables,
            public=self.workshop.public_prefixes(request),
            of_services=manifest.services.variables,
        )

    async def read(self, deploy: Deploy, environment: Environment) -> str:
        """Ask the gates, find or claim the build, and record both with the deploy; what people are told of it.

        A promoted build is taken as it is, unless the environment has its own values of variables that are in it, or its
        own tests.

        Raises:
            GantryError: as `DeployChecks.snapshot_may_go_live`; `source.unknown`.
        """
        manifest = await self.checks.snapshot_may_go_live(
            deploy.source_digest, environment, branch=deploy.commit.branch
        )
        request = await self.request(
            deploy.source_digest, deploy.environment, manifest, self.ids.new("b")
        )
        detail = f"snapshot {deploy.source_digest[:12]}"
        if deploy.kind is DeployKind.PROMOTE:
            assert deploy.build is not None, "it was asked for with a build"
            reason = await self._why_anew(deploy.build, request, environment)
            if not reason:
                async with self.database.transaction() as session:
                    await builds.lock(session, deploy.build)
                    await self._record(session, deploy, manifest, deploy.build)
                return detail
            detail += f", built anew: {reason}"
        if not deploy.use_cache:
            # The deploy's own name, so that this may be repeated.
            request = replace(request, fresh=deploy.id, cached=False)
            detail += ", built anew without the build cache"
        await self._claim(request, deploy, manifest)
        return detail

    async def refuse_stale(self, environment: Environment, live: Release) -> None:
        """Refuse to make a release of the live build where variables that are written into it have changed since.

        Raises:
            UserError: `redeploy.built-in` with their names; `source.unknown`.
        """
        async with self.database.transaction() as session:
            build = await builds.get(session, live.build)
        manifest = manifest_of(live)
        request = await self.request(build.source_digest, environment.id, manifest, build.id)
        own = await self._own_values(live.build, request)
        if own:
            raise UserError(
                "redeploy.built-in",
                f"{', '.join(own)} changed in {environment.name} and belongs to the build of release {live.number}",
                hint=f"gantry deploy --to {environment.name} builds it in",
            )

    async def _why_anew(
        self, build_id: str, request: BuildRequest, environment: Environment
    ) -> str:
        """Why a promoted build does not do for the environment; empty where it does."""
        reasons = []
        if own := await self._own_values(build_id, request):
            values = "value" if len(own) == 1 else "values"
            reasons.append(f"{environment.name} has its own {values} of {', '.join(own)}")
        async with self.database.transaction() as session:
            release = await releases.newest_of_build(session, build_id)
        if request.test and (release is None or manifest_of(release).test.command != request.test):
            reasons.append(f"{environment.name} has its own tests")
        return "; ".join(reasons)

    async def _own_values(self, build_id: str, request: BuildRequest) -> tuple[str, ...]:
        """Names of variables that `request` gives to the build and that `build_id` was made without, or with another value."""
        kept = await self._made_with(build_id)
        then = kept if kept is not None else await self._release_env(build_id, request)
        names = then.keys() | request.env.keys()
        return tuple(sorted(n for n in names if then.get(n) != request.env.get(n)))

    async def _release_env(self, build_id: str, request: BuildRequest) -> Mapping[str, str]:
        """What the release that was made of a build says of its variables."""
        async with self.database.transaction() as session:
            release = await releases.newest_of_build(session, build_id)
            assert release is not None, "a build is promoted that is live somewhere"
            sealed = await releases.variables_sealed(session, release.id)
        values = self.variables.open_all(sealed)
        return self._with_variables(request, manifest_of(release), values).env

    async def _claim(self, request: BuildRequest, deploy: Deploy, manifest: Manifest) -> None:
        key = self.workshop.key(request)
        try:
            kept = await self.workshop.find(request) is not None
        except IntegrityError:
            kept = False  # set aside by the workshop; built anew below
        async with self.database.transaction() as session:
            if not deploy.use_cache:  # deploys after this one find its build, and none of before
                await projects.set_fresh(session, request.project, request.fresh)
            build = await self._claim_row(session, request, key)
            if build.state is not BuildState.BUILDING and not kept:
                await builds.set_gone(session, build.id)
                build = await self._claim_row(session, request, key)
            # In the same transaction: a build that a deploy has claimed is not deleted.
            await self._record(session, deploy, manifest, build.id)

    async def _record(
        self, session: Session, deploy: Deploy, manifest: Manifest, build_id: str
    ) -> None:
        dumped = manifest.model_dump(mode="json")
        await store.set_source(session, deploy.id, manifest=dumped, build=build_id)

    async def _claim_row(self, session: Session, request: BuildRequest, key: str) -> Build:
        sealed = self.variables.seal_all(request.env)
        return await builds.claim(
            session, request, key, variables_sealed=sealed, at=self.clock.now()
        )
