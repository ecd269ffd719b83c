"""From the world to what each feature's rules want to know."""

import math
from dataclasses import dataclass

from gantry.engines.runtime.protocol import ProcessStatus
from gantry.features.deploys.model import Deploy, Step
from gantry.features.deploys.rules import Candidate, RolloutSeen, Seen
from gantry.features.instances.model import Want
from gantry.features.instances.wants import wants_of
from gantry.features.projects.naming import Naming
from gantry.features.releases.reading import manifest_of, parse_manifest
from gantry.features.rollouts.model import stages_of
from gantry.features.routes.render import Routed, Routes
from gantry.features.routes.served import ServedAssets
from gantry.reactor.memory import Memory
from gantry.reactor.world import World

# Steps that do not run the project's own code have fixed, generous deadlines.
_QUICK_STEP_S = 120.0
# Above the deadline that the task enforces itself, so that its own words win.
_TASK_MARGIN_S = 60.0


def instance_wants(world: World) -> tuple[Want, ...]:
    """The instances that should run now."""
    return tuple(
        want
        for release in world.releases.values()
        for want in wants_of(
            release,
            live=world.environments[release.environment].live_release == release.id,
            now=world.now,
            busy=release.id in world.edge.backends
            and world.edge.backends[release.id].active_requests > 0,
        )
    )


@dataclass(frozen=True, slots=True)
class Sockets:
    """Where parts of the platform listen that the edge asks."""

    console: str
    assets: str
    cache: str


def routes_of(world: World, naming: Naming, sockets: Sockets, assets: ServedAssets) -> Routes:
    """What the edge's configuration is derived from."""
    return Routes(
        naming=naming,
        console_socket=sockets.console,
        assets_socket=sockets.assets,
        cache_socket=sockets.cache,
        assets=assets,
        environments=tuple(world.environments.values()),
        routed=tuple(
            Routed(
                release=release,
                environment=world.environments[release.environment],
                manifest=manifest_of(release),
                instances=world.release_instances(release.id),
            )
            for release in world.releases.values()
        ),
        rollouts={
            rollout.environment: rollout
            for rollout in world.rollouts.values()
            # One that has passed lasts until all traffic has moved.
            if world.environments[rollout.environment].live_release == rollout.current
        },
        deployments={build.id: build.deployment for build in world.builds.values()},
    )


def see_deploy(deploy: Deploy, world: World, memory: Memory, *, edge_current: bool) -> Seen:
    """What the pipeline's rules want to know of one deploy."""
    environment = world.environments[deploy.environment]
    release = world.releases.get(deploy.release or "")
    manifest = manifest_of(release) if release is not None else None
    backend = world.edge.backends.get(deploy.release or "")
    return Seen(
        now=world.now,
        build=world.builds.get(deploy.build or ""),
        task=_task(deploy, world),
        has_release_command=manifest is not None and bool(manifest.release.command),
        live_release=environment.live_release,
        candidate=_candidate(deploy, world, memory),
        edge_current=edge_current,
        edge_healthy=backend.healthy if backend is not None else 0,
        smoke=memory.smoke.get(deploy.id),
        has_smoke=manifest is not None and manifest.web is not None and bool(manifest.web.smoke),
        rollout=_rollout(deploy, world),
        reached=memory.reached.get(deploy.id, ""),
        deadline_s=_deadline_s(deploy, world) + _unseen_s(deploy, memory),
    )


def _rollout(deploy: Deploy, world: World) -> RolloutSeen | None:
    begun = world.rollouts.get(deploy.id)
    if begun is not None:
        return RolloutSeen(begun.state, begun.reason)
    release = world.releases.get(deploy.release or "")
    live = world.environments[deploy.environment].live_release
    if release is None or live is None or live == release.id:
        return None
    return RolloutSeen() if stages_of(manifest_of(release).deploy) else None


def _task(deploy: Deploy, world: World) -> ProcessStatus | None:
    build = world.builds.get(deploy.build or "")
    match deploy.step:
        case Step.BUILD if build is not None:
            return world.processes.get(build.build_task)
        case Step.TEST if build is not None:
            return world.processes.get(build.test_task)
        case Step.MIGRATE:
            return world.processes.get(deploy.migrate_task)
        case _:
            return None


def _candidate(deploy: Deploy, world: World, memory: Memory) -> Candidate | None:
    release = world.releases.get(deploy.release or "")
    if release is None:
        return None
    wanted = sum(want.count for want in wants_of(release, live=False))
    found = world.release_instances(release.id)
    worst = max(found, key=lambda instance: instance.failures, default=None)
    crashes = worst.failures if worst is not None else 0
    messages = [
        memory.health[instance.id].message
        for instance in found
        if instance.id in memory.health and memory.health[instance.id].message
    ]
    exits = [instance.last_exit for instance in found if instance.last_exit]
    return Candidate(
        wanted=wanted,
        healthy=sum(instance.healthy_at is not None for instance in found),
        crashes=crashes,
        message="; ".join((exits if crashes else messages)[:1]),
    )


def _unseen_s(deploy: Deploy, memory: Memory) -> float:
    """How much of the present step went by while no control plane ran: nobody started or probed anything then."""
    if memory.began_at is None or deploy.step_started_at is None:
        return 0.0
    return max(0.0, (memory.began_at - deploy.step_started_at).total_seconds())


def _deadline_s(deploy: Deploy, world: World) -> float:
    release = world.releases.get(deploy.release or "")
    if deploy.step in (Step.BUILD, Step.TEST) and deploy.manifest is not None:
        manifest = parse_manifest(deploy.manifest)
        own_s = manifest.build.timeout_s if deploy.step is Step.BUILD else manifest.test.timeout_s
        return own_s + _TASK_MARGIN_S
    if release is None:
        return _QUICK_STEP_S
    manifest = manifest_of(release)
    if deploy.step is Step.MIGRATE:
        return manifest.release.timeout_s + _TASK_MARGIN_S
    if deploy.step is Step.ROLLOUT:
        return math.inf  # its stages have their own times, and people may pause it
    if deploy.step is Step.HEALTHY and manifest.web is not None:
        return manifest.web.health.start_deadline_s
    return _QUICK_STEP_S
