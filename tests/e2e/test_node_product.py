"""A small Node product on the whole platform: quick enough to try every way that things go wrong."""

import json
import os
import shutil
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.platform import Platform, fresh_platform, stopped_platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

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
name = "small"
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
    folder: Path, *, server: str = SERVER, instances: int = 2, more: str = "", note: str = ""
) -> Path:
    """A Node product without dependencies."""
    folder.mkdir(exist_ok=True)
    package = {
        "name": "small",
        "version": "1.0.0",
        "type": "module",
        "scripts": {"start": "node server.mjs"},
    }
    (folder / "package.json").write_text(json.dumps(package))
    lock = {"name": "small", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": package}}
    (folder / "package-lock.json").write_text(json.dumps(lock))
    (folder / "server.mjs").write_text(f"{server}\n// {note}\n")
    (folder / "gantry.toml").write_text(MANIFEST.format(instances=instances, more=more))
    return folder


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with fresh_platform() as up:
        yield up


@pytest.fixture
def project(platform: Platform, tmp_path: Path) -> Iterator[Path]:
    folder = write_project(tmp_path / "small", note=str(tmp_path))
    yield folder
    platform.run("destroy", "--project", "small", "--yes", check=False)


def live(platform: Platform) -> dict[str, object]:
    (project,) = platform.json("status")["projects"]
    (environment,) = project["environments"]
    return dict(environment)


def test_a_strict_client_notices_no_deploy_and_no_rollback(
    platform: Platform, project: Path
) -> None:
    platform.run("deploy", str(project))
    with platform.strict_client("small.localhost", connections=20, pause_s=0.005) as tally:
        for number in range(3):
            write_project(project, note=f"v{number}")
            platform.run("deploy", str(project))
            platform.run("rollback", "--project", "small")
    assert tally["failures"] == 0, tally
    assert tally["requests"] > 500
    assert len(tally["releases"]) == 4
    status = live(platform)
    assert status["reached"]["release"] == status["live"]["id"]  # type: ignore[index]


def test_a_strict_client_notices_no_killed_instance(platform: Platform, project: Path) -> None:
    write_project(project, instances=3)
    platform.run("deploy", str(project))
    chosen = iter(range(10**6))
    with platform.strict_client("small.localhost", connections=20, pause_s=0.005) as tally:
        for _ in range(8):
            pids = [one["pid"] for one in live(platform)["instances"] if one["pid"]]  # type: ignore[attr-defined]
            os.kill(pids[next(chosen) % len(pids)], signal.SIGKILL)
            time.sleep(1)
    assert tally["failures"] == 0, tally
    assert tally["requests"] > 500


def test_a_killed_control_plane_costs_nothing(platform: Platform, project: Path) -> None:
    platform.run("deploy", str(project))
    with platform.strict_client("small.localhost", connections=10, pause_s=0.01) as tally:
        for number, delay_s in enumerate((0.05, 0.3, 0.6, 1.0, 1.5)):
            write_project(project, note=f"kill {number}")
            platform.run("deploy", str(project), "--detach")
            time.sleep(delay_s)
            os.kill(platform.control_pid(), signal.SIGKILL)
            time.sleep(0.2)
            platform.run("up")
            ended = wait_until(lambda: _ended(platform), timeout_s=60, what="the deploy's end")
            assert ended["state"] == "succeeded", ended["error"]
    assert tally["failures"] == 0, tally


def _ended(platform: Platform) -> dict[str, object] | None:
    deploy: dict[str, object] = live(platform)["deploy"]  # type: ignore[assignment]
    return deploy if deploy["state"] not in ("queued", "active") else None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"server": "process.exit(3);"}, "start.crash-loop"),
        ({"server": "setInterval(() => {}, 1000);"}, "health.never-passed"),
        ({"server": SERVER.replace("'/bad'", "'/'")}, "smoke.failed"),
        ({"more": '[release]\ncommand = "node -e process.exit(7)"'}, "migrate.failed"),
        ({"more": '[release]\ncommand = "sleep 60"\ntimeout = "1s"'}, "migrate.timeout"),
        ({"more": '[test]\ncommand = "node -e process.exit(1)"'}, "test.failed"),
        ({"more": '[variables]\nrequired = ["API_KEY"]'}, "variable.missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_release_ends_in_one_clear_error_and_visitors_notice_nothing(
    platform: Platform, project: Path, change: dict[str, str], code: str
) -> None:
    platform.run("deploy", str(project))
    good = live(platform)["live"]
    write_project(project, note="bad", **change)  # type: ignore[arg-type]
    with platform.strict_client("small.localhost", connections=5, pause_s=0.02) as tally:
        failed = platform.run("deploy", str(project), check=False)
    assert failed.returncode != 0
    assert f"error[{code}]" in failed.stderr, failed.stdout + failed.stderr
    assert "hint" in failed.stderr
    assert tally["failures"] == 0, tally
    assert live(platform)["live"] == good


def test_a_stream_outlives_the_switch_and_is_told_to_reconnect(
    platform: Platform, project: Path
) -> None:
    platform.run("deploy", str(project))
    old = live(platform)["live"]["id"]  # type: ignore[index]
    seen: list[tuple[float, str]] = []

    def listen() -> None:
        headers = {"host": "small.localhost", "accept": "text/event-stream"}
        with (
            httpx.Client(verify=False, timeout=30) as client,
            client.stream(
                "GET",
                f"https://127.0.0.1:{platform.https_port}/events",
                headers=headers,
                extensions={"sni_hostname": "small.localhost"},
            ) as stream,
        ):
            for line in stream.iter_lines():
                seen.append((time.monotonic(), line))

    listener = threading.Thread(target=listen)
    listener.start()
    wait_until(lambda: any(old in line for _, line in seen), what="the first event")
    # Kept warm for longer than streams may stay: the deadline holds all the same.
    write_project(project, note="next")
    platform.run("deploy", str(project))
    switched = time.monotonic()
    listener.join(timeout=30)
    assert not listener.is_alive(), "the stream has a deadline"
    assert seen[-1][0] - switched > 2, "it was not cut at once"
    assert any("reconnect" in line for _, line in seen[-4:]), "and it was told"


def test_a_websocket_outlives_the_switch_and_is_closed_in_order(
    platform: Platform, project: Path
) -> None:
    platform.run("deploy", str(project))
    old = live(platform)["live"]["id"]  # type: ignore[index]
    context = ssl.create_default_context(cafile=platform.root_file)
    beats: list[float] = []
    with connect(
        platform.url("small.localhost", "/socket").replace("https", "wss"),
        sock=socket.create_connection(("127.0.0.1", platform.https_port)),
        ssl=context,
    ) as client:
        assert client.recv(timeout=10) == old
        with ThreadPoolExecutor(1) as threads:
            write_project(project, note="next")
            deployed = threads.submit(platform.run, "deploy", str(project))
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    client.recv(timeout=60)
                    beats.append(time.monotonic())
            deployed.result()
    switched = live(platform)
    assert switched["live"]["id"] != old  # type: ignore[index]
    assert closed.value.rcvd is not None, "it was closed by the product, not cut"
    assert closed.value.rcvd.code == 1012
    assert len(beats) > 20, "and went on after the switch, until its deadline"


def test_everything_is_gone_after_down(tmp_path: Path) -> None:
    with stopped_platform() as platform:
        platform.run("up")
        platform.run("deploy", str(write_project(tmp_path / "small")))
        platform.run("down")
        wait_until(lambda: not _processes_of(platform), what="the end of every process")
        platform.run("up")
        wait_until(
            lambda: (live(platform)["reached"] or {}).get("status") == 200,  # type: ignore[attr-defined]
            what="the product's return",
        )
        shutil.rmtree(tmp_path / "small")


def _processes_of(platform: Platform) -> list[Path]:
    """Processes that name the platform's home on their command line or in their environment."""
    home = str(platform.home).encode()
    return [
        path
        for path in Path("/proc").glob("[0-9]*")
        if path.name != str(os.getpid())
        and (home in _read(path / "cmdline") or home in _read(path / "environ"))
    ]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with fresh_platform() as first, stopped_platform() as second:
        second.https_port = first.https_port
        refused = second.run("up", check=False)
        assert refused.returncode == 2
        assert "edge.port-taken" in refused.stderr
        assert str(first.https_port) in refused.stderr
        wait_until(lambda: not _processes_of(second), what="a half start leaves nothing behind:")
        assert "GANTRY_HTTPS_PORT" in refused.stderr
