"""The console's pages: they render, can be used without a mouse, and offer each role what it may do."""

from collections.abc import AsyncIterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from gantry.engines.database.protocol import Database
from gantry.features.accounts.model import Role
from gantry.features.rollouts import store as rollouts
from gantry.features.rollouts.model import Stage, StageKind
from gantry.kernel.clock import ManualClock
from gantry.web import assets, render
from gantry.web.access import COOKIE
from gantry.web.app import create_app
from tests.support.console_seed import CHANGES, Seeder, seed
from tests.support.web import CONSOLE, MANIFEST, START, House, client

_SAME = {"Origin": CONSOLE, "Sec-Fetch-Site": "same-origin"}
_VOID = {
    "meta",
    "link",
    "img",
    "input",
    "br",
    "path",
    "rect",
    "circle",
    "line",
    "polyline",
    "ellipse",
}


class Page(HTMLParser):
    """What a page offers, and what is wrong with its markup."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.labelled: set[str] = set()
        self.inputs: list[str] = []
        self.forms: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self._named: list[str] = []
        self.feed(html)
        self.faults += [f"<{tag}> is never closed" for tag in self._open]
        self.faults += [
            f"input {name} has no label" for name in self.inputs if name not in self.labelled
        ]
        self.faults += [f"id {name} twice" for name in set(self.ids) if self.ids.count(name) > 1]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in _VOID:
            self._open.append(tag)
        if tag in ("button", "a"):
            self._named.append(given.get("aria-label") or "")
        if tag in ("h1", "h2", "h3"):
            self.headings.append(int(tag[1]))
        if "id" in given:
            self.ids.append(given["id"] or "")
        if tag == "label":
            self.labelled.add(given.get("for") or "")
        if tag == "input" and given.get("type") != "hidden":
            self.inputs.append(given.get("id") or given.get("name") or "?")
        if tag == "form":
            self.forms.append(given.get("action") or "")
        if tag == "a":
            self.links.append(given.get("href") or "")
        self._refuse(tag, given)

    def _refuse(self, tag: str, given: dict[str, str | None]) -> None:
        if tag == "img" and "alt" not in given:
            self.faults.append("img without alt")
        if tag == "style" or "style" in given:
            self.faults.append(f"<{tag}> carries a style, which the policy forbids")
        if tag == "script" and not (given.get("src") or "").startswith("/static/"):
            self.faults.append("a script that is not a file of ours")
        self.faults += [f"{name} on <{tag}>" for name in given if name.startswith("on")]
        for name in ("src", "href"):
            value = given.get(name) or ""
            if tag != "a" and "://" in value:
                self.faults.append(f"{tag} loads {value}")
        if tag == "th" and "scope" not in given:
            self.faults.append("th without scope")

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if not self._open or self._open[-1] != tag:
            self.faults.append(f"</{tag}> does not close {self._open[-1:]}")
        else:
            self._open.pop()
        if tag in ("button", "a") and not self._named.pop().strip():
            self.faults.append(f"a <{tag}> without a name")

    def handle_data(self, data: str) -> None:
        self.text += data
        self._named = [name + data for name in self._named]


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path)


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with client(create_app(house.services)) as opened:
        opened.cookies.set(COOKIE, await house.session(Role.OWNER))
        yield opened


def _pages(ids: dict[str, str]) -> dict[str, str]:
    deploys = {f"/deploys/{ids[name]}": "Deploy to" for name in ("running", "failed", "done")}
    return deploys | {
        "/": "Overview",
        "/projects/smart-sign/production": "smart-sign",
        "/projects/smart-sign/staging": "smart-sign",
        "/projects/smart-sign/development": "smart-sign",
        "/projects/smart-sign/production/logs": "Logs",
        "/audit": "Audit log",
        "/settings": "Settings",
        "/domains": "Domains",
        "/capabilities": "What Gantry",
        "/login": "Log in to Gantry",
    }


@pytest.mark.parametrize("with_assets", [True, False])
async def test_every_page_is_sound(
    house: House,
    http: httpx.AsyncClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    with_assets: bool,
) -> None:
    if not with_assets:
        monkeypatch.setattr(render, "VENDOR", tmp_path / "none")
        monkeypatch.setattr(render, "STATIC", tmp_path / "none")
    render.assets_changed()
    for path, title in _pages(await seed(house, START)).items():
        answer = await http.get(path)
        assert answer.status_code == 200, path
        page = Page(answer.text)
        assert page.faults == [], path
        assert page.headings.count(1) == 1, path
        assert all(
            b - a <= 1 for a, b in zip(page.headings[:-1], page.headings[1:-1], strict=False)
        ), path
        assert title in page.text, path
        assert page.links[0] == "#main", "the first thing that Tab reaches skips the navigation"
        assert '<html lang="en"' in answer.text
    render.assets_changed()


async def test_the_first_page_says_what_a_candidate_gets(
    house: House, http: httpx.AsyncClient
) -> None:
    seeder = Seeder(house, START)
    environment = await seeder.environment("shop", "production", age=timedelta(days=2))
    await seeder.release(environment, CHANGES[0], ago=timedelta(days=1))
    await seeder.canary(environment, CHANGES[1], Stage(StageKind.CANARY, 25, 60.0))
    page = Page((await http.get("/")).text)
    assert page.faults == []
    assert "Release 2 gets 25 % of the visitors" in page.text


async def test_a_rollout_is_shown_and_can_be_stopped(house: House, http: httpx.AsyncClient) -> None:
    seeder = Seeder(house, START)
    environment = await seeder.environment("shop", "production", age=timedelta(days=2))
    await seeder.release(environment, CHANGES[0], ago=timedelta(days=1))
    await seeder.canary(environment, CHANGES[1], Stage(StageKind.CANARY, 25, 60.0))
    base = "/projects/shop/production"
    page = Page((await http.get(base)).text)
    assert page.faults == []
    for text in (
        "Rollout of release 2",
        "25 % of the visitors get it",
        "In progress",
        "Next stage",
    ):
        assert text in page.text
    assert f"{base}/rollout/resume" not in page.forms
    for command in ("pause", "abort"):
        assert f"{base}/rollout/{command}" in page.forms
        pressed = await http.post(f"{base}/rollout/{command}", headers=_SAME)
        assert pressed.headers["location"] == f"{base}#rollout"
    assert house.woken == 2
    async with house.database.transaction() as session:
        (rollout,) = await rollouts.list_open(session)
        await rollouts.abort(session, rollout.id, "ada aborted it", at=START)
    page = Page((await http.get(base)).text)
    assert "Ada aborted it" in page.text
    assert f"{base}/rollout/abort" not in page.forms
    assert isinstance(house.clock, ManualClock)
    house.clock.advance(3_601)
    assert "Rollout of release 2" not in (await http.get(base)).text


async def test_a_refresh_brings_the_live_part_alone(house: House, http: httpx.AsyncClient) -> None:
    for path in _pages(await seed(house, START)):
        if path.startswith(
            ("/login", "/capabilities", "/settings", "/projects/smart-sign/production/logs")
        ):
            continue
        # htmx 4 says "partial" when it asks for one element of a page.
        headers = {"HX-Request": "true", "HX-Request-Type": "partial"}
        answer = await http.get(path, headers=headers)
        assert answer.status_code == 200
        assert "<html" not in answer.text, path
        assert "HX-Request-Type" in answer.headers["vary"]
        whole = await http.get(path, headers={"HX-Request": "true", "HX-Request-Type": "full"})
        assert "<html" in whole.text


async def test_pages_say_what_matters(house: House, http: httpx.AsyncClient) -> None:
    ids = await seed(house, START)
    overview = Page((await http.get("/")).text)
    for words_expected in (
        "smart-sign",
        "landing-page",
        "Healthy",
        "Degraded",
        "gantry deploy --to development",
    ):
        assert words_expected in overview.text
    failed = Page((await http.get(f"/deploys/{ids['failed']}")).text)
    for words_expected in ("build.command-failed", "Module not found", "npm run build", "Failed"):
        assert words_expected in failed.text
    production = Page((await http.get("/projects/smart-sign/production")).text)
    for words_expected in (
        "SESSION_SECRET",
        "Postgres, Redis",
        "Roll back to #3",
        "Promote staging #5",
    ):
        assert words_expected in production.text
    assert "value-of-session_secret" not in production.text
    assert "entries are unchanged" in (await http.get("/audit")).text


async def test_an_altered_audit_log_is_shown(house: House, http: httpx.AsyncClient) -> None:
    await seed(house, START)
    async with house.database.transaction() as session:
        await session.execute("UPDATE audit SET actor = 'somebody else' WHERE seq = 2")
    assert "audit entry 2 is not what was written" in (await http.get("/audit")).text


async def test_an_empty_platform_says_what_to_type(http: httpx.AsyncClient) -> None:
    page = Page((await http.get("/")).text)
    assert "Nothing is deployed yet" in page.text
    assert "gantry init && gantry deploy" in page.text


async def test_a_viewer_gets_a_link_to_the_console_and_sees_it(house: House) -> None:
    await seed(house, START)
    app = create_app(house.services)
    async with client(app, token=await house.token(Role.VIEWER)) as laptop:
        made = await laptop.post("/api/v1/login-links")
        assert made.status_code == 201
    secret = parse_qs(urlsplit(made.json()["url"]).query)["token"][0]
    async with client(app) as browser:
        await browser.post("/login", data={"token": secret}, headers=_SAME)
        for path in ("/", "/projects/smart-sign/production"):
            answer = await browser.get(path)
            assert answer.status_code == 200
            assert set(Page(answer.text).forms) <= {"/logout", ""}


async def test_roles_decide_which_buttons_there_are(house: House) -> None:
    ids = await seed(house, START)
    async with client(create_app(house.services)) as http:
        http.cookies.set(COOKIE, await house.session(Role.VIEWER))
        environment = Page((await http.get("/projects/smart-sign/production")).text)
        assert set(environment.forms) <= {"/logout", ""}
        assert "/audit" not in environment.links
        running = Page((await http.get(f"/deploys/{ids['running']}")).text)
        assert set(running.forms) <= {"/logout", ""}
        refused = await http.post(
            "/projects/smart-sign/production/rollback", data={"release": "3"}, headers=_SAME
        )
        assert refused.status_code == 403
        assert "access.role" in refused.text
        assert (await http.get("/audit")).status_code == 403


async def test_buttons_do_what_they_say(house: House, http: httpx.AsyncClient) -> None:
    ids = await seed(house, START)
    base = "/projects/smart-sign/production"
    back = await http.post(f"{base}/rollback", data={"release": "2"}, headers=_SAME)
    assert back.status_code == 303
    page = await http.get(back.headers["location"])
    assert "Rollback to production" in page.text
    assert "Next in the queue" in page.text
    house.sources.rewrite(".env.example", "STRIPE_KEY=\n")
    refused = await http.post(
        f"{base}/promote", data={"from_environment": "staging"}, headers=_SAME
    )
    assert (refused.status_code, "STRIPE_KEY" in refused.text) == (400, True)
    assert "gantry env set" in refused.text
    house.sources.rewrite(".env.example", "")
    promoted = await http.post(
        f"{base}/promote", data={"from_environment": "staging"}, headers=_SAME
    )
    assert promoted.headers["location"].startswith("/deploys/dep-")
    cancelled = await http.post(f"/deploys/{ids['running']}/cancel", headers=_SAME)
    assert cancelled.status_code == 303
    assert "Cancelling" in (await http.get(cancelled.headers["location"])).text
    put = {"name": " API_KEY ", "value": "very-secret"}
    changed = await http.post(f"{base}/variables/set", data=put, headers=_SAME)
    assert changed.headers["location"] == f"{base}#variables"
    page = await http.get(base)
    assert "API_KEY" in page.text
    assert "very-secret" not in page.text
    await http.post(f"{base}/variables/unset", data={"name": "API_KEY"}, headers=_SAME)
    assert "API_KEY" not in (await http.get(base)).text
    assert house.woken == 3


async def test_refusals_are_pages_with_a_way_on(house: House, http: httpx.AsyncClient) -> None:
    await seed(house, START)
    base = "/projects/smart-sign/production"
    bad = await http.post(
        f"{base}/variables/set", data={"name": "PORT", "value": "1"}, headers=_SAME
    )
    assert bad.status_code == 400
    page = Page(bad.text)
    assert page.faults == []
    assert "variable.reserved" in page.text
    assert "/" in page.links
    missing = await http.get("/projects/nope/production")
    assert (missing.status_code, "project.unknown" in missing.text) == (404, True)
    assert (await http.get("/projects/smart-sign")).headers["location"] == base


async def test_whoever_is_not_logged_in_is_told_how(house: House) -> None:
    async with client(create_app(house.services)) as http:
        answer = await http.get("/")
    assert answer.status_code == 401
    assert "gantry open --console" in answer.text


async def test_a_failed_deploy_shows_what_its_instances_printed_last(
    house: House, http: httpx.AsyncClient
) -> None:
    ids = await seed(house, START)
    lines = "listening on 3099\nError: connect ECONNREFUSED <db>"
    async with house.database.transaction() as session:
        await session.execute(
            "UPDATE deploys SET error = error || jsonb_build_object('last_lines', %(lines)s::text) WHERE id = %(id)s",
            {"lines": lines, "id": ids["failed"]},
        )
    page = (await http.get(f"/deploys/{ids['failed']}")).text
    assert "listening on 3099" in page
    assert "connect ECONNREFUSED &lt;db&gt;" in page


async def test_texts_from_outside_are_escaped(house: House, http: httpx.AsyncClient) -> None:
    request = {
        "source_digest": house.sources.add({"gantry.toml": MANIFEST.decode()}).digest,
        "commit": {"message": "<script>alert(1)</script>", "branch": '"><b>'},
    }
    path = "/api/v1/projects/smart-sign/environments/production/deploys"
    made = await http.post(path, json=request, headers=_SAME)
    page = await http.get(f"/deploys/{made.json()['id']}")
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text
    assert Page(page.text).faults == []
    login = await http.get("/login", params={"token": '"><script>alert(1)</script>'})
    assert "<script>alert" not in login.text


async def test_assets_that_npm_cannot_fetch_are_only_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(assets, "VENDOR", tmp_path / "vendor")
    assert not await assets.ensure_assets(("/bin/sh", "-c", "echo no network; exit 1", "npm"), {})
    assert "no network" in caplog.text
    assert not (tmp_path / "vendor").exists()


def test_the_lock_names_no_registry() -> None:
    lock = (assets.WEB / "package-lock.json").read_text()
    assert "resolved" not in lock
    assert "integrity" in lock
