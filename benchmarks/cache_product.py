"""What the cache's benchmark asks for: pages of a Node instance, and how often it was asked for each."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from tests.support.edge import free_ports

from gantry.app.engines import npm_argv

READY, MADE = "ready", "made"
_START_DEADLINE_S = 20.0
# /WAY/KIND: `kept` says that it may be kept, every other way that it must not. A page of 25 KB, 2.6 KB compressed: `ready`
# in memory, `made` from its data and compressed for each request, or `slow`, after a third of a second of waiting.
_SERVER = """
import http from 'node:http';
import zlib from 'node:zlib';
const marks = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const text = (value) => value.replace(/[&<>"]/g, (mark) => marks[mark]);
const day = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' });
const rows = Array.from({ length: 150 }, (_, n) => ({ title: `News "${n}"`, at: 1.7e12 + n * 1e7, by: `Ada & ${n * 7919}` }));
const row = (one) =>
  `<li><a href="/news/${text(one.title)}"><h2>${text(one.title)}</h2></a><time>${day.format(one.at)}</time><p>${text(one.by)}</p></li>`;
const make = () => zlib.gzipSync(`<!doctype html><title>News</title><ul>${rows.map(row).join('\\n')}</ul>`);
const ready = make();
const asked = new Map();
const server = http.createServer(async (request, response) => {
  const [, way, kind] = request.url.split('?')[0].split('/');
  if (way === 'health') return response.end('ok');
  if (way === 'asked') return response.end(String(asked.get(request.url.split('?')[1]) ?? 0));
  if (kind === 'slow') {
    const key = request.url.split('?')[1];
    asked.set(key, (asked.get(key) ?? 0) + 1);
    await new Promise((then) => setTimeout(then, 300));
  }
  const page = kind === 'made' ? make() : ready;
  response.writeHead(200, {
    'content-type': 'text/html; charset=utf-8', 'content-encoding': 'gzip', 'content-length': page.length,
    vary: 'accept-encoding', 'cache-control': way === 'kept' ? 's-maxage=600' : 'private, no-store',
  });
  response.end(page);
});
server.keepAliveTimeout = 120_000;
server.listen(Number(process.argv[2]), '127.0.0.1');
"""


@dataclass(frozen=True, slots=True)
class Product:
    """A product with one instance."""

    port: int
    pid: int

    def asked(self, key: str) -> int:
        """How many requests for the slow page with that query have reached it."""
        return int(httpx.get(f"http://127.0.0.1:{self.port}/asked?{key}").text)


@contextmanager
def product(folder: Path) -> Iterator[Product]:
    """Running."""
    (port,) = free_ports(1)
    file = folder / "server.mjs"
    file.write_text(_SERVER)
    with subprocess.Popen([npm_argv()[0], str(file), str(port)]) as process:
        try:
            deadline_s = time.monotonic() + _START_DEADLINE_S
            while time.monotonic() < deadline_s:
                with contextlib.suppress(httpx.TransportError):
                    httpx.get(f"http://127.0.0.1:{port}/health").raise_for_status()
                    break
                time.sleep(0.05)
            yield Product(port, process.pid)
        finally:
            process.kill()
