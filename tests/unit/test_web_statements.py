"""What a look at the platform asks of the database: as much for many deploys and environments as for one, and nothing
when nobody looks."""

import asyncio
from pathlib import Path

import pytest

from gantry.engines.database.protocol import Database
from gantry.features.accounts.model import Role
from gantry.features.platform.bodies import StatusBody
from gantry.kernel.clock import ManualClock
from gantry.web import deploy_events
from gantry.web.access import COOKIE
from gantry.web.app import create_app
from gantry.web.streams import Masks
from tests.support.console_seed import crowd, seed
from tests.support.statements import CountingDatabase
from tests.support.web import START, House, client

# Statements, who the caller is included.
LIMITS = {
    # Names and their certificates, and commands that failed, are among what needs attention.
    "/": 12,
    "/projects/team-0/production": 8,
    "/projects/team-0/production/logs": 8,
    "/api/v1/status": 8,
    "/api/v1/status?probe=true": 9,
    "/api/v1/projects": 8,
    "/api/v1/projects/team-0": 8,
    "/api/v1/projects/team-0/environments/production/deploys?limit=100": 4,
    "/api/v1/projects/team-0/environments/production/releases?limit=200": 4,
    "/api/v1/projects/team-0/environments/production/variables": 3,
    "/api/v1/projects/team-0/environments/production/rollout": 5,
}


@pytest.fixture
def counting(database: Database) -> CountingDatabase:
    return CountingDatabase(database)


@pytest.fixture
def house(counting: CountingDatabase, tmp_path: Path) -> House:
    return House(counting, tmp_path)


async def _counts(house: House, counting: CountingDatabase, *paths: str) -> dict[str, int]:
    cookie = await house.session(Role.OWNER)
    found = {}
    async with client(create_app(house.services)) as http:
        http.cookies.set(COOKIE, cookie)
        for path in paths:
            counting.statements.clear()
            answer = await http.get(path)
            assert answer.status_code == 200, answer.text
            found[path] = len(counting.statements)
    return found


@pytest.mark.parametrize(
    ("projects", "environments", "deploys"), [(1, 1, 1), (1, 1, 20), (1, 6, 2), (3, 2, 2)]
)
async def test_a_look_costs_the_same_however_much_there_is(
    house: House, counting: CountingDatabase, projects: int, environments: int, deploys: int
) -> None:
    await crowd(house, START, projects=projects, environments=environments, deploys=deploys)
    counts = await _counts(house, counting, *LIMITS)
    assert {path: count for path, count in counts.items() if count > LIMITS[path]} == {}


async def test_a_deploy_costs_the_same_however_many_wait(
    house: House, counting: CountingDatabase
) -> None:
    ids = await seed(house, START)
    paths = [
        path
        for name in ("running", "failed", "done")
        for path in (f"/deploys/{ids[name]}", f"/api/v1/deploys/{ids[name]}")
    ]
    for _ in range(3):
        await house.platform.deploys.promote(
            "smart-sign", "production", from_environment="staging", by="ada"
        )
    queued = await house.platform.deploys.promote(
        "smart-sign", "production", from_environment="staging", by="ada"
    )
    paths += [f"/deploys/{queued.id}", f"/api/v1/deploys/{queued.id}"]
    counts = await _counts(house, counting, *paths)
    assert max(counts.values()) <= 4, counts


async def test_an_empty_platform_costs_two(house: House, counting: CountingDatabase) -> None:
    assert await _counts(house, counting, "/", "/api/v1/status") == {"/": 2, "/api/v1/status": 2}


async def test_everything_is_shown_of_a_crowd(house: House) -> None:
    await crowd(house, START, projects=2, environments=3, deploys=2)
    async with client(create_app(house.services), token=await house.token(Role.VIEWER)) as http:
        status = StatusBody.model_validate((await http.get("/api/v1/status")).json())
    assert [project.name for project in status.projects] == ["team-0", "team-1"]
    for project in status.projects:
        assert [body.name for body in project.environments] == [
            "production",
            "preview-0",
            "staging",
        ]
        for body in project.environments:
            assert body.live is not None
            assert body.candidate is not None
            assert body.deploy is not None
            assert (body.live.number, body.candidate.release_number) == (2, 3)
            assert [instance.release_number for instance in body.instances] == [3, 2]
            assert (body.deploy.state, body.deploy.release_number) == ("active", 3)
            assert body.services == ("postgres",)


async def test_nothing_is_asked_when_nobody_looks(house: House, counting: CountingDatabase) -> None:
    ids = await seed(house, START)
    counting.statements.clear()
    app = create_app(house.services)
    async with client(app):
        await _pass_an_hour(house)
    assert counting.statements == []
    stream = deploy_events.follow(house.services, Masks(house.services), ids["running"])
    while await anext(stream) is not None:
        pass
    assert 0 < len(counting.statements) <= 8
    await stream.aclose()  # the tab was closed
    counting.statements.clear()
    await _pass_an_hour(house)
    assert counting.statements == []


async def _pass_an_hour(house: House) -> None:
    assert isinstance(house.clock, ManualClock)
    for _ in range(60):
        house.clock.advance(60)
        await asyncio.sleep(0)
