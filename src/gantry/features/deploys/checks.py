"""What the gates ask of the database and the snapshots: read here, for every way to production."""

import asyncio
from dataclasses import dataclass

from gantry.config.evidence.tree import TreeFacts, read_tree
from gantry.config.load import load_manifest
from gantry.config.manifest import Manifest
from gantry.engines.database.protocol import Database, Session
from gantry.engines.sources.protocol import SourceStore
from gantry.features.builds import store as builds
from gantry.features.deploys.gates import MANIFEST, Entry, Holder, asks_for_extensions, closed
from gantry.features.instances.launching import wanted_services
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.model import Environment
from gantry.features.releases import store as releases
from gantry.features.releases.model import Release
from gantry.features.releases.reading import manifest_of
from gantry.features.services.provide import ServiceProvider
from gantry.features.variables import store as variable_store
from gantry.features.variables.service import VariableService
from gantry.kernel.errors import GantryError, UserError


@dataclass(frozen=True, slots=True)
class DeployChecks:
    """Reads the manifest of a snapshot, and asks the gates.

    An environment need not exist yet: one that was never made has no variables.
    """

    database: Database
    sources: SourceStore
    host_names: HostNames
    variables: VariableService
    services: ServiceProvider

    async def manifest(self, digest: str, environment: Environment) -> Manifest:
        """The manifest in the snapshot, checked and resolved for `environment`.

        Raises:
            UserError: `manifest.*`, `source.no-manifest`, `source.other-project`.
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
        facts = await self._facts(digest, manifest)
        told = {"committed": facts.committed, "extensions": facts.extensions}
        return manifest.for_environment(environment.name).model_copy(update=told)

    async def _facts(self, digest: str, manifest: Manifest) -> TreeFacts:
        snapshot = await self.sources.get(digest)
        if snapshot is None:
            return (
                TreeFacts()
            )  # it was read a moment ago: whoever needs its files says that they are gone
        return await asyncio.to_thread(read_tree, snapshot.root, manifest.project.root.strip("/"))

    async def snapshot_may_go_live(
        self, digest: str, environment: Environment, *, branch: str, build: str | None = None
    ) -> Manifest:
        """Ask every gate of a snapshot that a release is to be made of; its manifest, resolved for `environment`.

        Parameters:
            branch: of the commit; empty where it is not known.
            build: that is taken along; `None` while it is not made.

        Raises:
            GantryError: as `manifest`, and why the first gate is closed.
        """
        manifest = await self.manifest(digest, environment)
        async with self.database.transaction() as session:
            await self.tree_may_go_live(session, environment, manifest, branch=branch, build=build)
        return manifest

    async def tree_may_go_live(
        self,
        session: Session,
        environment: Environment,
        manifest: Manifest,
        *,
        branch: str,
        build: str | None = None,
    ) -> None:
        """Ask every gate of a release that is to be made: it gets the variables that the environment has now.

        Parameters:
            build: that it is made of; `None` while it is not made.

        Raises:
            GantryError: why the first gate is closed.
        """
        _refuse(await self.refusals(session, environment, manifest, branch=branch, build=build))

    async def release_may_go_live(
        self, session: Session, environment: Environment, release: Release
    ) -> None:
        """Ask every gate of a release that is made: it keeps its manifest, build and variables.

        Raises:
            GantryError: why the first gate is closed.
        """
        sealed = await releases.variables_sealed(session, release.id)
        entry = await self._entry(
            session,
            environment,
            manifest_of(release),
            branch=release.commit.branch,
            build=release.build,
            variables=frozenset(self.variables.open_all(sealed)),
            release=release.number,
        )
        _refuse(tuple(closed(entry).values()))

    async def refusals(
        self,
        session: Session,
        environment: Environment,
        manifest: Manifest,
        *,
        branch: str = "",
        build: str | None = None,
    ) -> tuple[GantryError, ...]:
        """Why a release that is to be made could not go live, gate by gate; nothing where it could."""
        names = frozenset(await variable_store.sealed_values(session, environment.id))
        entry = await self._entry(
            session, environment, manifest, branch=branch, build=build, variables=names
        )
        return tuple(closed(entry).values())

    async def _entry(
        self,
        session: Session,
        environment: Environment,
        manifest: Manifest,
        *,
        branch: str,
        build: str | None,
        variables: frozenset[str],
        release: int | None = None,
    ) -> Entry:
        wanted = wanted_services(manifest)
        asks = release is None and asks_for_extensions(manifest, variables)
        found = await releases.domain_holder(
            session,
            tuple(manifest.domains),
            except_project=environment.project,
            except_environment=environment.name,
        )
        return Entry(
            environment=environment,
            manifest=manifest,
            host_names=self.host_names,
            branch=branch,
            # Locked: it is not deleted while this is decided.
            build=await builds.lock(session, build) if build is not None else None,
            release=release,
            variables=variables,
            services=wanted,
            unavailable=self.services.unavailable(wanted),
            creatable=await self.services.extensions() if asks else {},
            holder=Holder(*found) if found is not None else None,
        )


def _refuse(errors: tuple[GantryError, ...]) -> None:
    if errors:
        raise errors[0]
