"""What people and machines do wrong: one clear message with a code, nothing lost, nothing left behind."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_node_product import write_project
from tests.support.platform import Platform, fresh_platform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
EATS_MEMORY = 'node -e "const a=[];for(;;)a.push(Buffer.alloc(9e6,1))"'


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with fresh_platform() as up:
        yield up


@pytest.fixture
def project(platform: Platform, tmp_path: Path) -> Iterator[Path]:
    folder = write_project(tmp_path / "small", note=str(tmp_path))
    platform.run("deploy", str(folder))
    yield folder
    platform.run("destroy", "--project", "small", "--yes", check=False)


def with_build(folder: Path, lines: str) -> None:
    """Change the project's `[build]` section, and its tree."""
    write_project(folder, note=lines)
    manifest = folder / "gantry.toml"
    manifest.write_text(manifest.read_text().replace("[build]\n", f"[build]\n{lines}\n"))


def refused(platform: Platform, code: str, *arguments: str) -> str:
    """The command fails with this code, and what is live still is; what it said."""
    before = live(platform)
    done = platform.run(*arguments, check=False)
    assert done.returncode not in (0, None), done.stdout
    assert f"error[{code}]" in done.stderr, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert live(platform) == before
    return done.stderr


def live(platform: Platform) -> str:
    (project,) = platform.json("status")["projects"]
    (environment,) = project["environments"]
    assert environment["reached"]["status"] == 200
    assert environment["reached"]["release"] == environment["live"]["id"]
    release: str = environment["live"]["id"]
    return release


@pytest.mark.parametrize(
    ("build", "code"),
    [
        ("command = \"sh -c 'echo no such luck; exit 3'\"", "build.command-failed"),
        ('command = "sleep 300"\ntimeout = "2s"', "build.timeout"),
        (f"command = '''{EATS_MEMORY}'''\nmemory = \"256 MB\"", "build.out-of-memory"),
    ],
    ids=["fails", "never ends", "eats memory"],
)
def test_a_bad_build(platform: Platform, project: Path, build: str, code: str) -> None:
    with_build(project, build)
    said = refused(platform, code, "deploy", str(project))
    assert "hint" in said
    left = [path.name for path in (platform.home / "builds").glob("*")]
    assert left == [], "the build's folder is gone"


def test_a_broken_manifest_is_refused_before_anything_is_sent(
    platform: Platform, project: Path
) -> None:
    manifest = project / "gantry.toml"
    manifest.write_text(manifest.read_text().replace("instances = 2", 'instance = "two"'))
    said = refused(platform, "manifest.invalid", "deploy", str(project))
    assert "gantry.toml:8" in said
    assert "instances" in said, "the nearest valid name"


def test_a_corrupt_artifact_is_never_started(platform: Platform, project: Path) -> None:
    write_project(project, note="second")
    platform.run("deploy", str(project))
    (release,) = [one for one in platform.json("releases", "--project", "small") if one["live"]]
    os.kill(platform.control_pid(), signal.SIGKILL)
    time.sleep(0.2)
    artifacts = platform.home / "artifacts"
    damaged = [path for path in artifacts.rglob("server.mjs") if "second" in path.read_text()]
    assert len(damaged) == 1
    damaged[0].chmod(0o644)
    damaged[0].write_text(damaged[0].read_text().replace("second", "sEcond"))
    platform.run("up")
    # The running instances are not touched; the same tree is built anew, not taken from the shelf.
    assert live(platform) == release["id"]
    platform.run("deploy", str(project))
    again = [one for one in platform.json("releases", "--project", "small") if one["live"]]
    assert again[0]["build"] != release["build"]
