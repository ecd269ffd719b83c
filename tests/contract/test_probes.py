"""Probers: the fake and the real one keep the same promises."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from gantry.engines.certificates.local import LocalAuthority
from gantry.engines.probes.http import HttpProber
from gantry.engines.probes.protocol import Prober, ProbeResult
from gantry.kernel.clock import SystemClock
from tests.fakes.probes import Asked, FakeProber
from tests.support.upstream import serve


@dataclass(slots=True)
class Stage:
    prober: Prober
    base: str


def _answer(url: str, _host: str) -> ProbeResult:
    path = "/" + url.split("/", 3)[3]
    if path == "/silent":
        return ProbeResult(200, 3600.0)
    if path == "/cut":
        return ProbeResult(0, 0.001, "Server disconnected without sending a response.")
    return ProbeResult(503 if path == "/own-503" else 200, 0.001, body="one")


@pytest.fixture(params=["fake", "real"])
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    if request.param == "fake":
        yield Stage(FakeProber(_answer), "http://127.0.0.1:1")
        return
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(await serve("one", 0))
        port = server.sockets[0].getsockname()[1]
        prober = HttpProber(lambda: (tmp_path / "no-root.pem",), SystemClock())
        yield Stage(prober, f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/own-503", 503)])
async def test_an_answer_is_a_status(stage: Stage, path: str, status: int) -> None:
    result = await stage.prober.get(stage.base + path)
    assert (result.status, result.error, result.body) == (status, "", "one")
    assert result.elapsed_s > 0


async def test_silence_is_an_error_in_words(stage: Stage) -> None:
    result = await stage.prober.get(f"{stage.base}/silent", timeout_s=0.1)
    assert (result.status, result.error) == (0, "no answer within 0.1 s")


async def test_a_cut_connection_is_an_error_in_words(stage: Stage) -> None:
    result = await stage.prober.get(f"{stage.base}/cut")
    assert result.status == 0
    assert result.error


async def test_the_fake_remembers_what_was_asked() -> None:
    prober = FakeProber()
    assert (await prober.get("http://a/", host="b", headers={"x": "1"})).error
    assert prober.asked == [Asked("http://a/", "b", {"x": "1"})]


# -- the real one's own promises ---------------------------------------------------------------


async def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    prober = HttpProber(lambda: (tmp_path / "none",), SystemClock())
    result = await prober.get(f"http://127.0.0.1:{port}/")
    assert result.status == 0
    assert "connection" in result.error.lower()
    assert (await prober.get("not a url")).error


async def test_host_and_headers_are_sent_and_bodies_bounded(tmp_path: Path) -> None:
    prober = HttpProber(lambda: (tmp_path / "none",), SystemClock())
    async with await serve("one", 0) as server:
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        seen = await prober.get(f"{base}/request", host="a.localhost", headers={"x-a": "b"})
        page = await prober.get(f"{base}/page")
    assert '"host": "a.localhost"' in seen.body
    assert '"x-a": "b"' in seen.body
    assert '"accept-encoding": "identity"' in seen.body
    assert len(page.body) == 4096


async def test_certificates_are_verified_for_the_host_that_was_named(tmp_path: Path) -> None:
    async def nobody(_: Mapping[str, str]) -> None:
        return None

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    authority = LocalAuthority(tmp_path / "ca", "localhost", SystemClock())
    prober = HttpProber(lambda: (authority.root_file,), SystemClock())
    unbelieved = HttpProber(lambda: (tmp_path / "none",), SystemClock())
    issued = await authority.issue(("a.localhost",), nobody)
    (tmp_path / "chain.pem").write_text(issued.chain_pem)
    (tmp_path / "leaf.key").write_text(issued.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "chain.pem", tmp_path / "leaf.key")
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        assert (await prober.get(url, host="a.localhost")).status == 200
        for result in (
            await prober.get(url, host="b.localhost"),
            await unbelieved.get(url, host="a.localhost"),
        ):
            assert result.status == 0
            assert "certificate" in result.error.lower()
