"""Deletes what nothing can reach any more, and keeps logs within bounds."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gantry.engines.builders.protocol import Workshop
from gantry.engines.database.protocol import Database
from gantry.engines.runtime.protocol import Runtime
from gantry.engines.sources.protocol import SourceStore
from gantry.features.accounts import store as accounts
from gantry.features.builds import store as builds
from gantry.features.crons import store as crons
from gantry.features.deploys import store as deploys
from gantry.features.instances import store as instances
from gantry.features.projects import store as projects
from gantry.features.releases import store as releases
from gantry.features.releases.reading import manifest_of
from gantry.features.retention.rules import Deletions, Stored, decide
from gantry.kernel.clock import Clock

_log = logging.getLogger(__name__)
_MAX_LOG_BYTES = 20_000_000
# An upload is given this long until a deploy must name it, and an artifact until its build does.
_GRACE_S = 3600.0
_DEFAULT_KEEP = 10


@dataclass(slots=True)
class Retention:
    """Looks at everything stored, decides, and deletes.

    Attributes:
        free_share: the free part of the platform's disk, 0 to 1.
    """

    database: Database
    runtime: Runtime
    workshop: Workshop
    sources: SourceStore
    clock: Clock
    free_share: Callable[[], float]
    _artifacts_seen_s: dict[str, float] = field(default_factory=dict)
    _sources_seen_s: dict[str, float] = field(default_factory=dict)

    async def once(self) -> None:
        """One round."""
        await self.runtime.rotate_logs(keep_bytes=_MAX_LOG_BYTES)
        await self._delete(decide(await self._look()))
        async with self.database.transaction() as session:
            await accounts.delete_expired(session, at=self.clock.now())
            await crons.delete_old(session)

    async def _look(self) -> Stored:
        artifacts = self._settled(await self.workshop.list(), self._artifacts_seen_s)
        snapshots = self._settled(await self.sources.list(), self._sources_seen_s)
        # Before the builds: one that begins in between has its record before its folder.
        folders = await self.workshop.folders()
        async with self.database.transaction() as session:
            environments = await projects.list_environments(session)
            everything = await releases.list_all(session)
            found_builds = await builds.list_all(session)
            found_deploys = await deploys.list_open(session)
            found_instances = await instances.list_all(session)
            cron_runs = await crons.processes_kept(session)
        keep = {environment.id: _DEFAULT_KEEP for environment in environments}
        for release in everything:  # oldest first: the newest manifest has the last word
            keep[release.environment] = manifest_of(release).deploy.keep_releases
        return Stored(
            releases=everything,
            builds=found_builds,
            deploys=found_deploys,
            live={environment.id: environment.live_release for environment in environments},
            keep=keep,
            artifacts=artifacts,
            folders=folders,
            sources=snapshots,
            instances=frozenset(instance.id for instance in found_instances),
            processes=await self.runtime.statuses(),
            cron_runs=cron_runs,
            free_share=self.free_share(),
            now=self.clock.now(),
        )

    def _settled(self, stored: Iterable[str], seen_s: dict[str, float]) -> frozenset[str]:
        """What has been there for a while; `seen_s` remembers since when."""
        now_s = self.clock.monotonic_s()
        first_s = {digest: seen_s.get(digest, now_s) for digest in stored}
        seen_s.clear()
        seen_s.update(first_s)
        return frozenset(digest for digest, s in first_s.items() if now_s - s >= _GRACE_S)

    async def _delete(self, deletions: Deletions) -> None:
        for build in deletions.builds:
            # The record first: a build that is marked gone is never promised to a rollback.
            async with self.database.transaction() as session:
                await builds.set_gone(session, build.id)
                shared = await builds.is_artifact_used(session, build.artifact_digest)
            if not shared:
                await self.workshop.remove(build.artifact_digest)
            _log.info("build %s of %s was deleted: nothing can reach it", build.id, build.project)
        for digest in deletions.artifacts:
            await self.workshop.remove(digest)
            _log.info("artifact %s was deleted: no build knows it", digest[:12])
        for build_id in deletions.folders:
            await self.workshop.discard(build_id)
        for digest in deletions.sources:
            await self.sources.remove(digest)
        for process_id in deletions.processes:
            await self.runtime.remove(process_id)
