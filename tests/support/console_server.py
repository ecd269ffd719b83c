"""The console on a port of this machine, over a platform that is furnished with everything, for a browser."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import uvicorn

from gantry.app.engines import npm_argv, npm_environment
from gantry.engines.database.postgres import PostgresDatabase
from gantry.features.accounts.model import Caller, Role
from gantry.kernel.clock import ManualClock
from gantry.web import render
from gantry.web.app import create_app
from gantry.web.assets import ensure_assets
from tests.support.console_world import World, furnish
from tests.support.web import START, House

T = TypeVar("T")


class StillClock(ManualClock):
    """Shows the same time always; who sleeps on it really sleeps."""

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(seconds)


class ConsoleServer:
    """A console that browsers can open.

    Attributes:
        url: where it is.
        world: what there is on it; `None` on an empty platform.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, house: House, world: World | None, port: int
    ) -> None:
        self._loop, self.house, self.world = loop, house, world
        self.url = f"http://localhost:{port}"

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the platform, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def login(self, role: Role = Role.OWNER, account: str = "ada") -> str:
        """The secret of a new login link."""
        secret, _ = self.call(self.house.accounts.login_link(by=Caller(account, role)))
        return secret


@contextmanager
def console_server(
    database_url: str, home: Path, *, furnished: bool = True
) -> Iterator[ConsoleServer]:
    """A console in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def call(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(120)

    database = PostgresDatabase(database_url, most_connections=4)
    try:
        call(database.open())
        house = House(database, home, StillClock(START))
        world = call(furnish(house, START)) if furnished else None
        server, serving = call(_serve(house))
        try:
            port = server.servers[0].sockets[0].getsockname()[1]
            yield ConsoleServer(loop, house, world, port)
        finally:
            house.closing = server.should_exit = True
            call(asyncio.wait_for(serving, 20))
    finally:
        call(database.aclose())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


async def _serve(house: House) -> tuple[uvicorn.Server, asyncio.Task[None]]:
    assert await ensure_assets(npm_argv(), npm_environment()), (
        "npm cannot fetch the console's assets"
    )
    render.assets_changed()
    config = uvicorn.Config(
        create_app(house.services), host="localhost", port=0, log_level="error", lifespan="off",
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    return server, serving
