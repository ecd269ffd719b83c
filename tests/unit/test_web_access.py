"""Who may do what over HTTP."""

from importlib import import_module
from pathlib import Path

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.routing import Mount

from gantry.engines.database.protocol import Database
from gantry.features.accounts.model import Caller, Role
from gantry.kernel.clock import ManualClock
from gantry.web.access import (
    COOKIE,
    MAX_CALLERS,
    MAX_FAILURES,
    Anyone,
    Attempts,
    Needs,
)
from gantry.web.app import create_app
from gantry.web.errors import TooManyError
from tests.support.web import CONSOLE, House, all_routes, client

_TESTS = Path(__file__).parents[1]
_DIGEST = "a" * 64
_ENV = "/api/v1/projects/smart-sign/environments/production"

# Endpoints of the API with the role that each needs. A new endpoint is missing until somebody has thought: here, or as
# `ROLES` in the tests of its noun.
ROLES = {
    "GET /api/v1/health": None,
    "GET /api/openapi.json": None,
    "GET /api/v1/status": Role.VIEWER,
    "POST /api/v1/shutdown": Role.OWNER,
    "GET /api/v1/projects": Role.VIEWER,
    "GET /api/v1/projects/{project}": Role.VIEWER,
    "DELETE /api/v1/projects/{project}": Role.OWNER,
    "DELETE /api/v1/projects/{project}/environments/{environment}": Role.OWNER,
    "GET /api/v1/projects/{project}/environments/{environment}/releases": Role.VIEWER,
    "PUT /api/v1/sources/{digest}": Role.DEVELOPER,
    "GET /api/v1/sources/{digest}": Role.VIEWER,
    "HEAD /api/v1/sources/{digest}": Role.VIEWER,
    "POST /api/v1/projects/{project}/environments/{environment}/deploys": Role.DEVELOPER,
    "GET /api/v1/projects/{project}/environments/{environment}/deploys": Role.VIEWER,
    "POST /api/v1/projects/{project}/environments/{environment}/promote": Role.DEVELOPER,
    "POST /api/v1/projects/{project}/environments/{environment}/rollback": Role.DEVELOPER,
    "GET /api/v1/projects/{project}/environments/{environment}/rollout": Role.VIEWER,
    "POST /api/v1/projects/{project}/environments/{environment}/rollout/{wish}": Role.DEVELOPER,
    "POST /api/v1/projects/{project}/environments/{environment}/purge": Role.DEVELOPER,
    "POST /api/v1/projects/{project}/environments/{environment}/plan": Role.DEVELOPER,
    "GET /api/v1/deploys/{deploy}": Role.VIEWER,
    "POST /api/v1/deploys/{deploy}/cancel": Role.DEVELOPER,
    "GET /api/v1/deploys/{deploy}/events": Role.VIEWER,
    "GET /api/v1/projects/{project}/environments/{environment}/variables": Role.VIEWER,
    "PATCH /api/v1/projects/{project}/environments/{environment}/variables": Role.DEVELOPER,
    "POST /api/v1/projects/{project}/environments/{environment}/variables/copy": Role.DEVELOPER,
    "GET /api/v1/projects/{project}/environments/{environment}/variables/diff": Role.DEVELOPER,
    "POST /api/v1/projects/{project}/environments/{environment}/redeploy": Role.DEVELOPER,
    "POST /api/v1/projects/{project}/environments/{environment}/restart": Role.DEVELOPER,
    "GET /api/v1/projects/{project}/environments/{environment}/variables/provided": Role.VIEWER,
    "GET /api/v1/projects/{project}/environments/{environment}/logs": Role.VIEWER,
    "POST /api/v1/login-links": Role.VIEWER,
    "GET /api/v1/tokens": Role.OWNER,
    "POST /api/v1/tokens": Role.OWNER,
    "DELETE /api/v1/tokens/{token}": Role.OWNER,
    "GET /api/v1/audit": Role.OWNER,
    "GET /api/v1/capabilities": Role.VIEWER,
}


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path)


def _needed(dependant: Dependant) -> set[Role | None]:
    found: set[Role | None] = set()
    if isinstance(dependant.call, Needs):
        found.add(dependant.call.role)
    if isinstance(dependant.call, Anyone):
        found.add(None)
    for below in dependant.dependencies:
        found |= _needed(below)
    return found


def _stated() -> dict[str, Role | None]:
    """The role of every endpoint, as tests state it."""
    found: dict[str, Role | None] = {}
    for file in sorted(_TESTS.glob("*/test_*.py")):
        if "\nROLES = {" in file.read_text():
            module = import_module(f"tests.{file.parent.name}.{file.stem}")
            assert not found.keys() & module.ROLES.keys(), f"{file.stem} states a role again"
            found |= module.ROLES
    return found


async def test_every_route_says_whom_it_serves(house: House) -> None:
    declared, sockets = {}, set()
    for route in all_routes(create_app(house.services)):
        if isinstance(route.original_route, Mount):
            assert route.path == "/static", (
                "only files that are no secret are served without a role"
            )
            continue
        if isinstance(route.original_route, APIWebSocketRoute):
            sockets.add(route.path)
            continue
        assert isinstance(route.original_route, APIRoute), route
        needed = _needed(route.dependant)
        assert len(needed) == 1, f"{route.path} must declare exactly one role or PUBLIC"
        for method in route.methods or ():
            declared[f"{method} {route.path}"] = next(iter(needed))
    assert {name: role for name, role in declared.items() if " /api/" in name} == _stated()
    # What needs of a browser cannot be had of a WebSocket: each asks by itself, and has a test that says so.
    assert sockets == {"/api/v1/projects/{project}/environments/{environment}/runs/{run}/hold"}


async def test_the_console_is_closed_apart_from_the_login(house: House) -> None:
    open_pages = {
        route.path or ""
        for route in all_routes(create_app(house.services))
        if isinstance(route.original_route, APIRoute) and None in _needed(route.dependant)
    }
    assert {path for path in open_pages if not path.startswith("/api/")} == {"/login", "/logout"}


async def test_each_role_may_do_what_those_before_it_may(house: House) -> None:
    app = create_app(house.services)
    expected = {None: (401, 401, 401), Role.VIEWER: (200, 403, 403),
                Role.DEVELOPER: (200, 404, 403), Role.OWNER: (200, 404, 200)}  # fmt: skip
    for role, statuses in expected.items():
        token = await house.token(role) if role else ""
        async with client(app, token=token) as http:
            answers = [
                await http.get("/api/v1/projects"),
                await http.post("/api/v1/deploys/dep-none/cancel"),
                await http.get("/api/v1/audit"),
            ]
        assert tuple(answer.status_code for answer in answers) == statuses, role


async def test_a_refusal_says_how_to_get_in(house: House) -> None:
    async with client(create_app(house.services)) as http:
        answer = await http.get("/api/v1/projects")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["error"]["code"] == "access.unknown"
    assert "gantry open" in answer.json()["error"]["hint"]


async def test_a_token_that_has_expired_opens_nothing(house: House) -> None:
    token = await house.token(Role.OWNER)
    house.clock.advance(86_401)
    async with client(create_app(house.services), token=token) as http:
        assert (await http.get("/api/v1/projects")).status_code == 401


async def test_a_login_link_works_once(house: House) -> None:
    link, _ = await house.accounts.login_link(by=Caller("ada", Role.OWNER))
    same_site = {"Origin": CONSOLE, "Sec-Fetch-Site": "same-origin"}
    async with client(create_app(house.services)) as http:
        # Looking at the link, as a chat's preview does, does not use it up.
        assert (await http.get("/login", params={"token": link})).status_code == 200
        first = await http.post("/login", data={"token": link}, headers=same_site)
        assert first.status_code == 303
        cookie = first.headers["set-cookie"]
        assert cookie.startswith(f"{COOKIE}=")
        assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=lax", "Path=/"))
        assert "Domain" not in cookie
        assert (await http.get("/")).status_code == 200
        second = await http.post("/login", data={"token": link}, headers=same_site)
        assert second.status_code == 403
        assert "gantry open" in second.text


async def test_logging_out_ends_the_session_itself(house: House) -> None:
    session = await house.session(Role.OWNER)
    async with client(create_app(house.services)) as http:
        http.cookies.set(COOKIE, session)
        answer = await http.post("/logout", headers={"Sec-Fetch-Site": "same-origin"})
        assert answer.status_code == 303
        http.cookies.set(COOKIE, session)
        assert (await http.get("/")).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        # A product's own site is a neighbour: the same site, but not the same origin.
        {"Sec-Fetch-Site": "same-site", "Origin": "https://smart-sign.localhost:8443"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://smart-sign.localhost:8443"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "null"},
    ],
)
async def test_another_site_cannot_press_buttons(house: House, headers: dict[str, str]) -> None:
    session = await house.session(Role.OWNER)
    async with client(create_app(house.services)) as http:
        http.cookies.set(COOKIE, session)
        for path in ("/api/v1/shutdown", "/projects/a/production/promote", "/logout", "/login"):
            answer = await http.post(path, headers=headers, data={"token": "x"})
            assert answer.status_code == 403, path
            assert "access.cross-site" in answer.text
        assert (await http.get("/api/v1/projects", headers=headers)).status_code == 200
    assert not house.shut_down


@pytest.mark.parametrize("headers", [{"Origin": CONSOLE}, {"Sec-Fetch-Site": "same-origin"}])
async def test_the_console_itself_can(house: House, headers: dict[str, str]) -> None:
    session = await house.session(Role.OWNER)
    async with client(create_app(house.services)) as http:
        http.cookies.set(COOKIE, session)
        assert (await http.post("/api/v1/shutdown", headers=headers)).status_code == 202
    assert house.shut_down


async def test_a_session_is_no_token_and_a_token_no_session(house: House) -> None:
    session, token = await house.session(Role.OWNER), await house.token(Role.OWNER)
    app = create_app(house.services)
    async with client(app, token=session) as http:
        assert (await http.get("/api/v1/projects")).status_code == 401
    async with client(app) as http:
        http.cookies.set(COOKIE, token)
        assert (await http.get("/api/v1/projects")).status_code == 401


async def test_guessing_is_slowed_down(house: House) -> None:
    good = await house.token(Role.VIEWER)
    app = create_app(house.services)
    async with client(app, token="wrong") as http:
        for _ in range(MAX_FAILURES):
            assert (await http.get("/api/v1/projects")).status_code == 401
        answer = await http.get("/api/v1/projects")
        assert answer.status_code == 429
        assert answer.json()["error"]["code"] == "access.too-many-attempts"
        assert "retry-after" in answer.headers
    async with client(app, token=good) as http:
        elsewhere = {"X-Forwarded-For": "203.0.113.9"}
        assert (await http.get("/api/v1/projects", headers=elsewhere)).status_code == 200
        house.clock.advance(61)
        assert (await http.get("/api/v1/projects")).status_code == 200


def test_counting_failures_takes_bounded_memory() -> None:
    clock = ManualClock()
    attempts = Attempts(clock)
    for _ in range(MAX_FAILURES):
        attempts.failed("first")
    for number in range(MAX_CALLERS):
        attempts.failed(f"caller-{number}")
    attempts.check("first")  # forgotten
    for _ in range(MAX_FAILURES):
        attempts.failed("last")
    with pytest.raises(TooManyError):
        attempts.check("last")
