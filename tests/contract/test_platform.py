"""What commands need of the machine: the fake and the real platform keep the same promises."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gantry.app.local import LocalPlatform
from gantry.cli.platform import Platform
from gantry.kernel.errors import ConflictError
from tests.fakes.platform import FakePlatform


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.real)])
def platform(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    if request.param == "fake":
        yield FakePlatform(home=tmp_path / "home")
        return
    monkeypatch.setenv("GANTRY_HOME", str(tmp_path / "home"))
    for name, port in zip(("GANTRY_HTTP_PORT", "GANTRY_HTTPS_PORT"), free_ports(2), strict=True):
        monkeypatch.setenv(name, str(port))
    real = LocalPlatform()
    yield real
    real.stop(lambda _: None)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "gantry.toml").write_text('[project]\nname = "site"\n')
    (folder / "index.html").write_text("hello")
    (folder / ".env").write_text("SECRET=1")
    return folder


def test_detection_gives_reasons(platform: Platform, folder: Path) -> None:
    found = platform.detect(folder)
    assert found.framework
    assert found.reasons


def test_a_folder_with_one_product_is_that_product(platform: Platform, folder: Path) -> None:
    (product,) = platform.products(folder)
    assert product.folder == ""
    assert product.detection.framework
    assert product.detection.reasons


def test_doctor_changes_nothing_and_says_how_to_fix(platform: Platform) -> None:
    findings = platform.doctor()
    assert findings
    assert all(finding.fix for finding in findings if finding.state == "bad")
    assert not platform.settings().home.exists()


def test_start_and_stop(platform: Platform) -> None:
    said: list[str] = []
    platform.start(said.append)
    assert said
    assert platform.api_token()
    with pytest.raises(ConflictError) as caught:
        platform.start(said.append)
    assert caught.value.code == "control.running"
    platform.stop(said.append)
    platform.stop(said.append)  # nothing runs: no error
    platform.start(said.append)  # and everything comes back
