"""The console's pages: they render, can be used without a mouse, and offer each role what it may do."""

import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from gantry.engines.database.protocol import Database
from gantry.engines.edge.protocol import AccessLog
from gantry.features.accounts.model import Role
from gantry.features.audit import store as audit
from gantry.features.crons.model import RunState as CronState
from gantry.features.deploys.model import DeployKind, DeployState, StepState
from gantry.features.domains.model import CertificateState, DnsState
from gantry.features.instances.bodies import InstanceStateName
from gantry.features.platform.capabilities import Maturity
from gantry.features.platform.concerns import Weight
from gantry.features.releases.model import ReleaseState
from gantry.features.rollouts import store as rollouts
from gantry.features.rollouts.model import RolloutState, Stage, StageKind
from gantry.features.rollouts.verdict.model import Outcome
from gantry.features.runs.model import RunState
from gantry.features.variables.rules import VariableState
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import TransientError
from gantry.web import (
    assets,
    crons,
    deploys,
    domains,
    environments,
    platform,
    releases,
    render,
    rollouts as web_rollouts,
    runs,
    variables,
)
from gantry.web.access import COOKIE
from gantry.web.app import create_app
from gantry.web.noun import Noun
from tests.fakes.edge import FakeEdge
from tests.support.console_seed import CHANGES, Seeder, seed
from tests.support.console_world import PROJECT, furnish
from tests.support.web import CONSOLE, MANIFEST, START, House, client

# Pages that do not refresh themselves.
_STILL = ("/login", "/capabilities", "/settings", "/audit", "/access", "/projects/smart-sign/production/logs",
          "/projects/smart-sign/staging/destroy")  # fmt: skip
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
        "/projects/smart-sign/staging/destroy": "Destroy staging of smart-sign",
        "/audit": "Audit log",
        "/access": "Access",
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
        if path.startswith(_STILL):
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


async def test_each_kind_of_deploy_is_shown(house: House, http: httpx.AsyncClient) -> None:
    seeder = Seeder(house, START)
    environment = await seeder.environment("shop", "production", age=timedelta(days=2))
    release = await seeder.release(environment, CHANGES[0], ago=timedelta(days=1))
    for number, kind in enumerate(DeployKind):
        async with house.database.transaction() as session:
            made = await seeder.deploy(
                session, environment, CHANGES[0], at=START - timedelta(hours=9 - number), kind=kind,
                release=release, build=release.build,
            )  # fmt: skip
        word = deploys.noun.marks[kind].word
        for path in ("/", "/projects/shop/production", f"/deploys/{made.id}"):
            answer = await http.get(path)
            assert (answer.status_code, word in answer.text) == (200, True), (kind, path)


@pytest.mark.parametrize(
    ("noun", "states"),
    [
        (deploys.noun, (*DeployState, *StepState, *DeployKind)),
        (web_rollouts.noun, (*(state for state in RolloutState if state != "passed"), *Outcome)),
        (environments.noun, (*get_args(InstanceStateName), "empty", "degraded", "down", "closed", "warm")),
        (releases.noun, (*ReleaseState, "live", "warm", "withdrawn")),
        (runs.noun, tuple(RunState)),
        (crons.noun, (*CronState, "never")),
        (domains.noun, (*(f"dns-{state}" for state in DnsState), *CertificateState)),
        (platform.noun, (*Maturity, *Weight)),
        (variables.noun, get_args(VariableState)),
    ],
    ids=lambda given: given.name if isinstance(given, Noun) else "",
)  # fmt: skip
def test_every_state_has_a_mark_whose_icon_is_fetched(noun: Noun, states: tuple[str, ...]) -> None:
    assert set(states) - noun.marks.keys() == set()
    assert {mark.icon for mark in noun.marks.values()} <= set(assets.ICONS)


class DeafEdge(FakeEdge):
    """Its access log cannot be read."""

    async def requests(self, cursor: str = "") -> AccessLog:
        raise TransientError("edge.unreachable", "the access log cannot be read")


async def test_the_first_page_says_what_needs_attention(
    house: House, http: httpx.AsyncClient
) -> None:
    world = await furnish(house, START)
    page = Page((await http.get("/")).text)
    assert page.faults == []
    for said in (
        "The last deploy failed: next build ended with 1",
        "1 of 2 instances is not healthy",
        "worker.mail.0 was restarted 2 times (memory 512 MB)",
        "cron tidy",
        "The last run failed: exited with 1",
        "Scaled by hand: web 3 (gantry.toml: 2)",
        "Closed to visitors",
        "80 requests in the last hour · 2 failed",
    ):
        assert said in page.text, said
    assert f"/deploys/{world.deploys['failed']}" in page.links
    assert f"/projects/{PROJECT}/production#instances" in page.links
    assert any(link.startswith("/domains#domain-") for link in page.links)
    house.platform.traffic.edge = DeafEdge(house.machine)
    unknown = await http.get("/")
    assert (unknown.status_code, "in the last hour" in unknown.text) == (200, False)


async def test_nothing_to_attend_to_is_said(house: House, http: httpx.AsyncClient) -> None:
    seeder = Seeder(house, START)
    environment = await seeder.environment("shop", "production", age=timedelta(days=2))
    release = await seeder.release(environment, CHANGES[0], ago=timedelta(days=1))
    await seeder.instance(release, 0, age=timedelta(hours=2))
    page = Page((await http.get("/")).text)
    assert "Nothing needs attention." in page.text


async def test_instances_that_only_wait_stand_below_those_that_serve(
    house: House, http: httpx.AsyncClient
) -> None:
    await furnish(house, START)
    page = (await http.get(f"/projects/{PROJECT}/production")).text
    table = page[page.index('id="instances"') : page.index('id="releases"')]
    tags = re.findall(r'class="tag">#(\d+)<', table)
    assert tags == ["13", "13", "13", "14", "12", "12"]
    assert (table.count("Warm"), table.count("Healthy")) == (2, 4)


async def test_the_audit_log_is_read_in_words_and_searched(
    house: House, http: httpx.AsyncClient
) -> None:
    await furnish(house, START)
    page = Page((await http.get("/audit")).text)
    assert page.faults == []
    said = f"Set FEATURE_PINS and removed SESSION_SECRET in production of {PROJECT}"
    assert said in page.text
    assert "Logged in to the console" not in page.text
    assert "Logged in to the console" in (await http.get("/audit?what=access")).text
    assert said not in (await http.get("/audit?what=access")).text
    of_mira = Page((await http.get("/audit?actor=mira&what=variables&target=NOTICEBOARD")).text)
    assert said in of_mira.text
    assert "Nothing that was searched for" in (await http.get("/audit?target=nowhere")).text
    # What nobody can have meant changes nothing.
    assert (await http.get("/audit?what=moon&actor=%00")).status_code == 200
    assert (await http.get("/audit?before=0")).status_code == 400


async def test_the_audit_log_has_pages(house: House, http: httpx.AsyncClient) -> None:
    async with house.database.transaction() as session:
        for number in range(250):
            await audit.record(
                session, at=START, actor="ada", action="destroy", target=f"shop/{number}"
            )
    seen: list[str] = []
    path = "/audit?what=platform"
    for _ in range(3):
        text = (await http.get(path)).text
        seen += re.findall(r"Destroyed (\d+) of shop", text)
        older = [link for link in Page(text).links if "before=" in link]
        path = older[0] if older else ""
    assert seen == [str(number) for number in reversed(range(250))]
    assert path == "", "the last page leads nowhere"


async def test_a_token_is_made_shown_once_and_revoked(
    house: House, http: httpx.AsyncClient
) -> None:
    assert "There are no tokens" in (await http.get("/access")).text
    form = {"label": " ci ", "role": "developer", "days": "30"}
    made = await http.post("/access", data=form, headers=_SAME)
    assert (made.status_code, made.headers["cache-control"]) == (200, "no-store")
    page = Page(made.text)
    assert page.faults == []
    secret = re.findall(r'data-copy="([^"]{20,})" aria-label="Copy the token"', made.text)[0]
    async with client(create_app(house.services), token=secret) as machine:
        assert (await machine.get("/api/v1/me")).json() == {"account": "ci", "role": "developer"}
        listed = (await http.get("/access")).text
        assert ("ci" in listed, secret in listed) == (True, False)
        (revoke,) = [form for form in Page(listed).forms if form.endswith("/revoke")]
        assert (await http.post(revoke, headers=_SAME)).headers["location"] == "/access"
        assert (await machine.get("/api/v1/me")).status_code == 401
    for bad in ({"label": " "}, {"label": "operator"}, {"role": "king"}, {"days": "0"}):
        assert (await http.post("/access", data=form | bad, headers=_SAME)).status_code == 400, bad
    assert "There are no tokens" in (await http.get("/access")).text


async def test_an_environment_is_destroyed_by_who_types_its_name(
    house: House, http: httpx.AsyncClient
) -> None:
    await seed(house, START)
    page = "/projects/smart-sign/production/destroy"
    asked = Page((await http.get(page)).text)
    assert "its Postgres database, with everything in it" in asked.text
    wrong = await http.post(page, data={"name": "smart-sign/staging"}, headers=_SAME)
    assert (wrong.status_code, "Nothing was destroyed" in wrong.text) == (400, True)
    assert (await http.get("/projects/smart-sign/production")).status_code == 200
    gone = await http.post(page, data={"name": "smart-sign/production"}, headers=_SAME)
    assert gone.headers["location"] == "/"
    assert "Is being destroyed" in (await http.get("/")).text
    assert (await http.get("/projects/smart-sign/nowhere/destroy")).status_code == 404
    assert (await http.get("/projects/nobody/production/destroy")).status_code == 404


async def test_the_owners_pages_are_theirs(house: House) -> None:
    await seed(house, START)
    async with client(create_app(house.services)) as http:
        http.cookies.set(COOKIE, await house.session(Role.DEVELOPER))
        for path in ("/access", "/audit", "/settings", "/projects/smart-sign/production/destroy"):
            refused = await http.get(path)
            assert refused.status_code == 403, path
            assert "Back to the overview" in refused.text
        shown = Page((await http.get("/projects/smart-sign/production")).text)
        assert not {"/access", "/projects/smart-sign/production/destroy"} & set(shown.links)


async def test_a_page_that_refuses_keeps_the_navigation(
    house: House, http: httpx.AsyncClient
) -> None:
    for path in ("/nothing/here", "/projects/nobody/production", "/deploys/dep-none"):
        answer = await http.get(path)
        page = Page(answer.text)
        assert answer.status_code == 404
        assert page.faults == []
        assert {"/audit", "/domains", "/access"} <= set(page.links), path
        assert "ada" in page.text
    async with client(create_app(house.services)) as stranger:
        page = Page((await stranger.get("/nothing/here")).text)
        assert not {"/audit", "/domains"} & set(page.links)


async def test_an_altered_audit_log_is_shown(house: House, http: httpx.AsyncClient) -> None:
    await seed(house, START)
    async with house.database.transaction() as session:
        await session.execute("UPDATE audit SET actor = 'somebody else' WHERE seq = 2")
    assert "Audit entry 2 is not what was written" in (await http.get("/audit")).text


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
    assert changed.headers["location"] == f"{base}/variables"
    for path in (base, f"{base}/variables"):
        page = await http.get(path)
        assert "API_KEY" in page.text
        assert "very-secret" not in page.text
    await http.post(f"{base}/variables/unset", data={"name": "API_KEY"}, headers=_SAME)
    for path in (base, f"{base}/variables"):
        assert "API_KEY" not in (await http.get(path)).text
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
        login, used = (
            await http.get("/login"),
            await http.post("/login", data={"token": "x"}, headers=_SAME),
        )
    assert (answer.status_code, used.status_code) == (401, 403)
    # On a laptop, and over ssh where there is no browser.
    for page in (answer, login, used):
        for command in ("gantry open --console", "gantry open --console --print", "gantry login"):
            assert command in page.text


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


async def test_the_page_of_variables_says_what_is_set_missing_and_not_live_yet(
    house: House, http: httpx.AsyncClient
) -> None:
    await seed(house, START)
    base = "/projects/smart-sign/production"
    async with house.database.transaction() as session:
        await session.execute(
            """UPDATE releases SET manifest = jsonb_set(manifest, '{variables}', %(variables)s)
               WHERE id = (SELECT live_release FROM environments
                           WHERE project = 'smart-sign' AND name = 'production')""",
            {"variables": json.dumps({"required": ["PAYMENTS_KEY", "SESSION_SECRET"], "plain": {"REGION": "eu"}})},
        )  # fmt: skip
    house.clock.advance(60)
    put = {"name": "NEW_FLAG", "value": "very-secret"}
    assert (await http.post(f"{base}/variables/set", data=put, headers=_SAME)).status_code == 303
    text = (await http.get(f"{base}/variables")).text
    page = Page(text)
    assert page.faults == []
    rows = {
        name: " ".join(re.sub(r"<[^>]+>", " ", row).split())
        for name, row in re.findall(r'<tr id="variable-(\w+)">(.*?)</tr>', text, re.S)
    }
    assert next(iter(rows)) == "PAYMENTS_KEY", "what is missing stands first"
    assert "required Missing" in rows["PAYMENTS_KEY"]
    assert "Not live yet" in rows["NEW_FLAG"]
    assert "Provided by gantry.toml" in rows["REGION"]
    assert "required" in rows["SESSION_SECRET"]
    assert "PAYMENTS_KEY. No release goes live here until it is." in text
    assert f'action="{base}/redeploy"' in text
    for value in ("very-secret", "correct-horse"):
        assert value not in text
    missing = await http.post(
        f"{base}/variables/unset", data={"name": "PAYMENTS_KEY"}, headers=_SAME
    )
    assert (missing.status_code, "variable.unknown" in missing.text) == (400, True)


async def test_a_viewer_sees_variables_and_changes_none(house: House) -> None:
    await seed(house, START)
    base = "/projects/smart-sign/production/variables"
    async with client(create_app(house.services), token=await house.token(Role.VIEWER)) as viewer:
        text = (await viewer.get(base)).text
        assert "MAIL_FROM" in text
        assert 'method="post" action="/projects' not in text
        for part in ("set", "unset"):
            refused = await viewer.post(f"{base}/{part}", data={"name": "MAIL_FROM"}, headers=_SAME)
            assert refused.status_code == 403
