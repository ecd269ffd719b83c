"""Projects, environments, releases and instances as bodies."""

import asyncio
from collections.abc import Mapping
from datetime import datetime

from gantry.engines.edge_cache.protocol import CacheStatus
from gantry.engines.runtime.protocol import ProcessState, ProcessStatus
from gantry.features.builds.model import BuildState
from gantry.features.instances.bodies import InstanceBody, InstanceStateName
from gantry.features.instances.model import Health, Instance
from gantry.features.platform.bodies import EnvironmentBody, ProjectBody
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment, Project
from gantry.features.releases.bodies import ReleaseBody
from gantry.features.releases.model import Release, ReleaseState
from gantry.features.services import store as services_of
from gantry.web.services import Services
from gantry.web.views import addresses
from gantry.web.views.cache import cache_body
from gantry.web.views.deploys import latest_body
from gantry.web.views.reader import Reader, commit_body
from gantry.web.views.rollouts import candidate_body


class Seen:
    """What the engines say just now."""

    def __init__(
        self,
        processes: Mapping[str, ProcessStatus],
        health: Mapping[str, Health],
        cache: CacheStatus,
    ) -> None:
        self.processes, self.health, self.cache = processes, health, cache


async def look(services: Services) -> Seen:
    """Ask the runtime, the reactor's memory and the cache."""
    processes, cache = await asyncio.gather(
        services.runtime.statuses(), services.edge_cache.status()
    )
    return Seen(processes, services.health(), cache)


async def project_bodies(reader: Reader, seen: Seen) -> tuple[ProjectBody, ...]:
    """Every project."""
    found = await projects.list_projects(reader.session)
    return tuple([await project_body(reader, seen, project) for project in found])


async def project_body(reader: Reader, seen: Seen, project: Project) -> ProjectBody:
    """One project with its environments."""
    mine = [each for each in await reader.environments() if each.project == project.name]
    return ProjectBody(
        name=project.name,
        created_at=project.created_at,
        environments=tuple([await environment_body(reader, seen, each) for each in mine]),
    )


async def environment_body(reader: Reader, seen: Seen, environment: Environment) -> EnvironmentBody:
    """One environment."""
    live = await reader.release(environment.live_release) if environment.live_release else None
    provided = await services_of.list_for_environment(reader.session, environment.id)
    pairs = await reader.instances(environment)
    return EnvironmentBody(
        project=environment.project,
        name=environment.name,
        url=addresses.environment_url(reader.settings, environment),
        domains=addresses.domains_of(live),
        live=await release_body(reader, environment, live) if live else None,
        candidate=await candidate_body(reader, environment),
        instances=tuple(
            instance_body(instance, release, seen, reader.now) for instance, release in pairs
        ),
        services=tuple(service.kind.value for service in provided),
        cache=await cache_body(reader, seen.cache, live) if live else None,
        deploy=await latest_body(reader, environment),
    )


async def release_body(reader: Reader, environment: Environment, release: Release) -> ReleaseBody:
    """One release."""
    build = await reader.build(release.build)
    live = release.id == environment.live_release
    was_live = release.live_at is not None and release.state is not ReleaseState.FAILED
    return ReleaseBody(
        id=release.id,
        number=release.number,
        state=release.state.value,
        live=live,
        can_roll_back_to=was_live and not live and build.state is BuildState.READY,
        build=release.build,
        framework=build.framework,
        size_bytes=build.size_bytes,
        commit=commit_body(release.commit),
        url=addresses.release_url(reader.settings, environment, release),
        created_at=release.created_at,
        live_at=release.live_at,
        left_at=release.left_at,
    )


async def release_bodies(
    reader: Reader, environment: Environment, *, limit: int
) -> tuple[ReleaseBody, ...]:
    """An environment's newest releases, newest first."""
    found = await reader.release_list(environment, limit=limit)
    return tuple([await release_body(reader, environment, release) for release in found])


def instance_body(instance: Instance, release: Release, seen: Seen, now: datetime) -> InstanceBody:
    """One instance: what the database wants of it and what its process does."""
    process = seen.processes.get(instance.id)
    health = seen.health.get(instance.id)
    running = process is not None and process.state is ProcessState.RUNNING
    state = instance_state(instance, health, running=running, now=now)
    return InstanceBody(
        id=instance.id,
        release=release.id,
        release_number=release.number,
        process=instance.process,
        slot=instance.slot,
        state=state,
        pid=process.pid if process is not None and running else None,
        port=instance.port,
        memory_bytes=process.memory_bytes if process is not None and running else 0,
        restarts=instance.restarts,
        started_at=instance.started_at,
        message=_message(instance, health, state),
    )


def instance_state(
    instance: Instance, health: Health | None, *, running: bool, now: datetime
) -> InstanceStateName:
    """The one word for how an instance stands."""
    if instance.stopping_since is not None:
        return "stopping"
    if instance.started_at is None:
        waits = instance.next_start_at is not None and instance.next_start_at > now
        return "backing-off" if waits else "starting"
    if not running:
        return "unhealthy"
    if instance.healthy_at is None:
        return "starting"
    return "healthy" if health is None or health.healthy else "unhealthy"


def _message(instance: Instance, health: Health | None, state: InstanceStateName) -> str:
    if state in ("starting", "unhealthy") and health is not None and health.message:
        return health.message
    return "" if state == "stopping" else instance.last_exit
