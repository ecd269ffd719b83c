"""What people are told of the edge's cache: only where paths are named for it, and whether it is of use."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gantry.engines.database.protocol import Database
from gantry.engines.edge_cache.protocol import CacheNumbers, CacheStatus
from gantry.features.accounts.model import Role
from gantry.features.platform.bodies import StatusBody
from gantry.features.routes.bodies import CacheBody
from gantry.web.access import COOKIE
from gantry.web.app import create_app
from gantry.web.routes import CachePanel
from tests.fakes.machine import EDGE
from tests.support.console_seed import COUNTED, seed
from tests.support.web import START, House, client

_PAGE = "/projects/smart-sign/production"


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> House:
    house = House(database, tmp_path)
    await seed(house, START)
    return house


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with client(create_app(house.services)) as opened:
        opened.cookies.set(COOKIE, await house.session(Role.OWNER))
        yield opened


async def told(http: httpx.AsyncClient) -> dict[str, CacheBody | None]:
    status = StatusBody.model_validate((await http.get("/api/v1/status")).json())
    return {
        f"{each.project}/{each.name}": each.cache
        for project in status.projects
        for each in project.environments
    }


def status(**lately: CacheNumbers) -> CacheStatus:
    total = sum(lately.values(), CacheNumbers())
    return CacheStatus(running=True, limit_bytes=64_000_000, total=total, lately=lately)


async def test_numbers_are_of_one_environment(house: House, http: httpx.AsyncClient) -> None:
    found = await told(http)
    assert {name for name, cache in found.items() if cache is not None} == {"smart-sign/production"}
    cache = found["smart-sign/production"]
    assert cache is not None
    requests = sum(COUNTED.values()) + 212
    assert cache.hits + cache.stale + cache.misses + cache.bypassed == requests
    assert cache.share == (COUNTED["hits"] + COUNTED["stale"]) / requests
    assert (cache.running, cache.entries, cache.trouble) == (True, 212, "")
    assert 0 < cache.size_bytes < cache.used_bytes < cache.limit_bytes == 64_000_000


async def test_the_page_shows_them(house: House, http: httpx.AsyncClient) -> None:
    page = (await http.get(_PAGE)).text
    for words in ("94 %", "11,304", "212 answers", "of 64.0 MB used"):
        assert words in page
    for other in ("/projects/smart-sign/staging", "/projects/landing-page/production"):
        assert 'id="cache"' not in (await http.get(other)).text
    await house.edge_cache.stop()
    page = (await http.get(_PAGE)).text
    assert "It does not run; the instances answer" in page
    assert "64.0 MB" not in page


async def test_nothing_was_asked_yet(house: House, http: httpx.AsyncClient) -> None:
    await house.edge_cache.stop()
    await house.edge_cache.start()
    cache = (await told(http))["smart-sign/production"]
    assert cache is not None
    assert (cache.share, cache.entries, cache.trouble) == (None, 0, "")
    assert "no requests for its paths" in (await http.get(_PAGE)).text


def test_what_a_release_before_had_to_give_up_is_no_trouble() -> None:
    before, now = CacheNumbers(hits=9, evicted=5), CacheNumbers(hits=1, misses=2, entries=2)
    body = CacheBody.of(status(old=before, live=now, other=CacheNumbers(hits=100)), "live", ["old"])
    assert (body.hits, body.misses, body.evicted, body.trouble) == (10, 2, 0, "")


def test_too_little_room_is_said() -> None:
    candidate = CacheNumbers(misses=9, evicted=1_200, entries=1)
    body = CacheBody.of(status(**{"new+live": candidate}), "live", ["new"])
    assert body.trouble == (
        "1,200 answers made room for others too early: 64.0 MB are not enough; set GANTRY_CACHE_MB"
    )


def test_a_product_that_marks_nothing_is_told_how() -> None:
    body = CacheBody.of(status(live=CacheNumbers(misses=1, bypassed=99)), "live", [])
    assert (body.share, "s-maxage=60" in body.trouble) == (0, True)


def test_the_bars_are_whole() -> None:
    numbers = CacheNumbers(hits=2, misses=1, bypassed=1, size_bytes=16_000_000)
    panel = CachePanel(CacheBody.of(status(live=numbers), "live", []), "production")
    assert [(part.begin, part.width) for part in panel.answers] == [
        (0, 50),
        (50, 0),
        (50, 25),
        (75, 25),
    ]
    assert [(part.word, part.width) for part in panel.sizes] == [
        ("production", 25),
        ("others", 0),
        ("free", 75),
    ]
    empty = CachePanel(CacheBody.of(CacheStatus(running=False), "live", []), "production")
    assert {part.width for part in (*empty.answers, *empty.sizes)} == {0}


async def test_limits_and_what_they_refused_are_shown(
    house: House, http: httpx.AsyncClient
) -> None:
    status = StatusBody.model_validate((await http.get("/api/v1/status")).json())
    (body,) = (
        each
        for project in status.projects
        for each in project.environments
        if each.cache is not None
    )
    assert body.live is not None
    house.machine.limited = {body.live.id: {0: 1_234}}
    house.machine.serve(EDGE)
    page = (await http.get(_PAGE)).text
    for words in ("/api/:path*", "100/minute", "cookie session", "1,234"):
        assert words in page
    assert 'id="limits"' not in (await http.get("/projects/smart-sign/staging")).text
