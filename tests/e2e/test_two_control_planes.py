"""Two real control planes on one Postgres: one leads; when it is killed the other acts within ten seconds."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.platform import Platform, stopped_platform, wait_until
from tests.support.suite import slow_teardown

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TAKEOVER_TIMEOUT_S = 10.0


@pytest.fixture
@slow_teardown("ends two platforms in order")
def pair(postgres_socket: str) -> Iterator[tuple[Platform, Platform]]:
    """The second has the keys of the first: what is sealed in their database is for both."""
    with psycopg.connect(f"host={postgres_socket} user=postgres", autocommit=True) as admin:
        admin.execute("CREATE DATABASE two_control_planes")
    shared = {
        "GANTRY_DATABASE_URL": f"host={postgres_socket} user=postgres dbname=two_control_planes"
    }
    with stopped_platform(**shared) as first, stopped_platform(**shared) as second:
        first.run("up")
        shutil.copytree(first.home / "keys", second.home / "keys")
        second.run("up")
        yield first, second


def leads(platform: Platform) -> bool:
    """Whether it says so itself."""
    control = platform.json("status")["parts"][0]
    assert control["name"] == "control plane"
    return "another one leads" not in control["detail"]


def test_the_other_acts_when_the_leader_is_killed(
    pair: tuple[Platform, Platform], tmp_path: Path
) -> None:
    first, second = pair
    wait_until(lambda: leads(first), what="the first to lead")
    assert not leads(second)
    os.kill(first.control_pid(), signal.SIGKILL)
    wait_until(lambda: leads(second), timeout_s=TAKEOVER_TIMEOUT_S, what="the second to lead")
    project = tmp_path / "site"
    project.mkdir()
    (project / "index.html").write_text("<h1>hello</h1>")
    second.run("init", str(project), "--name", "site")
    second.run("deploy", str(project))
    first.run("up")
    assert leads(second)
    assert not leads(first), "who comes back does not push the other away"
