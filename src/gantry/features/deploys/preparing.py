"""The source step: from a snapshot to a checked manifest and a claimed build."""

from dataclasses import dataclass

from gantry.config.load import load_manifest
from gantry.config.manifest import Manifest
from gantry.engines.builders.protocol import BuildRequest, Workshop
from gantry.engines.database.protocol import Session, State
from gantry.engines.secrets.protocol import SecretBox
from gantry.engines.sources.protocol import Snapshot, SourceStore
from gantry.features.builds import store as builds
from gantry.features.builds.model import Build, BuildState
from gantry.features.builds.request import build_request, with_variables
from gantry.features.deploys.model import Deploy, DeployKind
from gantry.features.instances.launching import wanted_services
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.projects.naming import Naming
from gantry.features.releases import store as releases
from gantry.features.releases.reading import manifest_of
from gantry.features.variables import store as variable_queries
from gantry.features.variables.model import RESERVED
from gantry.features.variables.service import VariableService
from gantry.kernel.clock import Clock
from gantry.kernel.errors import IntegrityError, UserError
from gantry.kernel.ids import IdSource

MANIFEST = "gantry.toml"


@dataclass(frozen=True, slots=True)
class Prepared:
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
class Preparer:
    """Reads snapshots."""

    state: State
    sources: SourceStore
    workshop: Workshop
    variables: VariableService
    box: SecretBox
    naming: Naming
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

    async def manifest(self, digest: str, environment: Environment) -> Manifest:
        """The manifest in the snapshot, checked and resolved for `environment`.

        Raises:
            UserError: `manifest.*`, `source.no-manifest`, `source.other-project`, `domain.reserved`, `domain.taken`.
        """
        text = await self.sources.read_file(digest, MANIFEST)
        if text is None:
            raise UserError(
                "source.no-manifest",
                f"the source has no {MANIFEST}",
                hint="gantry init writes one from what it detects",
            )
        root = load_manifest(text, where=MANIFEST).project.root
        prefix = f"{root.strip('/')}/" if root.strip("/") else ""
        manifest = load_manifest(
            text,
            where=MANIFEST,
            vercel=await self.sources.read_file(digest, f"{prefix}vercel.json"),
            env_example=await self.sources.read_file(digest, f"{prefix}.env.example"),
        )
        if manifest.project.name != environment.project:
            raise UserError(
                "source.other-project",
                f"this source is the project {manifest.project.name!r}, not {environment.project!r}",
                hint="check [project] name in gantry.toml",
                where=MANIFEST,
            )
        resolved = manifest.for_environment(environment.name)
        await self._check_domains(resolved, environment)
        return resolved

    async def _check_domains(self, manifest: Manifest, environment: Environment) -> None:
        own = [domain for domain in manifest.domains if self.naming.is_own(domain)]
        if own:
            raise UserError(
                "domain.reserved",
                f"{own[0]} lies below {self.naming.domain}, where only Gantry gives names",
                hint=f"without it the site is at {self.naming.environment_host(environment)}",
                where=f"{MANIFEST}: environments.{environment.name}.domains",
            )
        async with self.state.transaction() as session:
            holder = await releases.domain_holder(
                session,
                tuple(manifest.domains),
                except_project=environment.project,
                except_environment=environment.name,
            )
        if holder is not None:
            domain, project, name = holder
            raise UserError(
                "domain.taken",
                f"{domain} leads to {name} of {project} now",
                hint=f"take it out of that project's {MANIFEST} and deploy it, then deploy this again",
                where=f"{MANIFEST}: environments.{environment.name}.domains",
            )

    async def missing_variables(
        self, session: Session, manifest: Manifest, environment: Environment
    ) -> tuple[str, ...]:
        """Required variables that nobody has set and no service provides."""
        have = set(await variable_queries.sealed_values(session, environment.id))
        have |= {kind.variable for kind in wanted_services(manifest)}
        have |= set(manifest.variables.plain) | RESERVED
        return tuple(
            name
            for name in manifest.variables.required
            if name not in have and not name.startswith("GANTRY_")
        )

    async def request(self, deploy: Deploy, manifest: Manifest, build_id: str) -> BuildRequest:
        """What the builder is asked for."""
        snapshot = await self.snapshot(deploy.source_digest)
        async with self.state.transaction() as session:
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
            of_services=[kind.variable for kind in wanted_services(manifest)],
        )

    async def prepare(self, deploy: Deploy, environment: Environment) -> Prepared:
        """Check everything that can be checked before work begins, and find or claim the build.

        A promoted build is taken as it is, unless the environment has its own values of variables that are in it.

        Raises:
            UserError: what is wrong with the manifest; `deploy.other-branch`; `variable.missing` with the list.
        """
        manifest = await self.manifest(deploy.source_digest, environment)
        if deploy.kind is not DeployKind.PROMOTE:
            _check_branch(manifest, deploy, environment)
        async with self.state.transaction() as session:
            missing = await self.missing_variables(session, manifest, environment)
        if missing:
            raise missing_error(missing, environment)
        request = await self.request(deploy, manifest, self.ids.new("b"))
        detail = f"snapshot {deploy.source_digest[:12]}"
        if deploy.kind is DeployKind.PROMOTE:
            assert deploy.build is not None, "it was asked for with a build"
            own = await self._own_values(deploy.build, request)
            if not own:
                async with self.state.transaction() as session:
                    build = await builds.get(session, deploy.build)
                return Prepared(manifest, request, build, detail)
            values = "value" if len(own) == 1 else "values"
            detail += f", built anew: {environment.name} has its own {values} of {', '.join(own)}"
        build = await self._claim(request, environment.project)
        return Prepared(manifest, request, build, detail)

    async def _own_values(self, build_id: str, request: BuildRequest) -> tuple[str, ...]:
        """Names of variables that `request` gives to the build and that `build_id` was made without, or with another value."""
        async with self.state.transaction() as session:
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


def _check_branch(manifest: Manifest, deploy: Deploy, environment: Environment) -> None:
    """A tree without a known branch (no git, a detached checkout in CI) is not held back."""
    wanted, given = manifest.branch, deploy.commit.branch
    if wanted and given and wanted != given:
        raise UserError(
            "deploy.other-branch",
            f"{environment.name} takes commits of {wanted}; this one is of {given}",
            hint=f"git switch {wanted}, or change [environments.{environment.name}] branch",
            where=MANIFEST,
        )


def missing_error(missing: tuple[str, ...], environment: Environment) -> UserError:
    """What to say about required variables that are not set."""
    names = ", ".join(missing)
    return UserError(
        "variable.missing",
        f"{environment.name} of {environment.project} lacks required variables: {names}",
        hint=f"gantry env set --environment {environment.name} "
        + " ".join(f"{name}=..." for name in missing),
        where=".env.example",
    )
