"""What may be deleted: only what nothing can reach any more. Pure.

An artifact is reachable while a release of it is live, runs, is worked on, or can be rolled back to. Nothing is
deleted for its age alone, and never the target of a rollback to make room (the release live now and the one before
it are kept even when the disk is nearly full).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from gantry.engines.runtime.protocol import ProcessState, ProcessStatus
from gantry.features.builds.model import Build, BuildState
from gantry.features.crons.model import CRON_PREFIX
from gantry.features.deploys.model import Deploy
from gantry.features.releases.model import Release, ReleaseState

# Logs of ended tasks and instances are read when something went wrong; people look within days.
_KEEP_ENDED_PROCESSES = timedelta(days=3)
_MAX_ENDED_PROCESSES = 300
# Below this share of free disk only what the next rollback needs is kept.
TIGHT_BELOW = 0.10
_KEEP_WHEN_TIGHT = 2
# A build that no release was made of yet may be on its way to one.
_KEEP_UNUSED_BUILD = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Deletions:
    """What to delete.

    Attributes:
        builds: with their artifacts.
        artifacts: digests of those that no build knows.
        folders: builds that are done with their working folder.
    """

    builds: tuple[Build, ...] = ()
    artifacts: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """What there is.

    Attributes:
        releases: all of them, of every environment.
        keep: environment -> how many releases that were live can be rolled back to.
        artifacts: digests of stored artifacts that have been there long enough for a build to name them.
        folders: builds whose working folder is there.
        sources: stored snapshots that have been there long enough for a deploy to name them.
        instances: ids of all instances.
        cron_runs: processes of the newest runs of every scheduled command, whose output can be read.
        free_share: free part of the disk, 0 to 1.
    """

    releases: tuple[Release, ...]
    builds: tuple[Build, ...]
    deploys: tuple[Deploy, ...]
    live: Mapping[str, str | None]
    keep: Mapping[str, int]
    artifacts: frozenset[str]
    folders: frozenset[str]
    sources: frozenset[str]
    instances: frozenset[str]
    processes: Mapping[str, ProcessStatus]
    free_share: float
    now: datetime
    cron_runs: frozenset[str] = frozenset()


def decide(stored: Stored) -> Deletions:
    """Everything that can go."""
    kept_releases = set(_kept_releases(stored))
    kept_builds = {release.build for release in stored.releases if release.id in kept_releases}
    kept_builds |= {deploy.build for deploy in stored.deploys if deploy.build is not None}
    used = {release.build for release in stored.releases}
    gone = tuple(
        build
        for build in stored.builds
        if build.id not in kept_builds
        and build.state in (BuildState.BUILT, BuildState.READY)
        and (build.id in used or stored.now - build.created_at > _KEEP_UNUSED_BUILD)
    )
    gone_ids = {build.id for build in gone}
    kept_sources = {deploy.source_digest for deploy in stored.deploys}
    kept_sources |= {build.source_digest for build in stored.builds if build.id not in gone_ids}
    known = {build.artifact_digest for build in stored.builds}
    return Deletions(
        builds=gone,
        artifacts=tuple(sorted(stored.artifacts - known)),
        folders=tuple(_done_folders(stored)),
        sources=tuple(sorted(stored.sources - kept_sources)),
        processes=tuple(_ended_processes(stored)),
    )


def _kept_releases(stored: Stored) -> Iterable[str]:
    tight = stored.free_share < TIGHT_BELOW
    were_live: dict[str, list[Release]] = {}
    for release in stored.releases:
        if release.state in (ReleaseState.RUNNING, ReleaseState.PENDING):
            yield release.id
        if release.live_at is not None:
            were_live.setdefault(release.environment, []).append(release)
    yield from (release for release in stored.live.values() if release is not None)
    for environment, releases in were_live.items():
        keep = _KEEP_WHEN_TIGHT if tight else max(_KEEP_WHEN_TIGHT, stored.keep[environment])
        newest = sorted(releases, key=_last_live, reverse=True)
        yield from (release.id for release in newest[:keep])
    for deploy in stored.deploys:
        yield from deploy.needs


def _last_live(release: Release) -> datetime:
    assert release.live_at is not None, "only releases that were live are sorted"
    return release.left_at or datetime.max.replace(tzinfo=release.live_at.tzinfo)


def _done_folders(stored: Stored) -> Iterable[str]:
    """The tests are the last to need the folder of a build."""
    needed = {
        build.id
        for build in stored.builds
        if build.state in (BuildState.BUILDING, BuildState.BUILT)
    }
    for folder in sorted(stored.folders - needed):
        tasks = (stored.processes.get(f"{task}-{folder}") for task in ("build", "test"))
        if not any(task is not None and task.state is ProcessState.RUNNING for task in tasks):
            yield folder


def _ended_processes(stored: Stored) -> Iterable[str]:
    in_use = set(stored.instances)
    for deploy in stored.deploys:
        in_use.add(deploy.migrate_task)
        in_use |= {f"build-{deploy.build}", f"test-{deploy.build}"}
    ended = [
        status
        for status in stored.processes.values()
        if status.state is not ProcessState.RUNNING and status.id not in in_use
    ]
    # Those of scheduled commands are kept by their number: a command of every minute would push all others out.
    yield from (
        status.id
        for status in ended
        if status.id.startswith(CRON_PREFIX) and status.id not in stored.cron_runs
    )
    others = (status for status in ended if not status.id.startswith(CRON_PREFIX))
    newest = sorted(others, key=lambda status: status.ended_at or status.started_at, reverse=True)
    for position, status in enumerate(newest):
        age = stored.now - (status.ended_at or status.started_at)
        if age > _KEEP_ENDED_PROCESSES or position >= _MAX_ENDED_PROCESSES:
            yield status.id
