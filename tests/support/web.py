"""What tests of the web room stand on: small engines in memory, and the services made of them."""

import base64
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts

from gantry.config.settings import Settings
from gantry.engines.database.protocol import State
from gantry.engines.edge.protocol import BackendNumbers, Edge, EdgeConfig, EdgeStatus, FailedRequest
from gantry.engines.postgres.protocol import DatabaseGrant, DatabaseServer, DatabaseStatus
from gantry.engines.probes.protocol import Prober, ProbeResult
from gantry.engines.runtime.protocol import (
    LogChunk,
    ProcessSpec,
    ProcessState,
    ProcessStatus,
    Runtime,
)
from gantry.engines.secrets.protocol import SecretBox
from gantry.engines.sources.protocol import Snapshot, SourceStore
from gantry.features.accounts.model import Caller, Role
from gantry.features.accounts.service import AccountService
from gantry.features.deploys.bodies import PlanBody, PlanChange
from gantry.features.deploys.checks import DeployChecks
from gantry.features.deploys.service import DeployService
from gantry.features.instances.model import Health
from gantry.features.platform.bodies import PartBody
from gantry.features.projects.naming import Naming
from gantry.features.projects.service import ProjectService
from gantry.features.removals.service import RemovalService
from gantry.features.rollouts.service import RolloutService
from gantry.features.routes.purging import PurgeService
from gantry.features.variables.service import VariableService
from gantry.kernel.clock import Clock, ManualClock
from gantry.kernel.errors import UserError
from gantry.kernel.ids import SeededIds
from gantry.web.services import Services
from tests.fakes.edge_cache import FakeEdgeCache

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CONSOLE = "https://gantry.localhost:8443"


class MemoryBox:
    """Reversible, and not the plain text: enough to notice a value that was never opened."""

    def seal(self, plain: str) -> bytes:
        return base64.b85encode(plain.encode())

    def open(self, sealed: bytes) -> str:
        return base64.b85decode(sealed).decode()


class MemoryRuntime:
    """Processes that only exist as a status and a log."""

    def __init__(self) -> None:
        self.known: dict[str, ProcessStatus] = {}
        self.logs: dict[str, bytes] = {}

    def put(self, process_id: str, *, memory_bytes: int = 90_000_000, pid: int = 4242) -> None:
        """Make a process seem to run."""
        self.known[process_id] = ProcessStatus(
            process_id, ProcessState.RUNNING, pid, START, memory_bytes=memory_bytes
        )

    def say(self, process_id: str, text: str) -> None:
        """Add to a process's log."""
        self.logs[process_id] = self.logs.get(process_id, b"") + text.encode()

    async def start(self, spec: ProcessSpec) -> ProcessStatus:
        self.put(spec.id)
        return self.known[spec.id]

    async def restart_when_killed(self, process_id: str, *, wanted: bool) -> None:
        """Nothing dies here."""

    async def signal(self, process_id: str, *, kill: bool = False) -> None:
        self.known.pop(process_id, None)

    async def statuses(self) -> Mapping[str, ProcessStatus]:
        return dict(self.known)

    async def remove(self, process_id: str) -> None:
        self.known.pop(process_id, None)
        self.logs.pop(process_id, None)

    async def read_log(
        self, process_id: str, *, offset: int = 0, limit_bytes: int = 65_536
    ) -> LogChunk:
        log = self.logs.get(process_id, b"")
        start = max(0, len(log) + offset) if offset < 0 else offset
        end = log.rfind(b"\n", start, start + limit_bytes) + 1
        if end <= start:
            return LogChunk("", start)
        return LogChunk(log[start:end].decode(), end)

    async def rotate_logs(self, *, keep_bytes: int) -> None:
        return None

    async def wait_for_exit(self, timeout_s: float) -> None:
        return None


class MemoryEdge:
    """An edge that takes everything."""

    def __init__(self) -> None:
        self.seen = EdgeStatus(running=True, applied="d1")

    async def start(self) -> None:
        return None

    async def apply(self, config: EdgeConfig) -> str:
        return self.digest(config)

    async def failures(self, backend: str, *, most: int) -> tuple[FailedRequest, ...]:
        return ()

    async def status(self) -> EdgeStatus:
        return self.seen

    async def numbers(self) -> Mapping[str, BackendNumbers]:
        return {}

    async def stop(self) -> None:
        return None

    def digest(self, config: EdgeConfig) -> str:
        return f"{hash(config.sites):x}"


class MemoryProber:
    """Answers by host."""

    def __init__(self) -> None:
        self.answers: dict[str, ProbeResult] = {}
        self.asked: list[tuple[str, str]] = []

    async def get(
        self,
        url: str,
        *,
        host: str = "",
        timeout_s: float = 5.0,
        headers: Mapping[str, str] | None = None,
    ) -> ProbeResult:
        self.asked.append((url, host))
        return self.answers.get(host, ProbeResult(0, 0.01, error="connection refused"))


class MemorySources:
    """Keeps archives as they come; every snapshot has the same files."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.files = {"gantry.toml": b'[project]\nname = "smart-sign"\n'}

    async def receive(self, archive: AsyncIterator[bytes], *, digest: str) -> Snapshot:
        content = b"".join([chunk async for chunk in archive])
        if content == b"broken":
            raise UserError("source.bad-archive", "this is not a gzip tar")
        self.kept[digest] = content
        return self._snapshot(digest)

    def _snapshot(self, digest: str) -> Snapshot:
        return Snapshot(digest, Path("/nowhere") / digest, 3, len(self.kept[digest]))

    async def get(self, digest: str) -> Snapshot | None:
        return self._snapshot(digest) if digest in self.kept else None

    async def read_file(
        self, digest: str, path: str, *, limit_bytes: int = 1_000_000
    ) -> bytes | None:
        return self.files.get(path) if digest in self.kept else None

    async def list(self) -> Mapping[str, int]:
        return {digest: len(content) for digest, content in self.kept.items()}

    async def remove(self, digest: str) -> None:
        self.kept.pop(digest, None)


class MemoryDatabases:
    """A server without databases."""

    async def start(self) -> None:
        return None

    async def revive(self) -> None:
        return None

    async def ensure(self, grant: DatabaseGrant) -> str:
        return f"postgresql://{grant.role}@localhost/{grant.database}"

    async def drop(self, database: str, role: str) -> None:
        return None

    async def status(self) -> DatabaseStatus:
        return DatabaseStatus(running=True, version="18.6")

    async def stop(self) -> None:
        return None


@dataclass
class House:
    """Everything that a test may look at or move."""

    state: State
    home: Path
    clock: Clock = field(default_factory=lambda: ManualClock(START))
    ids: SeededIds = field(default_factory=SeededIds)
    box: MemoryBox = field(default_factory=MemoryBox)
    runtime: MemoryRuntime = field(default_factory=MemoryRuntime)
    edge: MemoryEdge = field(default_factory=MemoryEdge)
    edge_cache: FakeEdgeCache = field(default_factory=FakeEdgeCache)
    prober: MemoryProber = field(default_factory=MemoryProber)
    sources: MemorySources = field(default_factory=MemorySources)
    health: dict[str, Health] = field(default_factory=dict)
    planned: list[tuple[str, str, str]] = field(default_factory=list)
    woken: int = 0
    shut_down: bool = False
    closing: bool = False
    parts: tuple[PartBody, ...] = (
        PartBody(name="control plane", running=True, memory_bytes=61_000_000),
        PartBody(name="edge", running=True, memory_bytes=48_000_000, detail="Envoy 1.40"),
    )

    def __post_init__(self) -> None:
        self.projects = ProjectService(self.box, self.clock, self.ids)
        self.accounts = AccountService(self.state, self.clock, self.ids)
        self.variables = VariableService(self.state, self.projects, self.box, self.clock)
        self.settings = Settings(home=self.home)
        naming = Naming(self.settings.domain, self.settings.https_port)
        checks = DeployChecks(self.state, self.sources, naming)
        self.deploys = DeployService(
            self.state, self.sources, checks, self.projects, self.clock, self.ids, self._wake
        )
        self.services = Services(
            state=self.state,
            rollouts=RolloutService(self.state, self.clock, self._wake),
            purging=PurgeService(self.state, self.edge_cache, self.clock),
            deploys=self.deploys,
            variables=self.variables,
            accounts=self.accounts,
            sources=self.sources,
            runtime=self.runtime,
            edge=self.edge,
            edge_cache=self.edge_cache,
            prober=self.prober,
            settings=self.settings,
            clock=self.clock,
            wake=self._wake,
            closed_by=(),
            shutdown=self._shutdown,
            parts=self._parts,
            removals=RemovalService(self.state, self.clock, self._wake),
            plan=self._plan,
            closing=lambda: self.closing,
            health=lambda: self.health,
            ids=self.ids,
        )

    def _wake(self) -> None:
        self.woken += 1

    def _shutdown(self) -> None:
        self.shut_down = True

    async def _parts(self) -> tuple[PartBody, ...]:
        return self.parts

    async def _plan(self, project: str, environment: str, digest: str) -> PlanBody:
        self.planned.append((project, environment, digest))
        change = PlanChange(what="build", action="create", name=digest[:12])
        return PlanBody(project=project, environment=environment, changes=(change,))

    async def token(self, role: Role, account: str = "ada") -> str:
        """A new API token."""
        owner = Caller(account, Role.OWNER)
        secret, _ = await self.accounts.api_token(label=f"{role}", role=role, days=1, by=owner)
        return secret

    async def session(self, role: Role, account: str = "ada") -> str:
        """A new session of the console."""
        link, _ = await self.accounts.login_link(by=Caller(account, role))
        secret, _ = await self.accounts.redeem(link)
        return secret


def all_routes(app: FastAPI) -> Iterator[RouteContext]:
    """Every route of the application, also those of included routers, with what they inherit."""
    return iter_route_contexts(app.routes)


def client(app: object, *, token: str = "") -> httpx.AsyncClient:
    """A client of the application, in this process."""
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(transport=transport, base_url=CONSOLE, headers=headers)


if TYPE_CHECKING:
    _box: SecretBox = MemoryBox()
    _runtime: Runtime = MemoryRuntime()
    _edge: Edge = MemoryEdge()
    _prober: Prober = MemoryProber()
    _sources: SourceStore = MemorySources()
    _databases: DatabaseServer = MemoryDatabases()
