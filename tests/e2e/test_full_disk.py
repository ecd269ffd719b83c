"""A disk of our own that is full: nothing that serves stops, commands say what is wrong, and all is well once there is room."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gantry.drill.scratch import Disk, mounted_disk
from tests.support.platform import Platform, free_ports, wait_until
from tests.support.product import Product
from tests.support.suite import slow_teardown

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
@slow_teardown("ends a platform in order")
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
    product = Product(platform, tmp_path / "small", "small")
    product.write()
    product.deploy()
    first = product.live()

    disk.fill(leave_bytes=300_000_000)
    product.write(note="no room for a build")
    said = product.refused("build.low-disk", "deploy", str(product.folder))
    # Less than that by what was written since.
    assert re.search(r"(299\.[5-9]|300\.0) MB of disk are free", said), said
    assert "hint" in said

    disk.fill()
    with product.visitors(connections=5, pause_s=0.01) as tally:
        wait_until(lambda: not reserve(platform).exists(), what="the reserve to be given up")
        # The end of a deploy is recorded in what the reserve held.
        product.refused("build.low-disk", "deploy", str(product.folder))
        disk.fill()  # with the reserve gone there is nothing left
        long = f"LONG={'x' * 20_000}"
        words = product.run("env", "set", long, check=False)
        assert words.returncode == 3, words.stderr
        assert "error[state.disk-full]" in words.stderr
        assert "No space left on device" in words.stderr
        # A deploy is refused in words, or accepted where a page of the database had room for it: then it waits.
        detached = product.deploy("--detach", check=False)
        assert detached.returncode == 0 or "disk-full]" in detached.stderr, detached.stderr
        assert product.live() == first
    assert tally["failures"] == 0, tally

    disk.make_room()
    wait_until(reserve(platform).exists, what="a reserve for the next time")
    product.deploy()
    assert product.live() != first


def test_a_disk_that_a_build_fills(platform: Platform, disk: Disk, tmp_path: Path) -> None:
    product = Product(platform, tmp_path / "small", "small")
    product.write(note="good")
    product.deploy()
    product.with_build('command = "dd if=/dev/zero of=big bs=1M"\nmemory = "8 GB"')
    said = product.refused("build.disk-full", "deploy", str(product.folder))
    assert "Nothing has changed for visitors" in said
    # What the build had written is gone with it.
    wait_until(lambda: disk.free_bytes() > 2_500_000_000, what="the disk's room")
    product.write(note="good again")
    product.deploy()
    assert not any((platform.home / "builds").iterdir())
