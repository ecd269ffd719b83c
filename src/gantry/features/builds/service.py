"""What builds of a project leave for its next ones: how much that is, and its end."""

from dataclasses import dataclass

from gantry.engines.builders.protocol import Workshop
from gantry.engines.database.protocol import Database
from gantry.features.audit import store as audit
from gantry.features.builds import store
from gantry.features.builds.bodies import BuildCacheBody
from gantry.features.projects import store as projects
from gantry.kernel.clock import Clock
from gantry.kernel.errors import ConflictError
from gantry.kernel.ids import IdSource


@dataclass(frozen=True, slots=True)
class BuildCacheService:
    """A project's build cache: installed packages, downloads, and what frameworks keep."""

    database: Database
    workshop: Workshop
    clock: Clock
    ids: IdSource

    async def get(self, project: str) -> BuildCacheBody:
        """How large it is.

        Raises:
            NotFoundError: `project.unknown`.
        """
        async with self.database.transaction() as session:
            await projects.get_project(session, project)
        return BuildCacheBody(project=project, size_bytes=await self.workshop.cache_bytes(project))

    async def clear(self, project: str, *, by: str) -> BuildCacheBody:
        """Delete it; how large it was. The next deploy builds anew, also a tree that was built before.

        Raises:
            NotFoundError: `project.unknown`.
            ConflictError: `build-cache.in-use` a build of the project works with it.
        """
        size_bytes = (await self.get(project)).size_bytes
        async with self.database.transaction() as session:
            if await store.is_building(session, project):
                raise ConflictError(
                    "build-cache.in-use",
                    f"a deploy of {project} builds with the cache just now",
                    hint="wait until it has ended (gantry status shows it), or end it: gantry cancel DEPLOY",
                )
            await projects.set_fresh(session, project, self.ids.new("clear"))
            await audit.record(
                session,
                at=self.clock.now(),
                actor=by,
                action="build-cache.clear",
                target=project,
                details={"size_bytes": size_bytes},
            )
        # After the record: whoever asked may have hung up by the time that it is done.
        return BuildCacheBody(project=project, size_bytes=await self.workshop.clear_cache(project))
