"""The product of a drill: small, without dependencies, and as bad as it is told to be.

Each instance says to the drill's witness, over a datagram, that it lives, which orders it was given, and which copies of
requests: so the drill hears from the product itself, and not from the platform that it judges.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from gantry.features.drills.model import Candidate, Schedule

NAME = "drill"
PATH = "/shop"
# Its answers may be kept by the edge.
KEPT_PATH = "/kept"
ORDER_HEADER = "x-drill-order"
DEPLOYMENT_HEADER = "x-drill-deployment"

_SERVER = """
import dgram from 'node:dgram';
import http from 'node:http';
import { randomUUID } from 'node:crypto';
const { GANTRY_BUILD: deployment, GANTRY_RELEASE: release, HOST, PORT, KEEP_ALIVE_TIMEOUT } = process.env;
const me = { life: randomUUID(), release, port: Number(PORT) };
const witness = dgram.createSocket('udp4');
witness.on('error', () => {});
const say = (what) => witness.send(JSON.stringify({ ...me, ...what }), WITNESS, '127.0.0.1');
setInterval(() => say({}), 100);
const kept = [];
let asked = 0;
const answer = (request, response, bytes) => {
  const order = request.headers['ORDER_HEADER'];
  const words = order ? `${release} ${order} ${bytes}` : release;
  const later = (response, ms) => setTimeout(() => response.end(words), order ? ms + 15 : ms);
  response.setHeader('DEPLOYMENT_HEADER', deployment);
  if (request.url === 'KEPT_PATH') {
    response.setHeader('cache-control', 's-maxage=1, stale-while-revalidate=5');
    return later(response, 1);
  }
  asked += 1;
  ANSWER
};
const server = http.createServer((request, response) => {
  if (request.url === '/health') { HEALTH; return response.end('ok'); }
  if (request.headers['x-gantry-mirror']) say({ copy: request.method });
  else if (request.method === 'POST') say({ order: request.headers['ORDER_HEADER'] });
  let bytes = 0;
  request.on('data', (part) => { bytes += part.length; });
  request.on('end', () => answer(request, response, bytes));
});
// Or Node hangs up on connections that the edge still keeps, and an order that is sent just then is lost.
server.keepAliveTimeout = Number(KEEP_ALIVE_TIMEOUT);
server.listen(PORT, HOST);
process.on('SIGTERM', () => {
  say({ told: true });
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
"""
_GOOD = "later(response, 1);"
_ANSWERS = {
    Candidate.GOOD: _GOOD,
    Candidate.WRONG: "if (asked % 20 === 0) { response.statusCode = 500; return response.end('no'); } "
    + _GOOD,
    Candidate.SLOW: "later(response, 400);",
    Candidate.LEAKING: "kept.push(Buffer.alloc(6_000_000, 1)); " + _GOOD,
    Candidate.NEVER_HEALTHY: _GOOD,
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
cache = ["{KEPT_PATH}"]
[deploy]
keep_warm = "10s"
strategy = "canary"
steps = [{{ percent = 5, time = "5s" }}, {{ percent = 50, time = "6s" }}]
"""
# Long enough for a pass at 200 requests a second; an extension doubles it.
_MIRROR = 'mirror = "2s"\n'


@dataclass(frozen=True, slots=True)
class Product:
    """Its sources in a folder.

    Attributes:
        witness_port: where its instances say what happens to them.
    """

    folder: Path
    witness_port: int

    def write(self, schedule: Schedule, note: str) -> None:
        """Write the sources of a release.

        Parameters:
            schedule: how the release behaves, and whether it is tried on copies first.
            note: makes the tree another one; the same tree is not deployed twice.
        """
        self.folder.mkdir(exist_ok=True)
        package = {"name": NAME, "version": "1.0.0", "type": "module"}
        lock = {**package, "lockfileVersion": 3, "packages": {"": package}}
        files = {
            "package.json": json.dumps(package),
            "package-lock.json": json.dumps(lock),
            "server.mjs": f"{self._server(schedule.candidate)}// {note}\n",
            "gantry.toml": _MANIFEST + (_MIRROR if schedule.mirror else ""),
        }
        for name, text in files.items():
            (self.folder / name).write_text(text)

    def _server(self, candidate: Candidate) -> str:
        never = candidate is Candidate.NEVER_HEALTHY
        words = {
            "HEALTH": "response.statusCode = 503" if never else "",
            "ANSWER": _ANSWERS[candidate],
            "WITNESS": str(self.witness_port),
            "ORDER_HEADER": ORDER_HEADER,
            "DEPLOYMENT_HEADER": DEPLOYMENT_HEADER,
            "KEPT_PATH": KEPT_PATH,
        }
        server = _SERVER
        for word, text in words.items():
            server = server.replace(word, text)
        return server
