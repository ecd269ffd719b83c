"""A small Node product on the whole platform: quick enough to try every way that things go wrong."""

import os
import signal
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.platform import Platform, stopped_platform, wait_until
from tests.support.product import SERVER, Product

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_strict_client_notices_no_deploy_and_no_rollback(
    product: Product,
) -> None:
    product.deploy()
    with product.visitors(connections=20, pause_s=0.005) as tally:
        for number in range(3):
            product.write(note=f"v{number}")
            product.deploy()
            product.run("rollback")
    assert tally["failures"] == 0, tally
    assert tally["requests"] > 500
    assert len(tally["releases"]) == 4
    product.live()


def test_a_strict_client_notices_no_killed_instance(product: Product) -> None:
    product.write(instances=3)
    product.deploy()
    chosen = iter(range(10**6))
    with product.visitors(connections=20, pause_s=0.005) as tally:
        for _ in range(8):
            pids = [one["pid"] for one in product.environment()["instances"] if one["pid"]]
            os.kill(pids[next(chosen) % len(pids)], signal.SIGKILL)
            time.sleep(1)
    assert tally["failures"] == 0, tally
    assert tally["requests"] > 500


def test_a_killed_control_plane_costs_nothing(product: Product) -> None:
    product.deploy()
    with product.visitors(connections=10, pause_s=0.01) as tally:
        for number, delay_s in enumerate((0.05, 0.3, 0.6, 1.0, 1.5)):
            product.write(note=f"kill {number}")
            product.deploy("--detach")
            time.sleep(delay_s)
            os.kill(product.platform.control_pid(), signal.SIGKILL)
            time.sleep(0.2)
            product.platform.run("up")
            ended = wait_until(lambda: _ended(product), timeout_s=60, what="the deploy's end")
            assert ended["state"] == "succeeded", ended["error"]
    assert tally["failures"] == 0, tally


def _ended(product: Product) -> dict[str, object] | None:
    deploy: dict[str, object] = product.environment()["deploy"]
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
    good: Product, change: dict[str, str], code: str
) -> None:
    before = good.live()
    good.write(note="bad", **change)
    with good.visitors(connections=5, pause_s=0.02) as tally:
        failed = good.deploy(check=False)
    assert failed.returncode != 0
    assert f"error[{code}]" in failed.stderr, failed.stdout + failed.stderr
    assert "hint" in failed.stderr
    assert tally["failures"] == 0, tally
    assert good.live() == before


def test_a_stream_outlives_the_switch_and_is_told_to_reconnect(
    product: Product,
) -> None:
    platform = product.platform
    product.deploy()
    old = product.live()
    seen: list[tuple[float, str]] = []

    def listen() -> None:
        headers = {"host": product.host, "accept": "text/event-stream"}
        with (
            httpx.Client(verify=False, timeout=30) as client,
            client.stream(
                "GET",
                f"https://127.0.0.1:{platform.https_port}/events",
                headers=headers,
                extensions={"sni_hostname": product.host},
            ) as stream,
        ):
            for line in stream.iter_lines():
                seen.append((time.monotonic(), line))

    listener = threading.Thread(target=listen)
    listener.start()
    wait_until(lambda: any(old in line for _, line in seen), what="the first event")
    # Kept warm for longer than streams may stay: the deadline holds all the same.
    product.write(note="next")
    product.deploy()
    switched = time.monotonic()
    listener.join(timeout=30)
    assert not listener.is_alive(), "the stream has a deadline"
    assert seen[-1][0] - switched > 2, "it was not cut at once"
    assert any("reconnect" in line for _, line in seen[-4:]), "and it was told"


def test_a_websocket_outlives_the_switch_and_is_closed_in_order(
    product: Product,
) -> None:
    platform = product.platform
    product.deploy()
    old = product.live()
    context = ssl.create_default_context(cafile=platform.root_file)
    beats: list[float] = []
    with connect(
        platform.url(product.host, "/socket").replace("https", "wss"),
        sock=socket.create_connection(("127.0.0.1", platform.https_port)),
        ssl=context,
    ) as client:
        assert client.recv(timeout=10) == old
        with ThreadPoolExecutor(1) as threads:
            product.write(note="next")
            deployed = threads.submit(product.deploy)
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    client.recv(timeout=60)
                    beats.append(time.monotonic())
            deployed.result()
    assert product.live() != old
    assert closed.value.rcvd is not None, "it was closed by the product, not cut"
    assert closed.value.rcvd.code == 1012
    assert len(beats) > 20, "and went on after the switch, until its deadline"


def test_everything_is_gone_after_down(tmp_path: Path) -> None:
    with stopped_platform() as platform:
        platform.run("up")
        product = Product(platform, tmp_path / "product", "small")
        product.write()
        product.deploy()
        platform.run("down")
        wait_until(lambda: not _processes_of(platform), what="the end of every process")
        platform.run("up")
        wait_until(
            lambda: (product.environment()["reached"] or {}).get("status") == 200,
            what="the product's return",
        )


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


def test_a_taken_port_is_named(platform: Platform) -> None:
    with stopped_platform() as second:
        second.https_port = platform.https_port
        refused = second.run("up", check=False)
        assert refused.returncode == 2
        assert "edge.port-taken" in refused.stderr
        assert str(platform.https_port) in refused.stderr
        wait_until(lambda: not _processes_of(second), what="a half start leaves nothing behind:")
        assert "GANTRY_HTTPS_PORT" in refused.stderr
