"""From the world to what each feature's rules and executors want to know."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from gantry.engines.runtime.protocol import ProcessState
from gantry.features.assets.model import ServedAssets
from gantry.features.crons.model import CRON_PREFIX
from gantry.features.deploys import pipeline
from gantry.features.deploys.act import Answers, Work
from gantry.features.deploys.model import Deploy, DeployKind, DeployState, Step
from gantry.features.deploys.rules import Candidate, Observed, RestartProgress, RolloutProgress
from gantry.features.instances.exchange import is_old
from gantry.features.instances.model import Health, Instance, Rolling, Want
from gantry.features.instances.rules import wants_of
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.model import Environment
from gantry.features.releases.model import Release
from gantry.features.releases.reading import manifest_of, parse_manifest
from gantry.features.removals.rules import ObservedRemoval
from gantry.features.rollouts.rules import stages_of
from gantry.features.routes.render import Routed, Routes
from gantry.features.runs.model import commands_of
from gantry.reactor.world import World

# A worker that has stayed up for so long since it was called healthy has not died of what it begins with.
STEADY_AFTER = timedelta(seconds=2)


def instance_wants(world: World) -> tuple[Want, ...]:
    """The instances that should run now."""
    return tuple(
        _rolling(want, release, world)
        for release in world.releases.values()
        for want in wants_of(
            release,
            live=world.environments[release.environment].live_release == release.id,
            now=world.now,
            busy=release.id in world.edge.backends
            and world.edge.backends[release.id].active_requests > 0,
            scaled=world.scales.get(release.id, {}),
        )
    )


def _rolling(want: Want, release: Release, world: World) -> Want:
    backend = world.edge.backends.get(release.id)
    before = [
        deploy.step_started_at
        for deploy in world.deploys
        if _restarts(deploy, want)
        and world.environments[deploy.environment].live_release == want.release
    ]
    rolling = Rolling(
        before=before[0] if before else None,
        busy=backend is not None and backend.active_requests > 0,
        requests_s=manifest_of(release).drain.requests_s,
    )
    return replace(want, rolling=rolling)


def _restarts(deploy: Deploy, want: Want) -> bool:
    """Whether a deploy is just restarting these instances."""
    return (
        deploy.kind is DeployKind.RESTART
        and deploy.state is DeployState.ACTIVE
        and deploy.step is Step.HEALTHY
        and not deploy.cancel_requested
        and deploy.release == want.release
        and deploy.process in ("", want.process)
    )


@dataclass(frozen=True, slots=True)
class Sockets:
    """Where parts of the platform listen that the edge asks."""

    console: str
    assets: str
    edge_cache: str


def routes_of(
    world: World, host_names: HostNames, sockets: Sockets, assets: ServedAssets
) -> Routes:
    """What the edge's configuration is derived from."""
    return Routes(
        host_names=host_names,
        console_socket=sockets.console,
        assets_socket=sockets.assets,
        cache_socket=sockets.edge_cache,
        assets=assets,
        closed=world.closed,
        environments=tuple(world.environments.values()),
        routed=tuple(
            Routed(
                release=release,
                environment=world.environments[release.environment],
                manifest=manifest_of(release),
                instances=tuple(
                    instance
                    for instance in world.release_instances(release.id)
                    if instance.leaving_since is None
                ),
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


def observe_removal(environment: Environment, world: World) -> ObservedRemoval:
    """What is left of an environment that is to end."""
    releases = {
        release.id for release in world.releases.values() if release.environment == environment.id
    }
    commands = (f"{CRON_PREFIX}{environment.id}-", commands_of(environment.id))
    return ObservedRemoval(
        instances=tuple(
            instance.id for instance in world.instances if instance.release in releases
        ),
        commands=tuple(
            key
            for key, process in world.processes.items()
            if key.startswith(commands) and process.state is ProcessState.RUNNING
        ),
    )


def work_of(deploy: Deploy, world: World) -> Work:
    """A deploy with what belongs to it."""
    build = world.builds.get(deploy.build or "")
    tasks = {deploy.migrate_task}
    if build is not None:
        tasks |= {build.build_task, build.test_task}
    return Work(
        deploy=deploy,
        environment=world.environments[deploy.environment],
        release=world.releases.get(deploy.release or ""),
        build=build,
        rollout=world.rollouts.get(deploy.id),
        processes={key: world.processes[key] for key in tasks if key in world.processes},
        shares_build=build is not None
        and any(other.build == build.id and other.id != deploy.id for other in world.deploys),
    )


def observe_deploy(
    work: Work,
    world: World,
    answers: Answers,
    health: Mapping[str, Health],
    *,
    edge_current: bool,
    unseen_s: float,
) -> Observed:
    """What the pipeline's rules want to know of one deploy.

    Parameters:
        edge_current: the edge acknowledged the configuration that the database implies.
        unseen_s: how much of the present step went by while nobody started or probed anything.
    """
    deploy, release = work.deploy, work.release
    manifest = manifest_of(release) if release is not None else None
    backend = world.edge.backends.get(deploy.release or "")
    planned = parse_manifest(deploy.manifest) if deploy.manifest is not None else manifest
    return Observed(
        now=world.now,
        build=work.build,
        task=work.processes.get(pipeline.task_of(deploy) or ""),
        has_release_command=manifest is not None and bool(manifest.release.command),
        release_number=release.number if release is not None else None,
        live_release=work.environment.live_release,
        candidate=_candidate(work, world, health),
        edge_current=edge_current,
        edge_healthy=backend.healthy if backend is not None else 0,
        smoke=answers.smoke.get(deploy.id),
        has_smoke=manifest is not None and manifest.web is not None and bool(manifest.web.smoke),
        rollout=_rollout(work),
        restart=_restart(work, world),
        served_by=answers.served_by.get(deploy.id, ""),
        deadline_s=pipeline.deadline_s(deploy.step, planned, deploy.kind) + unseen_s,
    )


def _rollout(work: Work) -> RolloutProgress | None:
    if work.rollout is not None:
        return RolloutProgress(work.rollout.state, work.rollout.reason)
    live = work.environment.live_release
    if work.release is None or live is None or live == work.release.id:
        return None
    return RolloutProgress() if stages_of(manifest_of(work.release).deploy) else None


def _restart(work: Work, world: World) -> RestartProgress | None:
    deploy, release = work.deploy, work.release
    if deploy.kind is not DeployKind.RESTART or release is None or deploy.step_started_at is None:
        return None
    wants = [want for want in wants_of(release, live=True) if deploy.process in ("", want.process)]
    done, crashes, message = 0, 0, ""
    rest = False
    for want in wants:
        for item in world.release_instances(release.id, want.process):
            going = item.leaving_since is not None or item.stopping_since is not None
            if going or item.slot >= want.count or is_old(item, deploy.step_started_at):
                rest = True
                continue
            done += item.healthy_at is not None
            if item.failures > crashes:
                crashes, message = item.failures, item.last_exit
    return RestartProgress(
        wanted=sum(want.count for want in wants),
        done=done,
        over=not rest,
        crashes=crashes,
        message=message,
    )


def _candidate(work: Work, world: World, health: Mapping[str, Health]) -> Candidate | None:
    release = work.release
    if release is None:
        return None
    wants = wants_of(release, live=work.environment.live_release == release.id)
    found = tuple(item for item in world.instances if item.release == release.id)
    web = [instance for instance in found if instance.process == "web"]
    steady = [
        instance
        for instance in found
        if instance.process != "web"
        and instance.healthy_at is not None
        and world.now - instance.healthy_at >= STEADY_AFTER
    ]
    return Candidate(
        wanted=sum(want.count for want in wants if want.probed),
        healthy=sum(instance.healthy_at is not None for instance in web),
        crashes=max((instance.failures for instance in found), default=0),
        message=_trouble(found, health),
        workers=sum(want.count for want in wants if not want.probed),
        steady_workers=len(steady),
    )


def _trouble(found: tuple[Instance, ...], health: Mapping[str, Health]) -> str:
    """What is wrong with the worst of some instances."""
    worst = max(found, key=lambda instance: instance.failures, default=None)
    if worst is not None and worst.failures and worst.last_exit:
        return f"{worst.process}.{worst.slot} {worst.last_exit}"
    said = ((item, health[item.id].message) for item in found if item.id in health)
    return next((f"{item.process}.{item.slot}: {text}" for item, text in said if text), "")
