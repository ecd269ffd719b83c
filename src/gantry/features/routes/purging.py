"""What the edge keeps of an environment is forgotten, because somebody says so."""

from dataclasses import dataclass

from gantry.engines.database.protocol import Database
from gantry.engines.edge_cache.protocol import EdgeCache, Purge
from gantry.features.audit import store as audit
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
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
            UserError: `purge.bad-path`, `purge.bad-tag`, `purge.too-many`; `purge.nothing-kept` no release of it names
                paths for the edge to keep.
            NotFoundError: `project.unknown`, `environment.unknown`.
            TransientError: `cache.unreachable`.
        """
        _check(paths, tags)
        async with self.database.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            present = [
                release
                for release in await releases.list_present(session)
                if release.environment == target.id
            ]
            if not any(release.caches for release in present):
                raise _nothing_kept(target)
            await audit.record(
                session,
                at=self.clock.now(),
                actor=by,
                action="cache.purge",
                target=f"{project}/{environment}",
                details={"paths": list(paths), "tags": list(tags)},
            )
        backends = tuple(release.id for release in present)
        return await self.edge_cache.purge(Purge(backends, paths, tags))


def _nothing_kept(target: Environment) -> UserError:
    """No cache need even run for it."""
    return UserError(
        "purge.nothing-kept",
        f"the edge keeps no answers of {target.name} of {target.project}: its release names no paths for it",
        hint='name them in gantry.toml, below [routes]: cache = ["/news/:path*"]; then deploy',
    )


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
