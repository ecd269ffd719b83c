"""A machine of glass: every engine of the platform, in memory, on a clock that is moved by hand.

All engines share one state, so that what the edge calls healthy is what the runtime runs. Faults are drawn from
the seed: a call may do its effect and then lose its reply, or refuse before it does anything.
"""

import base64
import hashlib
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from gantry.engines.assets.fake import FakeAssets
from gantry.engines.builders.protocol import (
    Artifact,
    BuildOutcome,
    BuildRequest,
    Detection,
    Workshop,
)
from gantry.engines.certificates.protocol import Authority, Issued, PublishChallenges
from gantry.engines.edge.checks import check
from gantry.engines.edge.protocol import (
    BackendNumbers,
    BackendStatus,
    Edge,
    EdgeConfig,
    EdgeStatus,
    FailedRequest,
)
from gantry.engines.postgres.protocol import DatabaseGrant, DatabaseServer, DatabaseStatus
from gantry.engines.probes.protocol import Prober, ProbeResult
from gantry.engines.redis.protocol import CacheGrant, CacheServers
from gantry.engines.runtime.protocol import (
    LogChunk,
    ProcessSpec,
    ProcessState,
    ProcessStatus,
    Runtime,
)
from gantry.engines.secrets.protocol import SecretBox
from gantry.engines.sources.protocol import Snapshot, SourceStore
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import IntegrityError, PermanentError, TransientError

SIGKILL, SIGTERM = 137, 143
SLOW_S = 6.0


@dataclass(frozen=True, slots=True)
class Program:
    """How a source behaves.

    Attributes:
        build, test, migrate: `ok`, `fail`, `hang`, or for the build `oom`.
        web: `ok`, `never-healthy`, `crash`, `wrong` (answers, but smoke paths fail), `sours` (wrong after half a minute),
            `slow-home` (its home page takes `SLOW_S`).
    """

    build: str = "ok"
    test: str = "ok"
    migrate: str = "ok"
    web: str = "ok"
    manifest: str = ""
    env_example: str = ""


@dataclass(slots=True)
class Running:
    """A process of the machine."""

    spec: ProcessSpec
    status: ProcessStatus
    ends_at_s: float | None = None
    exit_code: int = 0
    told_to_end: bool = False


@dataclass(slots=True)
class Faults:
    """How often things go wrong, per call.

    Attributes:
        refuse_edge: the edge takes no configuration.
        unreached: the host at which the public port answers visitors, but not Gantry.
    """

    lose_reply: float = 0.0
    refuse: float = 0.0
    refuse_edge: bool = False
    unreached: str = ""


@dataclass(slots=True)
class Machine:
    """The state that all engines share."""

    clock: ManualClock
    chance: random.Random
    faults: Faults = field(default_factory=Faults)
    counted: dict[str, BackendNumbers] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    processes: dict[str, Running] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    programs_of: dict[str, Program] = field(default_factory=dict)
    outcomes: dict[str, BuildOutcome] = field(default_factory=dict)
    by_key: dict[str, str] = field(default_factory=dict)
    assets: FakeAssets = field(default_factory=FakeAssets)
    failed: list[tuple[str, FailedRequest]] = field(default_factory=list)
    edge_config: EdgeConfig = field(default_factory=EdgeConfig)
    edge_configs: list[EdgeConfig] = field(default_factory=list)
    edge_runs: bool = False
    databases: dict[str, str] = field(default_factory=dict)
    builds_run: int = 0
    spawned: list[str] = field(default_factory=list)

    # -- what happens by itself --------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        """Let time pass; processes whose time has come end."""
        self.clock.advance(seconds)
        for process in self.processes.values():
            if process.ends_at_s is not None and self.clock.monotonic_s() >= process.ends_at_s:
                self._end(process, process.exit_code)

    def kill(self, process_id: str) -> None:
        """Somebody's SIGKILL."""
        self._end(self.processes[process_id], SIGKILL)

    def finish(self, process_id: str) -> None:
        """A process ends well."""
        self._end(self.processes[process_id], 0)

    def reboot(self) -> None:
        """Everything that ran is gone without an exit status."""
        self.edge_runs = False
        for process in self.processes.values():
            if process.status.state is ProcessState.RUNNING:
                process.status = replace(process.status, state=ProcessState.LOST, pid=None)
                process.ends_at_s = None

    def running_instances(self) -> list[str]:
        """Ids of the web instances that run."""
        return [
            key
            for key, process in self.processes.items()
            if process.status.state is ProcessState.RUNNING and "PORT" in process.spec.env
        ]

    def visit(self, host: str, address: str = "127.0.0.1") -> tuple[int, str]:
        """What a visitor of `host` from `address` gets: status and the release that answered."""
        if not self.edge_runs:
            return 0, ""
        site = next((site for site in self.edge_config.sites if host in site.hosts), None)
        if site is not None and site.closed is not None and not site.closed.lets_in(address):
            return 503, site.release
        if site is None or site.backend is None:
            return 503, ""
        backend = next(one for one in self.edge_config.backends if one.name == site.backend)
        for endpoint in backend.endpoints:
            status = self.answer(endpoint.port, "/")
            if status:
                return status, backend.name
        return 503, ""

    def answer(self, port: int, path: str) -> int:
        """What the process on `port` answers; 0 when nobody does."""
        for process in self.processes.values():
            if process.spec.env.get("PORT") != str(port):
                continue
            if process.status.state is not ProcessState.RUNNING:
                continue
            up_s = (self.clock.now() - process.status.started_at).total_seconds()
            web = self._program(process.spec).web
            if up_s < 0.5 or web in ("never-healthy", "crash"):
                return 0
            wrong = web == "wrong" or (web == "sours" and up_s > 30)
            return 500 if wrong and path != "/health" else 200
        return 0

    def takes_s(self, backend: str, path: str) -> float:
        """How long an answer of a backend takes."""
        slow = any(
            self._program(process.spec).web == "slow-home"
            for found in self.edge_config.backends
            if found.name == backend
            for endpoint in found.endpoints
            for process in self.processes.values()
            if process.spec.env.get("PORT") == str(endpoint.port)
        )
        return SLOW_S if slow and path == "/" else 0.001

    def maybe_refuse(self, what: str) -> None:
        """Raise before the effect, as the seed has it."""
        if self.chance.random() < self.faults.refuse:
            raise TransientError("sim.refused", f"{what} was refused")

    def maybe_lose(self, what: str) -> None:
        """Raise after the effect, as the seed has it."""
        if self.chance.random() < self.faults.lose_reply:
            raise TransientError("sim.reply-lost", f"the reply of {what} was lost")

    # -- helpers ------------------------------------------------------------------------------

    def spawn(self, spec: ProcessSpec) -> ProcessStatus:
        """Begin a process."""
        status = ProcessStatus(spec.id, ProcessState.RUNNING, 4242, self.clock.now())
        process = Running(spec, status)
        self.processes[spec.id] = process
        self.spawned.append(spec.id)
        kind = spec.id.split("-")[0]
        program = self._program(spec)
        now_s = self.clock.monotonic_s()
        if kind in ("build", "test", "migrate"):
            how = getattr(program, kind)
            process.ends_at_s = None if how == "hang" else now_s + 2.0
            process.exit_code = {"ok": 0, "oom": SIGKILL}.get(how, 1)
        elif program.web == "crash":
            process.ends_at_s, process.exit_code = now_s + 0.2, 1
        return status

    def _program(self, spec: ProcessSpec) -> Program:
        return self.programs_of.get(spec.labels.get("source", ""), Program())

    def _end(self, process: Running, code: int) -> None:
        if process.status.state is not ProcessState.RUNNING:
            return
        process.ends_at_s = None
        kind = process.spec.id.split("-")[0]
        process.status = replace(
            process.status,
            state=ProcessState.EXITED,
            pid=None,
            exit_code=code,
            ended_at=self.clock.now(),
            out_of_memory=kind == "build" and self._program(process.spec).build == "oom",
        )
        if kind in ("build", "test") and code != SIGKILL:
            self._write_outcome(process, kind, code)

    def _write_outcome(self, process: Running, kind: str, code: int) -> None:
        if code != 0:
            failed = f"{kind}.command-failed" if kind == "build" else "test.failed"
            outcome = BuildOutcome(code=failed, message=f"the {kind} failed")
        elif kind == "test":
            outcome = BuildOutcome(phases={"test": 2.0})
        else:
            source = process.spec.labels["source"]
            digest = hashlib.sha256(f"artifact of {source}".encode()).hexdigest()
            artifact = Artifact(
                digest,
                Path("/sim") / digest,
                "node",
                ("node",),
                env={"SOURCE": source},
                assets={"/_next/static": "static"},
            )
            self.artifacts[digest] = artifact
            self.by_key[process.spec.labels["key"]] = digest
            self.builds_run += 1
            outcome = BuildOutcome(artifact=artifact, phases={"build": 2.0})
        self.outcomes[process.spec.id] = outcome


@dataclass(slots=True)
class SimRuntime:
    machine: Machine

    async def start(self, spec: ProcessSpec) -> ProcessStatus:
        self.machine.maybe_refuse("start")
        source = spec.env.get("SOURCE", spec.labels.get("source", ""))
        spec = replace(spec, labels={**spec.labels, "source": source})
        known = self.machine.processes.get(spec.id)
        if known is None or known.status.state is not ProcessState.RUNNING:
            self.machine.spawn(spec)
        self.machine.maybe_lose("start")
        return self.machine.processes[spec.id].status

    async def restart_when_killed(self, process_id: str, *, wanted: bool) -> None:
        assert not wanted, "instances are the reconciler's to start again"

    async def signal(self, process_id: str, *, kill: bool = False) -> None:
        process = self.machine.processes.get(process_id)
        if process is None:
            return
        if kill:
            self.machine.kill(process_id)
        elif not process.told_to_end:
            process.told_to_end = True
            process.ends_at_s = self.machine.clock.monotonic_s() + 0.1
            process.exit_code = SIGTERM
        self.machine.maybe_lose("signal")

    async def statuses(self) -> Mapping[str, ProcessStatus]:
        return {key: process.status for key, process in self.machine.processes.items()}

    async def remove(self, process_id: str) -> None:
        self.machine.processes.pop(process_id, None)

    async def read_log(
        self, process_id: str, *, offset: int = 0, limit_bytes: int = 65_536
    ) -> LogChunk:
        return LogChunk("the last words\n", 15)

    async def rotate_logs(self, *, keep_bytes: int) -> None:
        return None

    async def wait_for_exit(self, timeout_s: float) -> None:
        return None


@dataclass(slots=True)
class SimEdge:
    machine: Machine

    async def start(self) -> None:
        self.machine.edge_runs = True

    async def apply(self, config: EdgeConfig) -> str:
        self.machine.maybe_refuse("apply")
        if self.machine.faults.refuse_edge:
            raise PermanentError("edge.rejected", "it does not like them")
        check(config)
        self.machine.edge_config = config
        self.machine.edge_configs.append(config)
        self.machine.maybe_lose("apply")
        return self.digest(config)

    async def failures(self, backend: str, *, most: int) -> tuple[FailedRequest, ...]:
        return tuple(one for name, one in self.machine.failed if name == backend)[-most:]

    async def numbers(self) -> Mapping[str, BackendNumbers]:
        names = (backend.name for backend in self.machine.edge_config.backends)
        return {name: self.machine.counted.get(name, BackendNumbers()) for name in names}

    async def status(self) -> EdgeStatus:
        if not self.machine.edge_runs:
            return EdgeStatus(running=False)
        config = self.machine.edge_config
        return EdgeStatus(
            running=True,
            applied=self.digest(config),
            backends={
                backend.name: BackendStatus(
                    total=len(backend.endpoints),
                    healthy=sum(
                        self.machine.answer(endpoint.port, backend.health_path) == 200
                        for endpoint in backend.endpoints
                    ),
                    active_requests=0,
                )
                for backend in config.backends
            },
        )

    async def stop(self) -> None:
        self.machine.edge_runs = False

    def digest(self, config: EdgeConfig) -> str:
        return hashlib.sha256(repr(config).encode()).hexdigest()


@dataclass(slots=True)
class SimProber:
    machine: Machine

    async def get(
        self,
        url: str,
        *,
        host: str = "",
        timeout_s: float = 5.0,
        headers: Mapping[str, str] | None = None,
    ) -> ProbeResult:
        path = "/" + url.split("/", 3)[3] if url.count("/") > 2 else "/"
        if url.startswith("http://"):
            port = int(url.removeprefix("http://127.0.0.1:").partition("/")[0])
            status = self.machine.answer(port, path)
            return ProbeResult(status, 0.001, "" if status else "connection refused")
        if host == self.machine.faults.unreached:
            return ProbeResult(0, timeout_s, "refused")
        status, release = self.machine.visit(host)
        if self.machine.takes_s(release, path) > timeout_s:
            return ProbeResult(0, timeout_s, f"no answer within {timeout_s:g} s")
        if status == 200:
            backend = next(b for b in self.machine.edge_config.backends if b.name == release)
            answers = [self.machine.answer(one.port, path) for one in backend.endpoints]
            status = next(answer for answer in answers if answer)
        headers = {"x-gantry-release": release} if release else {}
        return ProbeResult(status, 0.001, "" if status else "refused", headers)


@dataclass(slots=True)
class SimWorkshop:
    machine: Machine

    def detect(self, root: Path) -> Detection:
        return Detection("node", ("a simulation",))

    def key(self, request: BuildRequest) -> str:
        return f"{request.project}:{request.source_digest}:{sorted(request.env.items())}"

    async def find(self, request: BuildRequest) -> Artifact | None:
        digest = self.machine.by_key.get(self.key(request))
        return self.machine.artifacts.get(digest) if digest else None

    async def build_task(self, request: BuildRequest) -> ProcessSpec:
        self.machine.maybe_refuse("build_task")
        return self._task("build", request)

    async def test_task(self, request: BuildRequest) -> ProcessSpec:
        return self._task("test", request)

    def _task(self, kind: str, request: BuildRequest) -> ProcessSpec:
        labels = {"source": request.source_digest, "key": self.key(request)}
        return ProcessSpec(f"{kind}-{request.id}", (kind,), {}, "/", labels=labels)

    async def outcome(self, task_id: str) -> BuildOutcome | None:
        return self.machine.outcomes.get(task_id)

    async def artifact(self, digest: str) -> Artifact:
        found = self.machine.artifacts.get(digest)
        if found is None:
            raise IntegrityError("artifact.missing", f"no artifact {digest[:12]}")
        return found

    async def list(self) -> Mapping[str, int]:
        return dict.fromkeys(self.machine.artifacts, 1)

    async def folders(self) -> frozenset[str]:
        return frozenset()

    async def discard(self, request_id: str) -> None:
        return None

    async def remove(self, digest: str) -> None:
        self.machine.artifacts.pop(digest, None)


@dataclass(slots=True)
class SimSources:
    machine: Machine

    def put(self, program: Program) -> str:
        """Store a source that behaves like `program`; its digest."""
        digest = hashlib.sha256(repr(program).encode()).hexdigest()
        self.machine.programs[digest] = program
        self.machine.programs_of[digest] = program
        return digest

    async def receive(self, archive: AsyncIterator[bytes], *, digest: str) -> Snapshot:
        raise NotImplementedError("the simulation puts sources directly")

    async def get(self, digest: str) -> Snapshot | None:
        known = digest in self.machine.programs
        return Snapshot(digest, Path("/sim/source"), 1, 1) if known else None

    async def read_file(
        self, digest: str, path: str, *, limit_bytes: int = 1_000_000
    ) -> bytes | None:
        program = self.machine.programs.get(digest)
        if program is None:
            return None
        files = {"gantry.toml": program.manifest, ".env.example": program.env_example}
        return files[path].encode() if files.get(path) else None

    async def list(self) -> Mapping[str, int]:
        return dict.fromkeys(self.machine.programs, 1)

    async def remove(self, digest: str) -> None:
        self.machine.programs.pop(digest, None)


@dataclass(slots=True)
class SimDatabases:
    machine: Machine

    async def start(self) -> None:
        self.machine.maybe_refuse("database start")

    async def revive(self) -> None:
        return None

    async def ensure(self, grant: DatabaseGrant) -> str:
        self.machine.databases[grant.database] = grant.password
        self.machine.maybe_lose("ensure")
        return f"postgresql://{grant.role}:{grant.password}@127.0.0.1/{grant.database}"

    async def drop(self, database: str, role: str) -> None:
        self.machine.databases.pop(database, None)

    async def status(self) -> DatabaseStatus:
        return DatabaseStatus(running=True)

    async def stop(self) -> None:
        return None


class SimCaches:
    async def revive(self) -> None:
        return None

    async def ensure(self, grant: CacheGrant) -> str:
        return f"redis://:{grant.password}@127.0.0.1:1/0"

    async def drop(self, name: str) -> None:
        return None

    async def stop(self) -> None:
        return None


@dataclass(slots=True)
class SimAuthority:
    machine: Machine

    async def issue(self, hosts: tuple[str, ...], publish: PublishChallenges) -> Issued:
        now = self.machine.clock.now()
        return Issued(hosts, f"chain of {hosts}", now, now + timedelta(days=90), key_pem="key")


class SimBox:
    def seal(self, plain: str) -> bytes:
        return base64.b85encode(plain.encode())

    def open(self, sealed: bytes) -> str:
        return base64.b85decode(sealed).decode()


if TYPE_CHECKING:
    _machine = Machine(ManualClock(), random.Random(0))
    _runtime: Runtime = SimRuntime(_machine)
    _edge: Edge = SimEdge(_machine)
    _prober: Prober = SimProber(_machine)
    _workshop: Workshop = SimWorkshop(_machine)
    _sources: SourceStore = SimSources(_machine)
    _databases: DatabaseServer = SimDatabases(_machine)
    _caches: CacheServers = SimCaches()
    _authority: Authority = SimAuthority(_machine)
    _box: SecretBox = SimBox()
