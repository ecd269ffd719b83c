"""A machine of glass: what runs, is kept and is served on it, on a clock that a test moves.

All engines of a test share one, so that what the edge calls healthy is what the runtime runs. A control plane that dies
takes nothing of it along. Faults are drawn from the seed: a call may do its effect and then lose its reply, or refuse
before it does anything.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gantry.engines.builders.protocol import Artifact, BuildOutcome, BuildRequest
from gantry.engines.certificates.protocol import Issued
from gantry.engines.edge.protocol import (
    BackendNumbers,
    EdgeConfig,
    Endpoint,
    FailedRequest,
    LoggedRequest,
)
from gantry.engines.postgres.protocol import DatabaseGrant, Loan
from gantry.engines.probes.protocol import ProbeResult
from gantry.engines.redis.protocol import CacheGrant
from gantry.engines.runtime.protocol import Listener, ProcessSpec, ProcessState, ProcessStatus
from gantry.engines.sources.protocol import Snapshot
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import TransientError
from gantry.kernel.redact import Redactor
from tests.fakes.programs import SIGKILL, Program, Script

HEALTH_PATH = "/health"
# Processes of the platform itself.
EDGE, ASSETS, POSTGRES, REDIS = "edge-1", "assets", "postgres-data", "redis-"
_RESIDENT_BYTES = 50_000_000
_SEGMENTATION_FAULT = 139


@dataclass(slots=True)
class Faults:
    """How often things go wrong, and what does.

    Attributes:
        lose_reply: chance that a call does its effect, and its caller gets a `TransientError`.
        refuse: chance that a call does nothing, and its caller gets a `TransientError`.
        refuse_edge: the edge takes no configuration.
        unreached: the host at which the public port answers visitors, but not Gantry.
        assets_full: there is no room for another build in the asset store.
        no_redis: the machine has no program for caches.
        no_vector: its Postgres does not let a product create the extension `vector`.
    """

    lose_reply: float = 0.0
    refuse: float = 0.0
    refuse_edge: bool = False
    unreached: str = ""
    assets_full: bool = False
    no_redis: bool = False
    no_vector: bool = False


@dataclass(slots=True)
class Process:
    """A process that was started and not yet removed.

    Attributes:
        ends_s: when it ends or has ended, on the machine's monotonic clock; `None`: nobody knows yet.
        ended_by: `exit`, `signal`, `memory`, `timeout`, `crash` or `reboot`.
        comes_back: its shim runs it again when somebody else killed it.
        log_base: offset of the log's first byte that is still there.
        log_marks: when the log had grown how far.
    """

    spec: ProcessSpec
    script: Script
    started_at: datetime
    started_s: float
    pid: int
    ends_s: float | None = None
    exit_code: int = 0
    ended_by: str = ""
    comes_back: bool = False
    restarts: int = 0
    memory_bytes: int = _RESIDENT_BYTES
    log: bytearray = field(default_factory=bytearray)
    log_base: int = 0
    log_marks: list[tuple[datetime, int]] = field(default_factory=list)

    def runs(self, now_s: float) -> bool:
        """Whether it has not ended."""
        return self.ends_s is None or now_s < self.ends_s

    def end(self, at_s: float, exit_code: int, ended_by: str) -> None:
        """It will have ended at that moment, unless it has by then."""
        if self.ends_s is None or at_s < self.ends_s:
            self.ends_s, self.exit_code, self.ended_by = at_s, exit_code, ended_by
            self.comes_back = False

    def status(self, now_s: float) -> ProcessStatus:
        """What a runtime says of it."""
        name, started_at = self.spec.id, self.started_at
        if self.ends_s is None or now_s < self.ends_s:
            return ProcessStatus(
                id=name,
                state=ProcessState.RUNNING,
                pid=self.pid,
                started_at=started_at,
                memory_limit_bytes=self.spec.limits.memory_bytes,
                terminate_s=self.spec.terminate_s,
                memory_bytes=self.memory_bytes,
                restarts=self.restarts,
                labels=self.spec.labels,
            )
        if self.ended_by == "reboot":
            return ProcessStatus(name, ProcessState.LOST, None, started_at, labels=self.spec.labels)
        return ProcessStatus(
            id=name,
            state=ProcessState.EXITED,
            pid=None,
            started_at=started_at,
            ended_at=started_at + timedelta(seconds=self.ends_s - self.started_s),
            exit_code=self.exit_code,
            out_of_memory=self.ended_by == "memory",
            timed_out=self.ended_by == "timeout" and self.exit_code != 0,
            told_to_end=self.ended_by == "signal",
            memory_limit_bytes=self.spec.limits.memory_bytes,
            labels=self.spec.labels,
        )


@dataclass(slots=True)
class Task:
    """A build or a test that the workshop has prepared.

    Attributes:
        process: what runs it, once it was started; known also when the runtime has forgotten it.
        outcome: what it wrote when it ended.
    """

    request: BuildRequest
    process: Process | None = None
    outcome: BuildOutcome | None = None


@dataclass(slots=True)
class Machine:
    """The state that all engines share.

    Parameters:
        chance: decides when programs crash and calls fail.
        scripts: what a process does, where it is not a program of one of `programs`.

    Attributes:
        free_share: the free part of the disk, 0 to 1.
        programs: source digest -> how it behaves.
        built_from: artifact digest -> source digest, also of artifacts that were deleted.
        build_caches: project -> bytes that are kept for its next builds.
        built_without_cache: builds that began without them.
        tested: keys of build requests whose tests have passed.
        altered: digests of artifacts that are not what was built; whoever reads one next finds out.
        spawned: ids of processes, in the order of their starts.
        sockets: unix socket -> id of the process that listens there.
        counted: backend -> what the edge counted of it.
        limited: release -> number of a limit -> requests that it refused.
        failed: backends and requests that their instances failed, oldest first.
        requests: what the edge has logged, oldest first.
        changed: set when it is known anew when a process ends.
    """

    clock: ManualClock
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    scripts: Callable[[ProcessSpec], Script] | None = None
    faults: Faults = field(default_factory=Faults)
    free_share: float = 0.5
    programs: dict[str, Program] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    built_from: dict[str, str] = field(default_factory=dict)
    build_caches: dict[str, int] = field(default_factory=dict)
    built_without_cache: list[str] = field(default_factory=list)
    tested: set[str] = field(default_factory=set)
    altered: set[str] = field(default_factory=set)
    processes: dict[str, Process] = field(default_factory=dict)
    spawned: list[str] = field(default_factory=list)
    sockets: dict[str, str] = field(default_factory=dict)
    edge_config: EdgeConfig = field(default_factory=EdgeConfig)
    edge_configs: list[EdgeConfig] = field(default_factory=list)
    edge_applied: str = ""
    edge_rejected: str = ""
    counted: dict[str, BackendNumbers] = field(default_factory=dict)
    limited: dict[str, dict[int, int]] = field(default_factory=dict)
    active_requests: dict[str, int] = field(default_factory=dict)
    failed: list[tuple[str, FailedRequest]] = field(default_factory=list)
    requests: list[LoggedRequest] = field(default_factory=list)
    published: set[str] = field(default_factory=set)
    scopes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    databases: dict[str, DatabaseGrant] = field(default_factory=dict)
    loans: dict[str, Loan] = field(default_factory=dict)
    caches: dict[str, CacheGrant] = field(default_factory=dict)
    redis_ports: dict[str, int] = field(default_factory=dict)
    issued: list[Issued] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _ports: dict[int, str] = field(default_factory=dict)
    _last_pid: int = 1000

    # -- faults --------------------------------------------------------------------------------

    def may_refuse(self, code: str, call: str) -> None:
        """Raise before the effect of a call, as the seed has it."""
        if self.chance.random() < self.faults.refuse:
            raise TransientError(code, f"{call} was refused")

    def may_lose_reply(self, code: str, call: str) -> None:
        """Raise after the effect of a call, as the seed has it."""
        if self.chance.random() < self.faults.lose_reply:
            raise TransientError(code, f"the reply of {call} was lost")

    # -- time, and what happens by itself ------------------------------------------------------

    @property
    def now_s(self) -> float:
        """The monotonic clock."""
        return self.clock.monotonic_s()

    def pass_time(self, seconds: float) -> None:
        """Let time pass; processes whose time has come end."""
        self.clock.advance(seconds)

    def kill(self, process_id: str, *, exit_code: int = SIGKILL) -> None:
        """Somebody else ends a process: a SIGKILL, or a fault of its own."""
        process, now_s = self.processes[process_id], self.now_s
        if not process.runs(now_s):
            return
        if process.comes_back and now_s - process.started_s >= 1:
            process.pid, process.started_s = self._next_pid(), now_s
            process.restarts += 1
        else:
            self.end(process, now_s, exit_code, "crash")

    def crash(self, process_id: str) -> None:
        """A process has a segmentation fault."""
        self.kill(process_id, exit_code=_SEGMENTATION_FAULT)

    def finish(self, process_id: str) -> None:
        """A process ends well."""
        self.end(self.processes[process_id], self.now_s, 0, "exit")

    def reboot(self) -> None:
        """Everything that ran is gone without an exit status."""
        for process in self.processes.values():
            if process.runs(self.now_s):
                self.end(process, self.now_s, 0, "reboot")

    # -- what can be seen from outside ---------------------------------------------------------

    def running_instances(self) -> list[str]:
        """Ids of the web instances that run."""
        return [
            process_id
            for process_id, process in self.processes.items()
            if "PORT" in process.spec.env and process.runs(self.now_s)
        ]

    @property
    def builds_run(self) -> int:
        """How many builds were started."""
        return sum(process_id.startswith("build-") for process_id in self.spawned)

    def is_running(self, process_id: str) -> bool:
        """Whether a process runs."""
        process = self.processes.get(process_id)
        return process is not None and process.runs(self.now_s)

    def listens(self, process_id: str) -> bool:
        """Whether a program answers on its port."""
        if not self.is_running(process_id):
            return False
        process = self.processes[process_id]
        after_s = self.script_of(process.spec).listens_after_s
        return after_s is not None and self.now_s - process.started_s >= after_s

    def listeners(self, process_id: str) -> tuple[Listener, ...]:
        """Where a program waits for connections."""
        if not self.is_running(process_id):
            return ()
        process = self.processes[process_id]
        elsewhere = self.script_of(process.spec).listens_at
        if elsewhere or not self.listens(process_id) or "PORT" not in process.spec.env:
            return elsewhere
        return (Listener("127.0.0.1", int(process.spec.env["PORT"])),)

    def answer(self, port: int, path: str) -> int:
        """Status that the process on `port` answers with; 0 when nobody does."""
        process_id = self._ports.get(port, "")
        if not self.listens(process_id):
            return 0
        process = self.processes[process_id]
        fails_after_s = self.script_of(process.spec).fails_after_s
        fails = fails_after_s is not None and self.now_s - process.started_s > fails_after_s
        return 500 if fails and path != HEALTH_PATH else 200

    def is_well(self, endpoint: Endpoint, path: str) -> bool:
        """Whether the edge gets a good answer from an endpoint."""
        if endpoint.socket:
            return self.is_running(self.sockets.get(endpoint.socket, ""))
        return self.answer(endpoint.port, path) == 200

    def visit(self, host: str, path: str = "/", *, address: str = "127.0.0.1") -> tuple[int, str]:
        """What a visitor of `host` from `address` gets: status and release; 0 when the edge does not run."""
        if not self.is_running(EDGE):
            return 0, ""
        site = next((site for site in self.edge_config.sites if host in site.hosts), None)
        if site is None:
            return 404, ""
        if site.closed is not None and not site.closed.lets_in(address):
            return 503, site.release
        backends = (item for item in self.edge_config.backends if item.name == site.backend)
        for backend in backends:
            for endpoint in backend.endpoints:
                if status := self.answer(endpoint.port, path):
                    return status, backend.name
        return 503, ""

    def probe(self, url: str, host: str) -> ProbeResult:
        """What comes back for a GET: from an instance itself over `http`, from the edge's site of `host` otherwise."""
        scheme, _, rest = url.partition("://")
        address, _, path = rest.partition("/")
        if scheme == "http":
            status = self.answer(int(address.partition(":")[2]), f"/{path}")
            return ProbeResult(status, 0.001, "" if status else "connection refused")
        status, release = self.visit(host, f"/{path}")
        if status == 0 or host == self.faults.unreached:
            return ProbeResult(0, 0.001, "connection refused")
        headers = {"x-gantry-release": release} if release else {}
        return ProbeResult(status, self._takes_s(release, f"/{path}"), headers=headers)

    def _takes_s(self, backend: str, path: str) -> float:
        """How long an answer of a backend takes."""
        times_s = (
            self.script_of(self.processes[self._ports[endpoint.port]].spec).home_s
            for found in self.edge_config.backends
            if found.name == backend and path == "/"
            for endpoint in found.endpoints
            if self._ports.get(endpoint.port) in self.processes
        )
        return max(times_s, default=0.001)

    # -- processes -----------------------------------------------------------------------------

    def script_of(self, spec: ProcessSpec) -> Script:
        """What a process does now: programs may be changed while they run."""
        if self.scripts is not None:
            return self.scripts(spec)
        return self.programs.get(self._source_of(spec), Program()).script(
            spec.id, has_port="PORT" in spec.env
        )

    def serve(self, process_id: str) -> None:
        """Make sure that a part of the platform runs."""
        if not self.is_running(process_id):
            self.spawn(ProcessSpec(process_id, (process_id,), {}, "/"), Script())

    def spawn(self, spec: ProcessSpec, script: Script | None = None) -> Process:
        """Begin a process; the log of an earlier one of that id is continued."""
        before = self.processes.get(spec.id)
        script = script or self.script_of(spec)
        process = Process(spec, script, self.clock.now(), self.now_s, self._next_pid())
        if before is not None:
            process.log, process.log_base = before.log, before.log_base
            process.log_marks = before.log_marks
        self._plan_end(process)
        self.processes[spec.id] = process
        self.spawned.append(spec.id)
        if spec.id in self.tasks:
            self.tasks[spec.id] = Task(self.tasks[spec.id].request, process)
        if "PORT" in spec.env:
            self._ports[int(spec.env["PORT"])] = spec.id
        self.say(spec.id, process.script.output)
        self.changed.set()
        return process

    def stop(self, process_id: str) -> None:
        """A part of the platform ends as it was told to."""
        if self.is_running(process_id):
            self.end(self.processes[process_id], self.now_s, 0, "signal")

    def end(self, process: Process, at_s: float, exit_code: int, ended_by: str) -> None:
        """Let a process end at that moment, unless it has by then."""
        process.end(at_s, exit_code, ended_by)
        self.changed.set()

    def say(self, process_id: str, text: str) -> None:
        """Let a program write to its log."""
        process = self.processes[process_id]
        process.log += Redactor(process.spec.redact)(text).encode()

    def _next_pid(self) -> int:
        self._last_pid += 1
        return self._last_pid

    def _source_of(self, spec: ProcessSpec) -> str:
        """Digest of the source that a process comes from: of the task, or of the artifact that it sees as its own."""
        if spec.id in self.tasks:
            return self.tasks[spec.id].request.source_digest
        if spec.sandbox is None or not spec.sandbox.mounts:
            return ""
        return self.built_from.get(spec.sandbox.mounts[0].source.parent.name, "")

    def _plan_end(self, process: Process) -> None:
        script, spec = process.script, process.spec
        if script.exits_after_s is not None:
            reason = "memory" if script.out_of_memory else "exit"
            code = SIGKILL if script.out_of_memory else script.exit_code
            process.end(process.started_s + script.exits_after_s, code, reason)
        if script.dies_per_hour:
            after_s = self.chance.expovariate(script.dies_per_hour / 3600)
            process.end(process.started_s + after_s, _SEGMENTATION_FAULT, "crash")
        if spec.timeout_s is not None and script.ends_in_time:
            ends_s, code = script.stops_after_s, script.stop_exit_code
            if ends_s is None or ends_s >= spec.terminate_s:
                ends_s, code = spec.terminate_s, SIGKILL
            process.end(process.started_s + spec.timeout_s + ends_s, code, "timeout")
