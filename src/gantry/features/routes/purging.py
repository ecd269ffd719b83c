"""What the edge keeps of an environment is forgotten, because somebody says so."""

from dataclasses import dataclass

from gantry.engines.database.protocol import Database
from gantry.engines.edge_cache.protocol import EdgeCache, Purge
from gantry.features.audit import store as audit
from gantry.features.projects import store as projects
from gantry.features.releases import store as releases
from gantry.kernel.clock import Clock
from gantry.kernel.errors import UserError
from gantry.kernel.units import counted

_MOST = 256
_LONGEST = 1_024


@dataclass(frozen=True, slots=True)
class PurgeService:
    """Empties the cache, for one environment."""

    database: Database
    edge_cache: EdgeCache
    clock: Clock

    async def purge(
        self,
        project: str,
        environment: str,
        *,
        paths: tuple[str, ...] = (),
        tags: tuple[str, ...] = (),
        by: str,
    ) -> int:
        """Forget answers; returns how many. Without paths and tags, all of the environment.

        Raises:
            UserError: `purge.bad-path`, `purge.bad-tag`, `purge.too-many`.
            NotFoundError: `project.unknown`, `environment.unknown`.
            TransientError: `cache.unreachable`.
        """
        _check(paths, tags)
        async with self.database.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            present = await releases.list_present(session)
            await audit.record(
                session,
                at=self.clock.now(),
                actor=by,
                action="cache.purge",
                target=f"{project}/{environment}",
                details={"paths": list(paths), "tags": list(tags)},
            )
        backends = tuple(instance.id for instance in present if instance.environment == target.id)
        return await self.edge_cache.purge(Purge(backends, paths, tags))


def _check(paths: tuple[str, ...], tags: tuple[str, ...]) -> None:
    if len(paths) + len(tags) > _MOST:
        raise UserError(
            "purge.too-many",
            f"{counted(len(paths), 'path')} and {counted(len(tags), 'tag')} at once; the limit is {_MOST}",
            hint="end a path in * to mean everything below it, or purge everything",
        )
    for path in paths:
        if not path.startswith("/") or "*" in path[:-1] or "?" in path or len(path) > _LONGEST:
            raise UserError(
                "purge.bad-path",
                f"{path[:80]!r} is not a valid path",
                hint="write it as in the address, without host and query: /news/today, or /news/*",
            )
    for tag in tags:
        if not tag or "," in tag or not tag.isprintable() or len(tag) > _LONGEST:
            raise UserError(
                "purge.bad-tag",
                f"{tag[:80]!r} is not a valid tag",
                hint="a tag is one of those that the product lists in its header Cache-Tag",
            )
