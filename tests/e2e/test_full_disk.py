"""A disk of our own that is full: nothing that serves stops, commands say what is wrong, and all is well once there is room."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gantry.drill.scratch import Disk, mounted_disk
from tests.e2e.test_bad_input import live, refused, with_build
from tests.e2e.test_node_product import write_project
from tests.support.platform import Platform, free_ports, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def disk() -> Iterator[Disk]:
    with mounted_disk() as mounted:
        if mounted is None:
            pytest.skip("this user or this machine mounts nothing")
        yield mounted


@pytest.fixture(scope="module")
def platform(disk: Disk) -> Iterator[Platform]:
    http_port, https_port = free_ports(2)
    platform = Platform(disk.folder / "home", http_port, https_port)
    try:
        platform.run("up")
        yield platform
    finally:
        platform.run("down", check=False)


def reserve(platform: Platform) -> Path:
    return platform.home / "reserve"


def test_a_full_disk(platform: Platform, disk: Disk, tmp_path: Path) -> None:
    project = write_project(tmp_path / "small")
    platform.run("deploy", str(project))
    first = live(platform)

    disk.fill(leave_bytes=300_000_000)
    write_project(project, note="no room for a build")
    said = refused(platform, "build.low-disk", "deploy", str(project))
    assert "300.0 MB of disk are free" in said
    assert "hint" in said

    disk.fill()
    with platform.strict_client("small.localhost", connections=5, pause_s=0.01) as tally:
        wait_until(lambda: not reserve(platform).exists(), what="the reserve to be given up")
        # The end of a deploy is recorded in what the reserve held.
        refused(platform, "build.low-disk", "deploy", str(project))
        disk.fill()  # with the reserve gone there is nothing left
        long = f"LONG={'x' * 20_000}"
        words = platform.run("env", "set", "--project", "small", long, check=False)
        assert words.returncode == 3, words.stderr
        assert "error[state.disk-full]" in words.stderr
        assert "No space left on device" in words.stderr
        # A deploy is refused in words, or accepted where a page of the database had room for it: then it waits.
        detached = platform.run("deploy", "--detach", str(project), check=False)
        assert detached.returncode == 0 or "disk-full]" in detached.stderr, detached.stderr
        assert live(platform) == first
    assert tally["failures"] == 0, tally

    disk.make_room()
    wait_until(reserve(platform).exists, what="a reserve for the next time")
    platform.run("deploy", str(project))
    assert live(platform) != first


def test_a_disk_that_a_build_fills(platform: Platform, disk: Disk, tmp_path: Path) -> None:
    project = write_project(tmp_path / "small", note="good")
    platform.run("deploy", str(project))
    with_build(project, 'command = "dd if=/dev/zero of=big bs=1M"\nmemory = "8 GB"')
    said = refused(platform, "build.disk-full", "deploy", str(project))
    assert "Nothing has changed for visitors" in said
    # What the build had written is gone with it.
    wait_until(lambda: disk.free_bytes() > 2_500_000_000, what="the disk's room")
    write_project(project, note="good again")
    platform.run("deploy", str(project))
    assert not any((platform.home / "builds").iterdir())
