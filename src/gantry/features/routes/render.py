"""What the edge should do, as one value derived from environments, releases and instances. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypedDict

from gantry.config.fields import project_name_fault
from gantry.config.manifest import Manifest
from gantry.engines.assets.protocol import HEALTH_PATH, of_build, of_scope
from gantry.engines.edge.protocol import (
    ASSETS,
    CACHE,
    Assets,
    Backend,
    Canary,
    Certificate,
    Closed,
    EdgeConfig,
    Endpoint,
    HeaderRule,
    Limit,
    PathTimeouts,
    Pin,
    Redirect,
    Rewrite,
    Rules,
    Site,
    Timeouts,
)
from gantry.features.assets.model import ServedAssets
from gantry.features.instances.health import health_host
from gantry.features.instances.model import Instance
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.model import PRODUCTION, Environment
from gantry.features.releases.model import Release, ReleaseState
from gantry.features.rollouts.model import Rollout, StageKind, buckets_of

CONSOLE_BACKEND = "console"


class _Shares(TypedDict, total=False):
    canary: Canary
    mirror: str


@dataclass(frozen=True, slots=True)
class Routed:
    """A release that runs, with all that its routes need."""

    release: Release
    environment: Environment
    manifest: Manifest
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Routes:
    """What is routed.

    Attributes:
        console_socket: where the control plane listens.
        rollouts: environment -> the rollout that moves its traffic now.
        deployments: build -> what its pages call themselves.
        assets: what is served without an instance.
        assets_socket, cache_socket: where the asset store and the cache listen.
        closed: environment -> the page that visitors of its own addresses get. Its releases' addresses stay open.
    """

    host_names: HostNames
    console_socket: str
    environments: tuple[Environment, ...]
    routed: tuple[Routed, ...]
    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    deployments: Mapping[str, str] = field(default_factory=dict)
    assets: ServedAssets = field(default_factory=ServedAssets)
    assets_socket: str = ""
    cache_socket: str = ""
    closed: Mapping[str, Closed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Claim:
    """What would have a name below the platform's own domain.

    Attributes:
        claimant: identity of the environment, release or build; empty for the console.
    """

    host: str
    claimant: str = ""
    project: str = ""


def hosts(routes: Routes) -> tuple[str, ...]:
    """Every name below the platform's own domain that should be answered."""
    return tuple(_holders(routes))


def lasting_hosts(routes: Routes) -> tuple[str, ...]:
    """Those of `hosts` that people know: the console's and the environments'."""
    known = {"", *(environment.id for environment in routes.environments)}
    return tuple(host for host, claimant in _holders(routes).items() if claimant in known)


def refused(routes: Routes) -> tuple[Claim, ...]:
    """Names that are somebody else's, or that no name can be: their sites are not there.

    The service and the database refuse what would lead here; stored data that got past them must not stop the edge for
    everybody.
    """
    holders = _holders(routes)
    return tuple(claim for claim in _claims(routes) if holders.get(claim.host) != claim.claimant)


def domains(routes: Routes) -> tuple[str, ...]:
    """Every custom domain of a live release."""
    return tuple(domain for names in _granted(routes).values() for domain in names)


def render(
    routes: Routes,
    certificates: Iterable[Certificate],
    acme_challenges: Mapping[str, str],
) -> EdgeConfig:
    """The whole wanted configuration of the edge."""
    holders = _holders(routes)
    return EdgeConfig(
        sites=(
            _console(routes),
            *_environment_sites(routes, holders),
            *_release_sites(routes, holders),
        ),
        backends=(
            _console_backend(routes),
            *_asset_backend(routes),
            *_cache_backend(routes),
            *_backends(routes),
        ),
        certificates=tuple(certificates),
        acme_challenges=acme_challenges,
    )


def _console(routes: Routes) -> Site:
    return Site(
        hosts=(routes.host_names.console_host,),
        backend=CONSOLE_BACKEND,
        title="Gantry",
        noindex=True,
    )


def _console_backend(routes: Routes) -> Backend:
    return Backend(
        name=CONSOLE_BACKEND,
        endpoints=(Endpoint(socket=routes.console_socket),),
        # uvicorn closes idle connections after 5 s unless told otherwise; stay below.
        idle_timeout_s=4.0,
    )


def _asset_backend(routes: Routes) -> Iterable[Backend]:
    if routes.assets_socket and routes.assets.builds:
        yield Backend(
            name=ASSETS,
            endpoints=(Endpoint(socket=routes.assets_socket),),
            health_path=HEALTH_PATH,
            health_host=ASSETS,
        )


def _cache_backend(routes: Routes) -> Iterable[Backend]:
    if any(item.manifest.routes.cache for item in routes.routed):
        yield Backend(name=CACHE, endpoints=(Endpoint(socket=routes.cache_socket),))


def _claims(routes: Routes) -> Iterable[Claim]:
    """In the order of their right: a project whose name follows the rule before one whose does not, then the older
    environment.
    """
    host_names = routes.host_names
    yield Claim(host_names.console_host)
    wanted = [
        (environment, host_names.environment_host(environment), environment.id)
        for environment in routes.environments
    ]
    for item in _addressable(routes.routed):
        host = host_names.release_host(item.environment.project, item.release.id)
        wanted.append((item.environment, host, item.release.id))
    wanted += [(item.environment, host, item.release.build) for host, item in _build_hosts(routes)]
    for environment, host, claimant in sorted(wanted, key=lambda claim: _right(claim[0])):
        yield Claim(host, claimant, environment.project)


def _right(environment: Environment) -> tuple[bool, datetime, str]:
    against_the_rule = project_name_fault(environment.project) is not None
    return (against_the_rule, environment.created_at, environment.id)


def _holders(routes: Routes) -> Mapping[str, str]:
    """Name -> who has it."""
    holders: dict[str, str] = {}
    for claim in _claims(routes):
        if routes.host_names.can_answer(claim.host):
            holders.setdefault(claim.host, claim.claimant)
    return holders


def _environment_sites(routes: Routes, holders: Mapping[str, str]) -> Iterable[Site]:
    live = {item.environment.id: item for item in routes.routed if _is_live(item)}
    granted = _granted(routes)
    for environment in routes.environments:
        item = live.get(environment.id)
        host = routes.host_names.environment_host(environment)
        own = (host,) if holders.get(host) == environment.id else ()
        if item is None and own:
            yield Site(
                hosts=own,
                backend=None,
                title=environment.project,
                noindex=environment.name != PRODUCTION,
                closed=routes.closed.get(environment.id),
            )
        elif item is not None and (names := (*own, *granted[environment.id])):
            site = _site(item, names, noindex=environment.name != PRODUCTION)
            yield replace(
                site,
                pins=_pins(item, routes),
                closed=routes.closed.get(environment.id),
                assets=_assets(of_scope(environment.id), routes.assets.prefixes(environment.id)),
                **_shares(item, routes),
            )


def _assets(whose: str, prefixes: tuple[str, ...]) -> Assets | None:
    return Assets(whose, prefixes) if prefixes else None


def _pins(live: Routed, routes: Routes) -> tuple[Pin, ...]:
    """Pages of every build that still runs here get their own release; of two releases of one build the live one.

    Where the two of a rollout are of one build, its pages may be of either: their visitors' cookies tell which.
    """
    running = [
        item
        for item in _addressable(routes.routed)
        if item.environment.id == live.environment.id and item.release.build in routes.deployments
    ]
    deployments = {item.release.id: routes.deployments[item.release.build] for item in running}
    oldest_first = sorted(running, key=lambda item: (_is_live(item), item.release.created_at))
    pins = {deployments[item.release.id]: item.release for item in oldest_first}
    rollout = routes.rollouts.get(live.environment.id)
    if rollout is not None and live.release.id in deployments:
        of_current = deployments[live.release.id]
        if deployments.get(rollout.candidate) == of_current:
            del pins[of_current]
    return tuple(
        Pin(
            deployment,
            release.id,
            of_build(release.build) if release.build in routes.assets.builds else "",
        )
        for deployment, release in sorted(pins.items())
    )


def _shares(live: Routed, routes: Routes) -> _Shares:
    rollout = routes.rollouts.get(live.environment.id)
    stage = rollout.present if rollout is not None else None
    has_instances = {item.release.id for item in routes.routed if item.instances}
    if rollout is None or stage is None or rollout.candidate not in has_instances:
        return {}
    if stage.kind is StageKind.MIRROR:
        return {"mirror": rollout.candidate}
    canary = Canary(
        name=rollout.id,
        candidate=rollout.candidate,
        percent=stage.percent,
        key=rollout.cookie_key.encode(),
        buckets=buckets_of(rollout.stages),
        rules=_rules_of_candidate(rollout.candidate, live, routes),
    )
    return {"canary": canary}


def _rules_of_candidate(candidate: str, live: Routed, routes: Routes) -> Rules | None:
    """`None` where they are those of the live release: finding each visitor's side first has a cost."""
    for item in routes.routed:
        if item.release.id == candidate and item.manifest.routes != live.manifest.routes:
            return _rules(item)
    return None


def _release_sites(routes: Routes, holders: Mapping[str, str]) -> Iterable[Site]:
    for item in _addressable(routes.routed):
        host = routes.host_names.release_host(item.environment.project, item.release.id)
        if holders.get(host) == item.release.id:
            yield _release_site(item, host, routes)
    for host, item in _build_hosts(routes):
        if holders.get(host) == item.release.build:
            yield _release_site(item, host, routes)


def _release_site(item: Routed, host: str, routes: Routes) -> Site:
    build = item.release.build
    assets = _assets(of_build(build), routes.assets.builds.get(build, ()))
    # Whoever asks a release at its own address wants to know what that release says: nothing of it is kept, and it is no
    # visitor, whose requests are compared.
    return replace(_site(item, (host,), noindex=True), assets=assets, cached=(), apart=True)


def _build_hosts(routes: Routes) -> Iterable[tuple[str, Routed]]:
    best: dict[str, Routed] = {}
    for item in sorted(_addressable(routes.routed), key=_preference):
        host = routes.host_names.build_host(item.environment.project, item.release.build)
        best[host] = item  # the most preferred comes last
    return best.items()


def _preference(item: Routed) -> tuple[bool, str]:
    return (item.environment.name == PRODUCTION, item.release.created_at.isoformat())


def _addressable(routed: Iterable[Routed]) -> tuple[Routed, ...]:
    return tuple(
        item for item in routed if item.release.state is ReleaseState.RUNNING and item.instances
    )


def _is_live(item: Routed) -> bool:
    return item.environment.live_release == item.release.id


def _granted(routes: Routes) -> Mapping[str, tuple[str, ...]]:
    """Environment -> its custom domains.

    A deploy is refused a domain that it cannot have; here two that slipped through at the same moment must not stop
    the edge for everybody, so the older environment keeps it.
    """
    live = [item for item in routes.routed if _is_live(item)]
    taken: set[str] = set()
    granted: dict[str, tuple[str, ...]] = {}
    for item in sorted(live, key=lambda item: (item.environment.created_at, item.environment.id)):
        names = tuple(
            name
            for name in dict.fromkeys(item.manifest.domains)
            if name not in taken and not routes.host_names.is_own(name)
        )
        taken.update(names)
        granted[item.environment.id] = names
    return granted


def _rules(item: Routed) -> Rules:
    routes = item.manifest.routes
    timeouts = routes.timeouts
    return Rules(
        redirects=tuple(
            Redirect(r.source, r.destination, r.status, r.host or "") for r in routes.redirects
        ),
        rewrites=tuple(Rewrite(r.source, r.destination, r.host or "") for r in routes.rewrites),
        headers=tuple(HeaderRule(r.source, tuple(r.headers.items())) for r in routes.headers),
        cached=routes.cache,
        timeouts=Timeouts(timeouts.response_s, timeouts.idle_s),
        path_timeouts=tuple(
            PathTimeouts(rule.source, Timeouts(*rule.within(timeouts))) for rule in timeouts.paths
        ),
    )


def _limits(item: Routed) -> Iterable[Limit]:
    for limit in item.manifest.routes.limits:
        per, name = limit.key
        yield Limit(
            limit.source, limit.requests, limit.period_s, limit.at_once, per, name, limit.status
        )


def _site(item: Routed, names: tuple[str, ...], *, noindex: bool) -> Site:
    rules = _rules(item)
    return Site(
        hosts=names,
        backend=item.release.id if item.instances else None,
        release=item.release.id,
        redirects=rules.redirects,
        rewrites=rules.rewrites,
        headers=rules.headers,
        cached=rules.cached,
        timeouts=rules.timeouts,
        path_timeouts=rules.path_timeouts,
        limits=tuple(_limits(item)),
        title=item.environment.project,
        noindex=noindex,
    )


def _backends(routes: Routes) -> Iterable[Backend]:
    """One for each release that has instances, also while they end: their streams still run through it."""
    for item in routes.routed:
        if not item.instances:
            continue
        web = item.manifest.web
        yield Backend(
            name=item.release.id,
            endpoints=tuple(
                Endpoint(port=instance.port)
                for instance in sorted(item.instances, key=lambda instance: instance.slot)
                if instance.port is not None
            ),
            health_path=web.health.path if web is not None else "",
            health_host=health_host(routes.host_names, item.environment, item.manifest),
        )
