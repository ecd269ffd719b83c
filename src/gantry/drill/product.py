"""The product of a drill: small, without dependencies, and as bad as it is told to be; and the receiver of its events.

Each instance reports over a datagram of JSON that it lives, which orders it was given, and which copies of requests: so the
drill hears from the product itself, and not from the platform that it judges.
"""

import asyncio
import json
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from gantry.drill.schedule import CandidateKind, Schedule

NAME = "drill"
PATH = "/shop"
# Its answers may be kept by the edge.
CACHED_PATH = "/cached"
ORDER_HEADER = "x-drill-order"
DEPLOYMENT_HEADER = "x-drill-deployment"

_SERVER = """
import dgram from 'node:dgram';
import http from 'node:http';
import { randomUUID } from 'node:crypto';
const { GANTRY_BUILD: deployment, GANTRY_RELEASE: release, HOST, PORT, KEEP_ALIVE_TIMEOUT } = process.env;
const me = { run: randomUUID(), release, port: Number(PORT) };
const events = dgram.createSocket('udp4');
events.on('error', () => {});
const report = (event) => events.send(JSON.stringify({ ...me, ...event }), EVENTS_PORT, '127.0.0.1');
setInterval(() => report({}), 100);
const leaked = [];
let asked = 0;
const answer = (request, response, bytes) => {
  const order = request.headers['ORDER_HEADER'];
  const text = order ? `${release} ${order} ${bytes}` : release;
  const later = (response, ms) => setTimeout(() => response.end(text), order ? ms + 15 : ms);
  response.setHeader('DEPLOYMENT_HEADER', deployment);
  if (request.url === 'CACHED_PATH') {
    response.setHeader('cache-control', 's-maxage=1, stale-while-revalidate=5');
    return later(response, 1);
  }
  asked += 1;
  ANSWER
};
const server = http.createServer((request, response) => {
  if (request.url === '/health') { HEALTH; return response.end('ok'); }
  if (request.headers['x-gantry-mirror']) report({ copy: request.method });
  else if (request.method === 'POST') report({ order: request.headers['ORDER_HEADER'] });
  let bytes = 0;
  request.on('data', (part) => { bytes += part.length; });
  request.on('end', () => answer(request, response, bytes));
});
// Or Node hangs up on connections that the edge still keeps, and an order that is sent just then is lost.
server.keepAliveTimeout = Number(KEEP_ALIVE_TIMEOUT);
server.listen(PORT, HOST);
process.on('SIGTERM', () => {
  report({ told_to_end: true });
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
"""
_GOOD = "later(response, 1);"
_ANSWERS = {
    CandidateKind.GOOD: _GOOD,
    CandidateKind.WRONG: "if (asked % 20 === 0) { response.statusCode = 500; return response.end('no'); } "
    + _GOOD,
    CandidateKind.SLOW: "later(response, 400);",
    CandidateKind.LEAKING: "leaked.push(Buffer.alloc(6_000_000, 1)); " + _GOOD,
    CandidateKind.NEVER_HEALTHY: _GOOD,
}
_MANIFEST = f"""
[project]
name = "{NAME}"
[build]
framework = "node"
[processes.web]
command = "node server.mjs"
instances = 2
memory = "160MB"
health = {{ path = "/health", start_deadline = "6s" }}
drain = {{ requests = "5s", streams = "6s", terminate = "3s" }}
[services]
postgres = true
[routes]
cache = ["{CACHED_PATH}"]
[deploy]
keep_warm = "10s"
strategy = "canary"
steps = [{{ percent = 5, time = "5s" }}, {{ percent = 50, time = "6s" }}]
"""
# Long enough for a pass at 200 requests a second; an extension doubles it.
_MIRROR = 'mirror = "2s"\n'

_MAX_EVENT_BYTES = 2_000


@dataclass(frozen=True, slots=True)
class Product:
    """Sources of the drill's product in a directory.

    Attributes:
        events_port: where its instances report.
    """

    directory: Path
    events_port: int

    def write(self, schedule: Schedule, note: str) -> None:
        """Write the sources of a release.

        Parameters:
            schedule: how the release behaves, and whether it is tried on copies first.
            note: makes the tree another one; the same tree is not deployed twice.
        """
        self.directory.mkdir(exist_ok=True)
        package = {"name": NAME, "version": "1.0.0", "type": "module"}
        lock = {**package, "lockfileVersion": 3, "packages": {"": package}}
        files = {
            "package.json": json.dumps(package),
            "package-lock.json": json.dumps(lock),
            "server.mjs": f"{self._server(schedule.candidate)}// {note}\n",
            "gantry.toml": _MANIFEST + (_MIRROR if schedule.mirror else ""),
        }
        for name, text in files.items():
            (self.directory / name).write_text(text)

    def _server(self, candidate: CandidateKind) -> str:
        never = candidate is CandidateKind.NEVER_HEALTHY
        placeholders = {
            "HEALTH": "response.statusCode = 503" if never else "",
            "ANSWER": _ANSWERS[candidate],
            "EVENTS_PORT": str(self.events_port),
            "ORDER_HEADER": ORDER_HEADER,
            "DEPLOYMENT_HEADER": DEPLOYMENT_HEADER,
            "CACHED_PATH": CACHED_PATH,
        }
        server = _SERVER
        for placeholder, text in placeholders.items():
            server = server.replace(placeholder, text)
        return server


def events_socket() -> socket.socket:
    """A socket on a free port of this machine; it stays open over all drills, because releases live longer than one."""
    events = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    events.bind(("127.0.0.1", 0))
    events.settimeout(0.0)
    return events


def discard_waiting(events: socket.socket) -> None:
    """Forget what was reported while nobody listened: the time of it is not known."""
    while True:
        try:
            events.recv(_MAX_EVENT_BYTES)
        except BlockingIOError:
            return


@dataclass(slots=True)
class EventReceiver(asyncio.DatagramProtocol):
    """Collects what instances report of themselves.

    Attributes:
        runs: run of a process -> release, port, first and last monotonic second, when it was told to end.
        orders: number, monotonic second, run.
        copies: release and method -> how many.
    """

    runs: dict[str, list[str | int | float | None]] = field(default_factory=dict)
    orders: list[tuple[str, float, str]] = field(default_factory=list)
    copies: Counter[tuple[str, str]] = field(default_factory=Counter)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """See `asyncio.DatagramProtocol`."""
        self.record(json.loads(data), time.monotonic())

    def record(self, event: dict[str, object], at_s: float) -> None:
        """Add one event that arrived at a monotonic second."""
        run, release = str(event["run"]), str(event["release"])
        port = int(str(event["port"]))
        known = self.runs.setdefault(run, [release, port, at_s, at_s, None])
        known[3] = at_s
        if event.get("told_to_end") and known[4] is None:
            known[4] = at_s
        if "order" in event:
            self.orders.append((str(event["order"]), at_s, run))
        if "copy" in event:
            self.copies[release, str(event["copy"])] += 1

    def summary(self) -> dict[str, object]:
        """Everything as JSON takes it."""
        return {
            "runs": [[run, *facts] for run, facts in self.runs.items()],
            "orders": self.orders,
            "copies": [[*key, count] for key, count in self.copies.items()],
        }
