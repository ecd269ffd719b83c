"""The source step: from a snapshot to a checked manifest and a claimed build."""

from dataclasses import dataclass

from gantry.config.manifest import Manifest
from gantry.engines.builders.protocol import BuildRequest, Workshop
from gantry.engines.database.protocol import Database, Session
from gantry.engines.secrets.protocol import SecretBox
from gantry.engines.sources.protocol import Snapshot, SourceStore
from gantry.features.builds import store as builds
from gantry.features.builds.model import Build, BuildState
from gantry.features.builds.request import build_request, with_variables
from gantry.features.deploys.checks import DeployChecks
from gantry.features.deploys.model import Deploy, DeployKind
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.releases import store as releases
from gantry.features.releases.reading import manifest_of
from gantry.features.variables.service import VariableService
from gantry.kernel.clock import Clock
from gantry.kernel.errors import IntegrityError, UserError
from gantry.kernel.ids import IdSource


@dataclass(frozen=True, slots=True)
class Source:
    """What the source step found.

    Attributes:
        manifest: resolved for the environment.
        request: for the builder; its `id` is the build's.
        detail: what people are told of it.
    """

    manifest: Manifest
    request: BuildRequest
    build: Build
    detail: str


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

    async def request(self, deploy: Deploy, manifest: Manifest, build_id: str) -> BuildRequest:
        """What the builder is asked for."""
        snapshot = await self.snapshot(deploy.source_digest)
        async with self.database.transaction() as session:
            values = await self.variables.reveal(session, deploy.environment)
            key = await projects.action_key_sealed(session, manifest.project.name)
        request = build_request(build_id, manifest, snapshot, action_key=self.box.open(key))
        return self._with_variables(request, manifest, {**manifest.variables.plain, **values})

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

    async def read(self, deploy: Deploy, environment: Environment) -> Source:
        """Check everything that can be checked before work begins, and find or claim the build.

        A promoted build is taken as it is, unless the environment has its own values of variables that are in it.

        Raises:
            UserError: as `DeployChecks.check`; `source.unknown`.
        """
        promoted = deploy.kind is DeployKind.PROMOTE
        # Of no branch: that is what a promotion is for.
        branch = "" if promoted else deploy.commit.branch
        manifest = await self.checks.check(deploy.source_digest, environment, branch=branch)
        request = await self.request(deploy, manifest, self.ids.new("b"))
        detail = f"snapshot {deploy.source_digest[:12]}"
        if promoted:
            assert deploy.build is not None, "it was asked for with a build"
            own = await self._own_values(deploy.build, request)
            if not own:
                async with self.database.transaction() as session:
                    build = await builds.get(session, deploy.build)
                return Source(manifest, request, build, detail)
            values = "value" if len(own) == 1 else "values"
            detail += f", built anew: {environment.name} has its own {values} of {', '.join(own)}"
        build = await self._claim(request, environment.project)
        return Source(manifest, request, build, detail)

    async def _own_values(self, build_id: str, request: BuildRequest) -> tuple[str, ...]:
        """Names of variables that `request` gives to the build and that `build_id` was made without, or with another value."""
        async with self.database.transaction() as session:
            release = await releases.newest_of_build(session, build_id)
            assert release is not None, "a build is promoted that is live somewhere"
            sealed = await releases.variables_sealed(session, release.id)
        then = self._with_variables(request, manifest_of(release), self.variables.open_all(sealed))
        names = then.env.keys() | request.env.keys()
        return tuple(sorted(n for n in names if then.env.get(n) != request.env.get(n)))

    async def _claim(self, request: BuildRequest, project: str) -> Build:
        key = self.workshop.key(request)
        try:
            kept = await self.workshop.find(request) is not None
        except IntegrityError:
            kept = False  # set aside by the workshop; built anew below
        async with self.database.transaction() as session:
            build = await self._claim_row(session, request, project, key)
            if build.state is not BuildState.BUILDING and not kept:
                await builds.set_gone(session, build.id)
                build = await self._claim_row(session, request, project, key)
        return build

    async def _claim_row(
        self, session: Session, request: BuildRequest, project: str, key: str
    ) -> Build:
        return await builds.claim(
            session,
            build_id=request.id,
            project=project,
            key=key,
            source_digest=request.source_digest,
            at=self.clock.now(),
        )
