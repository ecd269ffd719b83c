"""Requests of visitors: what is read from the edge's log, which are taken, what is said of them, and who may ask."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from gantry.engines.database.protocol import Database
from gantry.engines.edge.observed import logged_requests
from gantry.engines.edge.protocol import LoggedRequest
from gantry.features.accounts.model import Role
from gantry.features.requests import RequestBody, RequestFilter, reason_of
from gantry.kernel.errors import UserError
from gantry.web.access import COOKIE
from gantry.web.app import create_app
from gantry.web.requests import follow_requests
from tests.support.console_seed import seed
from tests.support.web import START, House, client

_API = "/api/v1/projects/{project}/environments/{environment}/requests"
ROLES = {f"GET {_API}": Role.VIEWER}
AT = _API.format(project="smart-sign", environment="production")
PAGE = "/projects/smart-sign/production/requests"
LOGGED = LoggedRequest(
    at=datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
    host="smart-sign.localhost",
    method="GET",
    path="/api/notes",
    status=200,
    flags="",
    details="via_upstream",
    duration_ms=40,
    size_bytes=512,
    release="r-1",
    cache="",
    attempts=1,
    request_id="q-1",
)
BODY = RequestBody.of(LOGGED, {"r-1": 7})


def test_lines_of_the_log_become_requests() -> None:
    log = (
        '{"at":"2026-01-31T09:30:00.125Z","host":"Shop.Localhost:8443","method":"GET","path":"/a?secret=1","status":503,'
        '"flags":"UF,URX","details":"upstream_reset","duration_ms":12,"bytes":34,"release":"-","answered_by":null,'
        '"cache":null,"attempts":3,"request_id":"q-9"}\n'
        "cut in the middle\n"
        '{"at":"yesterday","host":"x"}\n'
        '{"host":"[::1]:8443"}\n'
    )
    (found,) = logged_requests(log)
    assert found == LoggedRequest(
        at=datetime(2026, 1, 31, 9, 30, 0, 125_000, tzinfo=UTC),
        host="shop.localhost",
        method="GET",
        path="/a",
        status=503,
        flags="UF,URX",
        details="upstream_reset",
        duration_ms=12,
        size_bytes=34,
        release="",
        cache="",
        attempts=3,
        request_id="q-9",
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"status": 404}, ""),
        ({"status": 503, "flags": "UF,URX"}, "no instance took the connection, every try failed"),
        ({"status": 0, "flags": "DC"}, "the visitor went away"),
        ({"status": 404, "flags": "NR,NC", "release": ""}, "there is no such site"),
        (
            {"status": 400, "release": "", "details": "http1.unexpected_underscore"},
            "http1.unexpected underscore",
        ),
        (
            {"status": 429, "details": "local_rate_limited", "reason": "edge.limited"},
            "more often than a limit of gantry.toml allows",
        ),
        (
            {"status": 429, "details": "lua_response", "reason": "edge.too-many-at-once"},
            "the visitor had too many requests open at once",
        ),
        ({"status": 308, "release": "", "details": "direct_response"}, ""),
    ],
)
def test_why_a_request_got_no_answer_of_the_product(
    changes: dict[str, object], reason: str
) -> None:
    assert reason_of(replace(LOGGED, **changes)) == reason  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (RequestFilter(), True),
        (RequestFilter(statuses=("200",)), True),
        (RequestFilter(statuses=("404", "2xx")), True),
        (RequestFilter(statuses=("404", "5xx", "0")), False),
        (RequestFilter(path="/api/*"), True),
        (RequestFilter(path="/api"), False),
        (RequestFilter(method="get"), True),
        (RequestFilter(method="POST"), False),
        (RequestFilter(release=7), True),
        (RequestFilter(release=8), False),
        (RequestFilter(slower_ms=39), True),
        (RequestFilter(slower_ms=40), False),
        (RequestFilter(since=BODY.at), True),
        (RequestFilter(since=BODY.at + timedelta(milliseconds=1)), False),
        (RequestFilter(until=BODY.at), False),
        (RequestFilter(until=BODY.at + timedelta(milliseconds=1)), True),
    ],
)
def test_which_requests_are_wanted(wanted: RequestFilter, takes: bool) -> None:
    assert wanted.takes(BODY) is takes


@pytest.mark.parametrize("status", ["", "abc", "99", "600", "6xx", "-1", "٢٠٠"])
def test_what_is_no_status_is_refused(status: str) -> None:
    with pytest.raises(UserError, match="is no status"):
        RequestFilter(statuses=(status,)).check()


def test_a_request_without_an_answer_is_a_class_of_its_own() -> None:
    nothing = BODY.model_copy(update={"status": 0})
    assert RequestFilter(statuses=("0",)).takes(nothing)
    assert not RequestFilter(statuses=("5xx",)).takes(nothing)


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path)


@pytest.fixture
async def viewer(house: House) -> AsyncIterator[httpx.AsyncClient]:
    await seed(house, START)
    async with house.database.transaction() as session:
        (live, number) = next(
            (row["id"], row["number"])
            for row in await session.rows(
                """SELECT r.id, r.number FROM releases r JOIN environments e ON e.live_release = r.id
                   WHERE e.project = 'smart-sign' AND e.name = 'production'"""
            )
        )
    mine = replace(LOGGED, release=live)
    house.machine.requests += [
        mine,
        replace(LOGGED, host="other.localhost", release="r-of-another", path="/theirs"),
        replace(mine, host="r-abc--smart-sign.localhost", path="/at-its-own-address"),
        replace(mine, release="", status=503, flags="UH", path="/<b>down</b>"),
    ]
    async with client(create_app(house.services), token=await house.token(Role.VIEWER)) as http:
        http.headers["x-live"] = str(number)
        yield http


async def test_requests_of_one_environment_are_read(viewer: httpx.AsyncClient) -> None:
    found = (await viewer.get(AT)).json()
    paths = ["/api/notes", "/at-its-own-address", "/<b>down</b>"]
    assert [body["path"] for body in found] == paths
    numbers = [body["release_number"] for body in found]
    assert numbers == [int(viewer.headers["x-live"])] * 2 + [None]
    assert found[-1]["reason"] == "no instance was healthy"
    assert [body["path"] for body in (await viewer.get(AT, params={"limit": 1})).json()] == paths[
        2:
    ]
    failed = await viewer.get(AT, params={"status": ["5xx", "404"]})
    assert [body["path"] for body in failed.json()] == paths[2:]
    wrong = await viewer.get(AT, params={"status": "abc"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "requests.bad-status")
    unknown = await viewer.get(AT.replace("production", "nowhere"))
    assert unknown.status_code == 404


async def test_followed_requests_are_the_last_ones_and_those_that_come(house: House) -> None:
    await seed(house, START)
    house.machine.requests += [replace(LOGGED, path=f"/{number}") for number in range(3)]
    stream = follow_requests(
        house.services, "smart-sign", "production", RequestFilter(path="/*"), limit=2
    )
    paths = []
    async for event in stream:
        if event is not None:
            assert isinstance(event[1], RequestBody)
            paths.append(event[1].path)
        elif len(paths) == 2:
            house.machine.requests += [replace(LOGGED, path="/new"), replace(LOGGED, path="no")]
        else:
            house.closing = True
    assert paths == ["/1", "/2", "/new"]


@pytest.mark.usefixtures("viewer")
async def test_the_page_shows_and_looks_for_requests(house: House) -> None:
    secret = await house.session(Role.VIEWER)
    async with client(create_app(house.services)) as http:
        http.cookies.set(COOKIE, secret)
        page = await http.get(PAGE)
        assert page.status_code == 200
        assert "/&lt;b&gt;down&lt;/b&gt;" in page.text
        assert "No instance was healthy" in page.text
        only = await http.get(PAGE, params={"status": "2xx", "path": "/api/*"})
        assert "/api/notes" in only.text
        assert "down" not in only.text.split('id="live"')[1]
        nothing = await http.get(PAGE, params={"path": "/none"})
        assert "No such requests are in the log" in nothing.text
