"""What tests of the web room stand on: a platform on a machine of glass, and a client of its application."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts

from gantry.app.platform import Platform
from gantry.config.settings import Settings
from gantry.engines.database.protocol import Database
from gantry.engines.runtime.protocol import ProcessSpec
from gantry.features.accounts.model import Caller, Role
from gantry.kernel.clock import ManualClock
from gantry.kernel.ids import SeededIds
from gantry.kernel.tasks import TaskSet
from gantry.reactor.waker import Waker
from gantry.source.pack import pack
from gantry.web.access import COOKIE
from gantry.web.app import create_app
from tests.fakes.edge import FakeEdge
from tests.fakes.edge_cache import FakeEdgeCache
from tests.fakes.engines import fake_engines
from tests.fakes.machine import Machine
from tests.fakes.probes import FakeProber
from tests.fakes.programs import Script
from tests.fakes.runtime import FakeRuntime
from tests.fakes.secrets import FakeBox
from tests.fakes.sources import FakeSources

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CONSOLE = "https://gantry.localhost:8443"
MANIFEST = b'[project]\nname = "smart-sign"\n'


class CountingWaker(Waker):
    """Counts how often it was told to wake."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def wake(self) -> None:
        """See `Waker.wake`."""
        self.times += 1
        super().wake()


class House:
    """Everything that a test may look at or move. No loop runs: what is asked for stays an intent."""

    def __init__(self, database: Database, home: Path, clock: ManualClock | None = None) -> None:
        self.database, self.clock = database, clock or ManualClock(START)
        self.machine, self.ids = Machine(self.clock), SeededIds()
        self.runtime, self.edge = FakeRuntime(self.machine), FakeEdge(self.machine)
        self.sources, self.box = FakeSources(self.machine), FakeBox()
        self.prober, self.edge_cache = FakeProber(self.machine.probe), FakeEdgeCache()
        self.settings = Settings(home=home)
        self.shut_down = self.closing = False
        engines = replace(
            fake_engines(self.machine, self.ids), prober=self.prober, edge_cache=self.edge_cache
        )
        self.platform = Platform(
            self.settings,
            engines,
            database,
            TaskSet(),
            shutdown=self._shutdown,
            closing=lambda: self.closing,
        )
        self._waker = self.platform.waker = CountingWaker()
        self.health = self.platform.health
        self.accounts, self.variables = self.platform.accounts, self.platform.variables
        self.services = self.platform.services

    @property
    def woken(self) -> int:
        """How often the reactor was told to look."""
        return self._waker.times

    def _shutdown(self) -> None:
        self.shut_down = True

    def run(self, process_id: str, *, memory_bytes: int = 90_000_000) -> None:
        """Let a process run that says nothing by itself."""
        process = self.machine.spawn(ProcessSpec(process_id, ("program",), {}, "/"), Script())
        process.memory_bytes = memory_bytes

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


def upload(directory: Path, files: Mapping[str, bytes]) -> tuple[str, bytes]:
    """A source as the command line sends it: its digest, and its archive."""
    for name, content in files.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    packed = pack(directory)
    return packed.digest, b"".join(packed.chunks())


def all_routes(app: FastAPI) -> Iterator[RouteContext]:
    """Every route of the application, also those of included routers, with what they inherit."""
    return iter_route_contexts(app.routes)


def client(app: object, *, token: str = "") -> httpx.AsyncClient:
    """A client of the application, in this process."""
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(transport=transport, base_url=CONSOLE, headers=headers)


@asynccontextmanager
async def console_of(plane: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """A browser in which an owner has logged in to the console."""
    link, _ = await plane.accounts.login_link(by=Caller("ada", Role.OWNER))
    secret, _ = await plane.accounts.redeem(link)
    async with client(create_app(plane.services)) as http:
        http.cookies.set(COOKIE, secret)
        http.headers.update({"origin": CONSOLE, "sec-fetch-site": "same-origin"})
        yield http
