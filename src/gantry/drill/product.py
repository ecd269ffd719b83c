"""The product of a drill: small, without dependencies, and as bad as it is told to be."""

import json
from pathlib import Path

from gantry.features.drills.model import Candidate

NAME = "drill"
PATH = "/shop"

_SERVER = """
import http from 'node:http';
const release = process.env.GANTRY_RELEASE;
const kept = [];
let asked = 0;
const later = (response, ms) => setTimeout(() => response.end(release), ms);
const server = http.createServer((request, response) => {
  if (request.url !== '/shop') { HEALTH; return response.end('ok'); }
  asked += 1;
  ANSWER
});
server.listen(process.env.PORT, process.env.HOST);
process.on('SIGTERM', () => { server.close(() => process.exit(0)); server.closeIdleConnections(); });
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
[deploy]
keep_warm = "10s"
strategy = "canary"
steps = [{{ percent = 5, time = "6s" }}, {{ percent = 50, time = "6s" }}]
"""


def write_product(folder: Path, candidate: Candidate, note: str) -> None:
    """Write the sources of a release.

    Parameters:
        note: makes the tree another one; the same tree is not deployed twice.
    """
    folder.mkdir(exist_ok=True)
    package = {"name": NAME, "version": "1.0.0", "type": "module"}
    lock = {**package, "lockfileVersion": 3, "packages": {"": package}}
    health = "response.statusCode = 503" if candidate is Candidate.NEVER_HEALTHY else ""
    server = _SERVER.replace("HEALTH", health).replace("ANSWER", _ANSWERS[candidate])
    (folder / "package.json").write_text(json.dumps(package))
    (folder / "package-lock.json").write_text(json.dumps(lock))
    (folder / "server.mjs").write_text(f"{server}// {note}\n")
    (folder / "gantry.toml").write_text(_MANIFEST)
