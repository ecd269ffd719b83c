"""What can be said of a deploy before any work: asked before it is queued, and again before it goes on."""

from dataclasses import dataclass

from gantry.config.load import load_manifest
from gantry.config.manifest import Manifest
from gantry.engines.database.protocol import Database, Session
from gantry.engines.sources.protocol import SourceStore
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.model import Environment
from gantry.features.releases import store as releases
from gantry.features.variables import store as variables
from gantry.features.variables.model import RESERVED
from gantry.kernel.errors import UserError

MANIFEST = "gantry.toml"


@dataclass(frozen=True, slots=True)
class DeployChecks:
    """Reads the manifest of a snapshot, and refuses what could not go live.

    An environment need not exist yet: one that was never made has no variables.
    """

    database: Database
    sources: SourceStore
    host_names: HostNames

    async def check(self, digest: str, environment: Environment, *, branch: str = "") -> Manifest:
        """Everything that can be checked; the manifest, resolved for `environment`.

        Parameters:
            branch: of the commit; empty where it is not known, or does not matter.

        Raises:
            UserError: as `manifest`; `deploy.other-branch`; `variable.missing` with the list.
        """
        manifest = await self.manifest(digest, environment)
        _check_branch(manifest, branch, environment)
        async with self.database.transaction() as session:
            await self.check_variables(session, manifest, environment)
        return manifest

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
        own = [domain for domain in manifest.domains if self.host_names.is_own(domain)]
        if own:
            raise UserError(
                "domain.reserved",
                f"{own[0]} lies below {self.host_names.domain}, where only Gantry gives names",
                hint=f"without it the site is at {self.host_names.environment_host(environment)}",
                where=f"{MANIFEST}: environments.{environment.name}.domains",
            )
        async with self.database.transaction() as session:
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

    async def check_variables(
        self, session: Session, manifest: Manifest, environment: Environment
    ) -> None:
        """Refuse to go on where required variables are missing.

        Raises:
            UserError: `variable.missing` with the list.
        """
        missing = await self.missing_variables(session, manifest, environment)
        if missing:
            raise missing_error(missing, environment)

    async def missing_variables(
        self, session: Session, manifest: Manifest, environment: Environment
    ) -> tuple[str, ...]:
        """Required variables that nobody has set and no service provides."""
        have = set(await variables.sealed_values(session, environment.id))
        have |= set(manifest.services.variables)
        have |= set(manifest.variables.plain) | RESERVED
        return tuple(
            name
            for name in manifest.variables.required
            if name not in have and not name.startswith("GANTRY_")
        )


def _check_branch(manifest: Manifest, given: str, environment: Environment) -> None:
    """A tree without a known branch (no git, a detached checkout in CI) is not held back."""
    wanted = manifest.branch
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
