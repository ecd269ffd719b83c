"""The source step: from a snapshot to a checked manifest and a claimed build."""

from dataclasses import dataclass

from gantry.config.manifest import Manifest
from gantry.engines.builders.protocol import BuildRequest, Workshop
from gantry.engines.database.protocol import Session, State
from gantry.engines.secrets.protocol import SecretBox
from gantry.engines.sources.protocol import Snapshot, SourceStore
from gantry.features.builds import store as builds
from gantry.features.builds.model import Build, BuildState
from gantry.features.builds.request import build_request
from gantry.features.deploys.checks import DeployChecks
from gantry.features.deploys.model import Deploy
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.variables.service import VariableService
from gantry.kernel.clock import Clock
from gantry.kernel.errors import IntegrityError, UserError
from gantry.kernel.ids import IdSource


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the source step found.

    Attributes:
        manifest: resolved for the environment.
        request: for the builder; its `id` is the build's.
    """

    manifest: Manifest
    request: BuildRequest
    build: Build


@dataclass(frozen=True, slots=True)
class Preparer:
    """Reads snapshots."""

    state: State
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
        async with self.state.transaction() as session:
            values = await self.variables.reveal(session, deploy.environment)
            key = await projects.action_key_sealed(session, manifest.project.name)
        return build_request(
            build_id,
            manifest,
            snapshot,
            {**manifest.variables.plain, **values},
            action_key=self.box.open(key),
        )

    async def prepare(self, deploy: Deploy, environment: Environment) -> Prepared:
        """Check everything that can be checked before work begins, and find or claim the build.

        Raises:
            UserError: as `DeployChecks.check`; `source.unknown`.
        """
        manifest = await self.checks.check(
            deploy.source_digest, environment, branch=deploy.commit.branch
        )
        request = await self.request(deploy, manifest, self.ids.new("b"))
        build = await self._claim(request, environment.project)
        return Prepared(manifest, request, build)

    async def _claim(self, request: BuildRequest, project: str) -> Build:
        key = self.workshop.key(request)
        try:
            kept = await self.workshop.find(request) is not None
        except IntegrityError:
            kept = False  # set aside by the workshop; built anew below
        async with self.state.transaction() as session:
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
