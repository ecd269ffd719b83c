"""Helpers of the builders' and sources' tests: trees from texts, requests, and a way to run tasks and products."""

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gantry.config.paths import Paths
from gantry.engines.builders import confine
from gantry.engines.builders.context import Context, scope
from gantry.engines.builders.plan import Versions
from gantry.engines.builders.protocol import Artifact, BuildRequest, Place
from gantry.engines.builders.tree import Tree
from gantry.engines.builders.workshop import LocalWorkshop
from gantry.engines.runtime import sandbox
from gantry.engines.runtime.protocol import Limits, Mount, MountMode, ProcessSpec, Sandbox
from gantry.kernel.commands import argv_of
from gantry.kernel.trees import tree_digest

VERSIONS = Versions(node="24.0.0", python="3.11.0")
NEXT_PACKAGE = '{"scripts": {"build": "next build"}, "dependencies": {"next": "16.4.0"}}'
NODE_PACKAGE = '{"name": "shop", "version": "1.0.0", "scripts": {"start": "node server.js"}}'
NODE_SERVER = """
const http = require("http");
const body = JSON.stringify({ version: process.version, env: process.env.NODE_ENV });
const server = http.createServer((_, answer) => answer.end(body));
server.listen(process.env.PORT, process.env.HOST);
process.on("SIGTERM", () => server.close(() => process.exit(0)));
"""
ASGI_APP = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"python"})
"""


def write_tree(folder: Path, files: Mapping[str, str]) -> Path:
    """A folder with those files, path -> text; returns it."""
    for path, text in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder


def a_request(root: Path, /, **changes: object) -> BuildRequest:
    """A request for the tree in `root`."""
    plain: dict[str, object] = {
        "id": "b-1",
        "project": "shop",
        "source_digest": tree_digest(root).digest,
        "source_root": root,
        "limits": Limits(memory_bytes=2_000_000_000, processes=4096),
    }
    return BuildRequest(**(plain | changes))  # type: ignore[arg-type]


def a_context(request: BuildRequest) -> Context:
    """What a builder is given for `request`, on a machine whose versions never change."""
    seen, root = scope(request)
    return Context(request, Tree(request.source_root / seen), root, "0123456789ab", VERSIONS)


def a_workshop(home: Path) -> LocalWorkshop:
    """A workshop with the environment of the test run."""
    return LocalWorkshop(Paths(home), os.environ)


async def run_task(spec: ProcessSpec) -> tuple[int, str]:
    """Run a task of the workshop as the runtime would; exit status and output."""
    done = await asyncio.to_thread(
        subprocess.run,
        spec.argv,
        env=dict(spec.env),
        cwd=spec.cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    """An upload."""
    for chunk in chunks:
        yield chunk


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert isinstance(port, int)
        return port


@contextmanager
def running(artifact: Artifact, scratch: Path, *, offline: bool = False) -> Iterator[int]:
    """The artifact as an instance: sandboxed, at `/app`, under an overlay. Yields its port once it answers.

    Parameters:
        offline: package managers find no registry.
    """
    port = free_port()
    own = {"HOST": "127.0.0.1", "HOSTNAME": "127.0.0.1", "PORT": str(port), "HOME": "/tmp"}
    if offline:
        own |= dict.fromkeys(
            ("NPM_CONFIG_REGISTRY", "YARN_NPM_REGISTRY_SERVER"), "http://127.0.0.1:9"
        )
    words = _sandboxed(artifact.served, scratch, {**artifact.env, **own}, artifact.web)
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait_until_it_answers(process, port)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def fetch(
    port: int, path: str = "/", headers: Mapping[str, str] = {}
) -> tuple[int, Mapping[str, str], bytes]:
    """GET `path`: status, headers with lower-case names, body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Accept": "text/html,*/*", **headers})
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, found, answer.read()
    finally:
        connection.close()


def run_command(artifact: Artifact, scratch: Path, command: str) -> tuple[int, str]:
    """Run a command of the manifest, as a release does; exit status and output."""
    place = artifact.workspace or artifact.served
    words = _sandboxed(place, scratch, {**artifact.env, "HOME": "/tmp"}, argv_of(command))
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.returncode, done.stdout


def _sandboxed(
    place: Place, scratch: Path, own: Mapping[str, str], argv: tuple[str, ...]
) -> list[str]:
    uid = confine.owner() or os.getuid()
    sandbox.write_accounts(scratch / "accounts", "app", uid, uid)
    env = {"PATH": place.path, **own}
    mounts = (Mount(place.root, "/app", MountMode.OVERLAY), *place.mounts)
    spec = ProcessSpec("instance", argv, env, f"/app/{place.folder}", sandbox=Sandbox(mounts))
    words = confine.confined(spec, scratch / "accounts", scratch)
    variables = [f"{name}={value}" for name, value in env.items()]
    return ["/bin/sh", "-c", 'exec "$@" 4>/dev/null', "sh", *words, "env", "-i", *variables, *argv]


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline_s = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, f"it ended with {process.returncode}"
            assert time.monotonic() < deadline_s, "it does not listen"
            time.sleep(0.02)
        else:
            return
