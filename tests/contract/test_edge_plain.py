"""What real Envoy lets through, refuses in words, and leaves of answers as they are."""

import asyncio
import json
import re
import ssl
from dataclasses import dataclass

import pytest

from gantry.engines.edge.protocol import Backend, EdgeConfig, Endpoint, Site
from tests.support.edge import DEADLINE_S, Lab, served
from tests.support.edge_visitors import client, url

pytestmark = pytest.mark.real


@dataclass(frozen=True, slots=True)
class Said:
    """An answer as it came."""

    raw: str

    @property
    def status(self) -> int:
        """Of the last of several answers."""
        return int(re.findall(r"^HTTP/1\.[01] (\d+)", self.raw, re.MULTILINE)[-1])

    def header(self, name: str) -> str:
        """Empty where it is not there."""
        found = re.findall(rf"^{name}: (.*?)\r?$", self.raw, re.MULTILINE | re.IGNORECASE)
        return found[-1] if found else ""


async def said(edge: Lab, request: bytes, *, plain: bool = False) -> Said:
    """All that comes back for these bytes until the connection is closed, or stands still for a moment."""
    settings = edge.settings
    context: ssl.SSLContext | None = None if plain else edge.context()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        settings.http_port if plain else settings.https_port,
        ssl=context,
        server_hostname=None if plain else "a.localhost",
    )
    writer.write(request)
    found = b""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while part := await reader.read(65_536):
                found += part
    except (TimeoutError, ConnectionError):
        pass
    writer.close()
    return Said(found.decode("latin-1"))


HOST = b"host: a.localhost\r\n"
END = b"connection: close\r\n\r\n"


def get(path: bytes = b"/request", more: bytes = b"", *, version: bytes = b"1.1") -> bytes:
    return b"GET " + path + b" HTTP/" + version + b"\r\n" + HOST + more + END


# -- let through ---------------------------------------------------------------------------


TAKEN = [
    get(more=b"my_header: 1\r\n"),
    get(version=b"1.0"),
    b"GET /request HTTP/1.0\r\n" + HOST + b"\r\n",
    get(b"/request#part"),
    get(b'/request|^{}"<>'),
    get(b"/request%zz"),
    get(b"/request" + b"x" * 20_000),
    get(more=b"".join(b"x-%d: y\r\n" % number for number in range(150))),
    get(more=b"x-folded: a\r\n b\r\n"),
    get(more=b"x-name: \xc3\xa9\r\n"),
    b"\r\n" + get(),
    get(b"http://a.localhost/request"),
]


async def test_what_other_servers_take_arrives(edge: Lab) -> None:
    await served(edge)
    for request in TAKEN:
        answer = await said(edge, request)
        assert answer.status == 200, request[:80]
        assert answer.header("x-gantry-release") == "r-1"


async def test_an_upgrade_that_nobody_speaks_is_ignored(edge: Lab) -> None:
    await served(edge)
    for value in (b"TLS/1.2", b"h2c", b"foo", b"webs", b"websocket2", b"x, y"):
        upgrade = b"upgrade: " + value + b"\r\nconnection: upgrade\r\n"
        first = b"GET /request HTTP/1.1\r\n" + HOST + upgrade + b"\r\n"
        for plain in (False, True):
            answer = await said(edge, first + get(), plain=plain)
            assert answer.status == (308 if plain else 200), value
            assert answer.raw.count("HTTP/1.1 ") == 2


async def test_a_name_with_an_underscore_is_nobody_s_other_header(edge: Lab) -> None:
    await served(edge)
    answer = await said(edge, get(more=b"x_forwarded_for: 203.0.113.9\r\nmy_header: 1\r\n"))
    assert "203.0.113.9" not in answer.raw
    assert "my_header" not in answer.raw


async def test_http_1_0_is_spoken_with_who_speaks_it(edge: Lab) -> None:
    await served(edge)
    once = await said(edge, b"GET / HTTP/1.0\r\n" + HOST + b"\r\n")
    assert (once.status, once.header("connection")) == (200, "close")
    kept = await said(
        edge, (b"GET / HTTP/1.0\r\n" + HOST + b"connection: keep-alive\r\n\r\n") + get(b"/")
    )
    assert len(re.findall("HTTP/1.[01] 200", kept.raw)) == 2
    flow = await said(edge, b"GET /flow HTTP/1.0\r\n" + HOST + b"\r\n")
    assert "transfer-encoding" not in flow.raw
    assert flow.raw.count("<p>part") == 3
    nameless = await said(edge, b"GET / HTTP/1.0\r\n\r\n")
    assert (nameless.status, nameless.header("x-gantry-reason")) == (404, "edge.unknown-host")


# -- refused, in words ----------------------------------------------------------------------


REFUSED = [
    (get("/é".encode()), 400, "edge.bad-request"),
    (get(b"/a b"), 400, "edge.bad-request"),
    (get(b"/a%00b"), 400, "edge.bad-request"),
    (get(version=b"9"), 400, "edge.bad-request"),
    (get(more=b"x bad: 1\r\n"), 400, "edge.bad-request"),
    (get(more=b"x-nul: a\0b\r\n"), 400, "edge.bad-request"),
    (b"GET / HTTP/1.1\r\n" + END, 400, "edge.bad-request"),
    (b"GET / HTTP/1.1\r\nhost: a b\r\n" + END, 400, "edge.bad-request"),
    (
        b"POST / HTTP/1.1\r\n"
        + HOST
        + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n"
        + END,
        400,
        "edge.bad-request",
    ),
    (get(b"/" + b"x" * 70_000), 431, "edge.headers-too-large"),
    (get(more=b"x-long: " + b"y" * 70_000 + b"\r\n"), 431, "edge.headers-too-large"),
    (
        get(more=b"".join(b"x-%d: y\r\n" % number for number in range(300))),
        431,
        "edge.headers-too-large",
    ),
    (b"CONNECT a.localhost:443 HTTP/1.1\r\n" + HOST + END, 404, "edge.refused"),
]


async def test_what_is_refused_is_refused_in_words(edge: Lab) -> None:
    await served(edge)
    asked = [(*case, plain) for case in REFUSED for plain in (False, True)]
    # At once: the edge keeps each connection for a second after such an answer.
    answers = await asyncio.gather(
        *(said(edge, request, plain=plain) for request, *_, plain in asked)
    )
    for (request, status, reason, _), answer in zip(asked, answers, strict=True):
        found = answer.status, answer.header("x-gantry-reason")
        assert found == (status, reason), request[:80]
        assert answer.header("x-gantry-release") == "edge"
        assert "<h1>" in answer.raw


async def test_an_answer_that_is_no_http_is_said_to_be_so_and_logged(edge: Lab) -> None:
    await served(edge)
    async with client(edge) as visitor:
        answer = await visitor.get(url(edge, "/nonsense"), headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "edge.bad-answer")
    (folder,) = (edge.settings.home / "processes").glob("edge-*")
    async with asyncio.timeout(DEADLINE_S):
        while "edge.bad-answer" not in (log := (folder / "log").read_text()):
            await asyncio.sleep(0.05)
    (line,) = (json.loads(line) for line in log.splitlines() if "edge.bad-answer" in line)
    assert line["reason"] == "edge.bad-answer"
    assert "upstream" in line["details"]


async def test_a_post_that_is_cut_is_told_so(edge: Lab) -> None:
    await served(edge)
    async with client(edge) as visitor:
        answer = await visitor.post(url(edge, "/cut"), headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "edge.cut")
    assert answer.headers["x-gantry-reason"] == "edge.cut"


FORGED = [
    "x-middleware-subrequest",
    "x-middleware-rewrite",
    "x-matched-path",
    "x-original-url",
    "x-rewrite-url",
    "x-forwarded-user",
    "x-forwarded-server",
    "x-real-ip",
    "x-invoke-anything",
    "x-middleware-request-cookie",
    "x-vercel-forwarded-for",
    "x-vercel-anything",
    "x-now-route-matches",
    "x-gantry-anything",
    "x-envoy-max-retries",
    "cf-connecting-ip",
    "true-client-ip",
    "x-client-ip",
    "proxy",
]


async def test_nobody_s_word_is_taken_for_the_edge_s(edge: Lab) -> None:
    await served(edge)
    async with client(edge) as visitor:
        headers = {**dict.fromkeys(FORGED, "forged"), "x-nextjs-data": "1"}
        answer = await visitor.get(url(edge, "/request"), headers=headers)
    assert "forged" not in answer.text
    assert answer.json()["headers"]["x-nextjs-data"] == "1"


# -- answers as they are -------------------------------------------------------------------


async def test_a_tag_that_compression_made_weak_still_matches(edge: Lab) -> None:
    await served(edge)
    async with client(edge) as visitor:
        for accepted in ("br", "gzip", "identity"):
            page = await visitor.get(url(edge, "/tagged"), headers={"accept-encoding": accepted})
            tag = page.headers["etag"]
            assert tag == ('"v1"' if accepted == "identity" else 'W/"v1"')
            changed = await visitor.put(url(edge, "/tagged"), headers={"if-match": tag})
            assert changed.status_code == 200
            listed = await visitor.get(
                url(edge, "/request"), headers={"if-match": f'"v0", {tag}', "x": "1"}
            )
            assert listed.status_code == 200
        other = await visitor.put(url(edge, "/tagged"), headers={"if-match": 'W/"v2"'})
    assert other.status_code == 412


async def test_a_part_is_the_part_that_it_says_it_is(edge: Lab) -> None:
    await served(edge)
    async with client(edge) as visitor:
        headers = {"range": "bytes=0-999", "accept-encoding": "br, gzip"}
        part = await visitor.get(url(edge, "/tagged"), headers=headers)
    assert (part.status_code, len(part.content)) == (206, 1000)
    assert part.headers["content-range"] == "bytes 0-999/20000"
    assert part.headers["etag"] == '"v1"'
    assert "content-encoding" not in part.headers


async def test_what_is_compressed_stays_as_it_is(edge: Lab) -> None:
    await served(edge)
    async with client(edge) as visitor:
        packed = await visitor.get(url(edge, "/packed"), headers={"accept-encoding": "br, gzip"})
        page = await visitor.get(url(edge, "/page"), headers={"accept-encoding": "br, gzip"})
    assert (packed.headers["content-encoding"], len(packed.content)) == ("gzip", 20_000)
    assert page.headers["vary"].lower() == "accept-encoding"


async def test_early_hints_and_trailers_pass(edge: Lab) -> None:
    await served(edge)
    hinted = await said(edge, get(b"/hinted"))
    assert re.findall(r"HTTP/1.1 (\d+)", hinted.raw) == ["103", "200"]
    assert hinted.header("link") == "</a.css>; rel=preload"
    summed = await said(edge, get(b"/summed"))
    assert summed.raw.endswith("0\r\nx-sum: 42\r\n\r\n")


async def _refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A product that refuses an upload before it has read it, and then reads on."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            status = b"200 OK" if head.startswith(b"GET ") else b"413 Content Too Large"
            writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 4\r\n\r\nsaid")
            if b"413" in status:
                while await reader.read(65_536):
                    pass
    except (ConnectionError, asyncio.IncompleteReadError):
        writer.close()


async def _refused(edge: Lab) -> bytes:
    """What somebody gets who reads while they send."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        edge.settings.https_port,
        ssl=edge.context(),
        server_hostname="a.localhost",
    )
    writer.write(b"POST /upload HTTP/1.1\r\n" + HOST + b"content-length: 6000000\r\n\r\n")
    answer = asyncio.ensure_future(reader.readline())
    try:
        while not answer.done():
            writer.write(b"x" * 65_536)
            await asyncio.wait((answer,), timeout=0)
            await writer.drain()
    except ConnectionError:
        pass  # the answer may be there all the same
    line = await answer
    writer.transport.abort()
    return line


async def test_an_early_refusal_reaches_who_reads_while_they_send(edge: Lab) -> None:
    server = await asyncio.start_server(_refuses, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    release = Backend("r-1", (Endpoint(port=port),), "/health", "a.localhost")
    site = Site(("a.localhost",), "r-1", release="r-1")
    certificate = await edge.certificate("a.localhost")
    await edge.edge.apply(EdgeConfig((site,), (release,), (certificate,)))
    await edge.until_healthy("r-1")
    async with asyncio.timeout(DEADLINE_S):
        lines = await asyncio.gather(*(_refused(edge) for _ in range(8)))
    server.close()
    assert lines == [b"HTTP/1.1 413 Payload Too Large\r\n"] * 8
