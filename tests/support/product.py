"""A small Node product, quick enough to try every way that things go wrong."""

import json
import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.platform import Platform

NAME = "small"
SERVER = """
import crypto from 'node:crypto';
import http from 'node:http';
const release = process.env.GANTRY_RELEASE;
let draining = false;
const server = http.createServer((request, response) => {
  if (request.url === '/bad') { response.statusCode = 500; return response.end('no'); }
  if (request.url === '/env') return response.end(JSON.stringify(process.env));
  if (request.url === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(`data: ${release}\\n\\n`);
    const beat = setInterval(() => response.write('data: beat\\n\\n'), 200);
    request.on('close', () => clearInterval(beat));
    process.on('SIGTERM', () => { clearInterval(beat); response.end('event: reconnect\\ndata: -\\n\\n'); });
    return;
  }
  response.end(release);
});
server.on('upgrade', (request, socket) => {
  const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
  const accept = crypto.createHash('sha1').update(key).digest('base64');
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nupgrade: websocket\\r\\nconnection: upgrade\\r\\n' +
    `sec-websocket-accept: ${accept}\\r\\n\\r\\n`);
  const say = (text) => socket.write(Buffer.concat([Buffer.from([0x81, text.length]), Buffer.from(text)]));
  say(release);
  const beat = setInterval(() => say('beat'), 200);
  socket.on('error', () => {}).on('close', () => clearInterval(beat));
  const restart = Buffer.from([0x88, 2, 0x03, 0xf4]);  // close frame, code 1012: service restart
  process.on('SIGTERM', () => { clearInterval(beat); socket.end(restart); });
});
server.keepAliveTimeout = Number(process.env.KEEP_ALIVE_TIMEOUT ?? 5000);
server.listen(process.env.PORT, process.env.HOST);
process.on('SIGTERM', () => { server.close(() => process.exit(0)); server.closeIdleConnections(); });
"""
MANIFEST = """
[project]
name = "{name}"
[build]
framework = "node"
[processes.web]
command = "node server.mjs"
instances = {instances}
health = {{ path = "/health", start_deadline = "8s" }}
smoke = ["/"]
drain = {{ requests = "5s", streams = "6s", terminate = "3s" }}
[deploy]
keep_warm = "30s"
{more}
"""


def write_project(
    folder: Path,
    *,
    name: str = NAME,
    server: str = SERVER,
    instances: int = 2,
    more: str = "",
    note: str = "",
) -> Path:
    """A Node product without dependencies; `note` makes its tree different from others."""
    folder.mkdir(exist_ok=True)
    package = {
        "name": name,
        "version": "1.0.0",
        "type": "module",
        "scripts": {"start": "node server.mjs"},
    }
    (folder / "package.json").write_text(json.dumps(package))
    lock = {"name": name, "version": "1.0.0", "lockfileVersion": 3, "packages": {"": package}}
    (folder / "package-lock.json").write_text(json.dumps(lock))
    (folder / "server.mjs").write_text(f"{server}\n// {note}\n")
    (folder / "gantry.toml").write_text(MANIFEST.format(name=name, instances=instances, more=more))
    return folder


@dataclass(frozen=True, slots=True)
class Product:
    """A project on a platform, under a name of its own."""

    platform: Platform
    folder: Path
    name: str

    @property
    def host(self) -> str:
        """Host name of its production."""
        return f"{self.name}.localhost"

    def write(self, **changes: Any) -> None:
        """Write the project anew: see `write_project`."""
        write_project(self.folder, name=self.name, **changes)

    def with_build(self, lines: str) -> None:
        """Write the project anew, with these lines in its `[build]`."""
        self.write(note=lines)
        manifest = self.folder / "gantry.toml"
        manifest.write_text(manifest.read_text().replace("[build]\n", f"[build]\n{lines}\n"))

    def deploy(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Deploy the folder to production."""
        # The folders of two tests are two: nobody can be asked whether that is meant.
        return self.platform.run("deploy", str(self.folder), "--yes", *arguments, check=check)

    def run(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run a command for this project."""
        return self.platform.run(*arguments, "--project", self.name, check=check)

    def environment(self, name: str = "production") -> Any:
        """What the status says of one of its environments."""
        projects = self.platform.json("status")["projects"]
        (project,) = [found for found in projects if found["name"] == self.name]
        (body,) = [found for found in project["environments"] if found["name"] == name]
        return body

    def live(self) -> str:
        """The release that production serves; a request from outside reaches it."""
        found = self.environment()
        assert found["reached"]["status"] == 200
        assert found["reached"]["release"] == found["live"]["id"]
        release: str = found["live"]["id"]
        return release

    def refused(self, code: str, *arguments: str) -> str:
        """The command fails with this code, and what is live still is; what it said."""
        before = self.live()
        done = self.platform.run(*arguments, check=False)
        assert done.returncode not in (0, None), done.stdout
        assert f"error[{code}]" in done.stderr, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert self.live() == before
        return done.stderr

    def visitors(self, path: str = "/", **how: Any) -> "AbstractContextManager[dict[str, Any]]":
        """Load from visitors who forgive nothing: see `Platform.strict_client`."""
        return self.platform.strict_client(self.host, path, **how)

    def destroy(self) -> None:
        """Leave nothing on the platform."""
        self.run("destroy", "--yes", check=False)


def get(platform: Platform, host: str, path: str, **headers: str) -> httpx.Response:
    """GET as a visitor of `host`, who follows nothing."""
    with httpx.Client(verify=False, timeout=20) as client:
        return client.get(
            f"https://127.0.0.1:{platform.https_port}{path}",
            headers={"host": f"{host}:{platform.https_port}", **headers},
            extensions={"sni_hostname": host},
        )
