"""Every page of the console in a real browser: on a phone and on a desk, light and dark.

The pages come from the application's own routes: a new one is looked at without a line here, as long as what its path
names is among `KNOWN`.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from fastapi.routing import APIRoute
from playwright.sync_api import Browser, BrowserContext, Page, expect

from gantry.app.engines import npm_argv, npm_environment
from gantry.features.accounts.model import Role
from gantry.web.app import create_app
from tests.support.browser import CHROMIUM
from tests.support.console_server import ConsoleServer, console_server
from tests.support.console_world import PREVIEW, PROJECT
from tests.support.postgres import fresh_database
from tests.support.suite import slow_teardown
from tests.support.web import all_routes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing"),
    pytest.mark.timeout(600),
]

AXE = Path(__file__).parents[1] / "support" / "axe"
WIDTHS = (375, 1280)
Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
Who = Role | None
# What each part of a path may be, the most interesting first. A page whose path names something else is not looked at
# by anybody until it stands here.
KNOWN = {
    "project": (PROJECT,),
    "environment": ("production",),
    "cron": ("tidy", "weekly-digest-for-every-community", "never-yet"),
    "deploy": ("broken", "running", "failed", "rolling", "promoted"),
}
# Pages that are another page for somebody else, or of something else.
MORE: tuple[tuple[str, Who], ...] = (
    (f"/projects/{PROJECT}/{PREVIEW}", Role.OWNER),
    ("/projects/smart-sign/production", Role.OWNER),
    ("/projects/smart-sign/development", Role.OWNER),
    ("/projects/landing-page/production", Role.OWNER),
    (f"/projects/{PROJECT}/production", Role.VIEWER),
    ("/projects/smart-sign/production/crons", Role.OWNER),
    ("/projects/smart-sign/development/runs", Role.OWNER),
    ("/projects/smart-sign/development/variables", Role.OWNER),
    (f"/projects/{PROJECT}/production/variables", Role.VIEWER),
    ("/login?token=none", None),
    ("/", None),
    ("/audit", Role.VIEWER),
    ("/nothing-is-here-and-this-path-is-a-long-one/that/cannot/be/broken-anywhere", Role.OWNER),
    ("/projects/nobody/production", Role.DEVELOPER),
)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one page.

    Attributes:
        empty: on a platform to which nothing was deployed.
    """

    path: str
    who: Who = Role.OWNER
    width: int = WIDTHS[0]
    theme: Theme = "light"
    empty: bool = False

    def __str__(self) -> str:
        who = self.who or "nobody"
        return f"{self.path} at {self.width} px, {self.theme}, for {who}{', empty' * self.empty}"


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core."""
    folder = tmp_path_factory.mktemp("axe")
    for name in ("package.json", "package-lock.json"):
        (folder / name).write_text((AXE / name).read_text())
    argv = [*npm_argv(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(argv, cwd=folder, env=npm_environment(), check=True, timeout=180)
    return (folder / "node_modules/axe-core/axe.min.js").read_text()


@pytest.fixture(scope="module")
@slow_teardown("ends a server and closes its database")
def full(postgres_socket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleServer]:
    """A console with everything on it."""
    with (
        fresh_database(postgres_socket) as url,
        console_server(url, tmp_path_factory.mktemp("home")) as server,
    ):
        yield server


@pytest.fixture(scope="module")
@slow_teardown("ends a server and closes its database")
def bare(postgres_socket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleServer]:
    """A console to whose platform nothing was deployed."""
    with (
        fresh_database(postgres_socket) as url,
        console_server(url, tmp_path_factory.mktemp("home"), furnished=False) as server,
    ):
        yield server


def pages_of(server: ConsoleServer) -> dict[str, tuple[str, ...]]:
    """Every page of the application: its route, and the addresses at which it is looked at."""
    found = {}
    for route in all_routes(create_app(server.house.services)):
        path = route.path or ""
        is_page = isinstance(route.original_route, APIRoute) and "GET" in (route.methods or ())
        if is_page and not path.startswith("/api/"):
            found[path] = _addresses(server, path)
    return found


def _addresses(server: ConsoleServer, path: str) -> tuple[str, ...]:
    assert server.world is not None
    names = re.findall(r"{(\w+)}", path)
    unknown = set(names) - KNOWN.keys()
    assert not unknown, f"{path} is looked at by nobody: say in KNOWN what {sorted(unknown)} may be"
    varied = next((name for name in reversed(names) if len(KNOWN[name]) > 1), "")
    addresses = []
    for value in KNOWN.get(varied, ("",)):
        given = {name: KNOWN[name][0] for name in names} | ({varied: value} if varied else {})
        if "deploy" in given:
            given["deploy"] = server.world.deploys[given["deploy"]]
        addresses.append(path.format(**given))
    return tuple(addresses)


def looks_at(server: ConsoleServer, *, all_of_them: bool) -> list[Look]:
    """Every page with all widths and themes; or each once, with them in turn."""
    places = [Look(path) for paths in pages_of(server).values() for path in paths]
    places += [Look(path, who) for path, who in MORE]
    places += [Look("/", empty=True), Look("/domains", empty=True), Look("/audit", empty=True)]
    variants = [(width, theme) for theme in THEMES for width in WIDTHS]
    if all_of_them:
        return [replace(place, width=w, theme=t) for w, t in variants for place in places]
    shares = [variants[number % len(variants)] for number in range(len(places))]
    return [replace(place, width=w, theme=t) for place, (w, t) in zip(places, shares, strict=True)]


class Visitor:
    """Looks at pages as one person, at one width, in one theme.

    Attributes:
        said: what the browser's console complained about on the present page.
    """

    def __init__(self, browser: Browser, server: ConsoleServer, look: Look) -> None:
        self.server, self.said = server, list[str]()
        self.context: BrowserContext = browser.new_context(
            viewport={"width": look.width, "height": 800},
            color_scheme=look.theme,
            reduced_motion="reduce",
        )
        self.page: Page = self.context.new_page()
        if look.who is not None:
            self.page.goto(f"{server.url}/login?token={server.login(look.who)}")
            self.page.wait_for_url(lambda url: "/login" not in url)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))

    def _hear(self, message: Any) -> None:
        # That a page is refused is said by the browser too; it is what was looked for there.
        refused = "the server responded with a status of 4" in message.text
        if message.type in ("error", "warning") and not refused:
            self.said.append(message.text)

    def faults(self, look: Look, axe: str) -> list[str]:
        """What is wrong with a page."""
        self.said.clear()
        answer = self.page.goto(self.server.url + look.path)
        assert answer is not None
        found = [] if answer.status < 500 else [f"status {answer.status}"]
        found += [f"says {text}" for text in self.said]
        found += self.page.evaluate(_WIDER)
        if not self.page.evaluate("typeof axe === 'object'"):
            self.page.evaluate(axe)
        found += self.page.evaluate(_JUDGED)
        return [f"{look}: {fault}" for fault in found]


# What makes the page scroll sideways, or is cut off at the page's edge where nothing scrolls.
_WIDER = """() => {
  const width = document.documentElement.clientWidth;
  const faults = document.documentElement.scrollWidth > width ? [`scrolls sideways: ${document.documentElement.scrollWidth} px`] : [];
  const scrolls = (element) => element && (/auto|scroll|hidden/.test(getComputedStyle(element).overflowX) || scrolls(element.parentElement));
  for (const element of document.querySelectorAll("main *, header *, footer *")) {
    const box = element.getBoundingClientRect();
    if (box.width && (box.right > width + 1 || box.left < -1) && !scrolls(element) && !element.closest(".visually-hidden, .skip"))
      faults.push(`${element.tagName.toLowerCase()}.${element.className} ends at ${Math.round(box.right)} px`);
  }
  return faults.slice(0, 4);
}"""


# Only what is wrong is sent: all that is right is a megabyte for each page.
_JUDGED = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations.map((violation) => {
    const places = violation.nodes.slice(0, 4).map((node) => node.target.join(" "));
    return `axe: ${violation.id} (${violation.help}) at ${places.join(", ")}`;
  });
}"""


def _faults(
    browser: Browser, servers: dict[bool, ConsoleServer], looks: list[Look], axe: str
) -> list[str]:
    found = []
    visitors: dict[Look, Visitor] = {}
    for look in looks:
        person = replace(look, path="")
        if person not in visitors:
            visitors[person] = Visitor(browser, servers[look.empty], person)
        found += visitors[person].faults(look, axe)
    for visitor in visitors.values():
        visitor.context.close()
    return found


def test_every_page_is_fit_for_everybody(
    browser: Browser, full: ConsoleServer, bare: ConsoleServer, axe: str
) -> None:
    looks = looks_at(full, all_of_them=False)
    assert _faults(browser, {False: full, True: bare}, looks, axe) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_fit_for_everybody_everywhere(
    browser: Browser,
    full: ConsoleServer,
    bare: ConsoleServer,
    axe: str,
    width: int,
    theme: Theme,
) -> None:
    every = looks_at(full, all_of_them=True)
    looks = [look for look in every if (look.width, look.theme) == (width, theme)]
    assert _faults(browser, {False: full, True: bare}, looks, axe) == []


def test_a_deploy_that_printed_nothing_has_no_empty_box(
    browser: Browser, full: ConsoleServer
) -> None:
    assert full.world is not None
    visitor = Visitor(browser, full, Look("", width=1280))
    page = visitor.page
    page.goto(f"{full.url}/deploys/{full.world.deploys['promoted']}")
    expect(page.locator("#log-status")).to_have_text(
        "nothing was printed, or the log is no longer kept"
    )
    expect(page.locator(".log")).to_be_hidden()
    page.goto(f"{full.url}/deploys/{full.world.deploys['running']}")
    expect(page.locator(".log")).to_contain_text("Compiled successfully")
    visitor.context.close()


def test_a_field_says_in_words_what_it_takes(browser: Browser, full: ConsoleServer) -> None:
    visitor = Visitor(browser, full, Look("", width=1280))
    page = visitor.page
    page.goto(f"{full.url}/projects/smart-sign/production/variables")
    name = page.get_by_label("Variable", exact=True)
    name.fill("1 bad name")
    page.get_by_role("button", name="Set variable").click()
    message = name.evaluate("field => field.validationMessage")
    assert message == "Letters, digits and _, and not a digit first: SESSION_SECRET"
    name.fill("GOOD_NAME")
    assert name.evaluate("field => field.validationMessage") == ""
    visitor.context.close()


def test_what_needs_attention_leads_to_where_it_is_said(
    browser: Browser, full: ConsoleServer
) -> None:
    visitor = Visitor(browser, full, Look("", width=1280))
    page = visitor.page
    for text, place in (
        ("cron tidy", "/crons/tidy"),
        ("soon.example.net", "/domains#domain-soon.example.net"),
    ):
        page.goto(full.url)
        page.locator(".concerns").get_by_role("link", name=text).first.click()
        expect(page).to_have_url(re.compile(re.escape(place) + "$"))
    visitor.context.close()


def test_lines_of_a_log_are_chosen_by_level(browser: Browser, full: ConsoleServer) -> None:
    for name in full.house.machine.processes:
        full.house.machine.say(name, "WARN slow\n[error] no\n    at f\n")
    visitor = Visitor(browser, full, Look("", width=1280))
    page = visitor.page
    page.goto(f"{full.url}/projects/{PROJECT}/production/logs")
    lines = page.locator(".log-line:not([hidden])")
    expect(lines.filter(has_text="WARN slow").first).to_be_visible()
    expect(lines.filter(has_text="Ready in").first).to_be_visible()
    page.get_by_label("Level", exact=True).select_option("error")
    expect(lines.filter(has_text="Ready in")).to_have_count(0)
    expect(lines.filter(has_text="WARN slow")).to_have_count(0)
    expect(lines.filter(has_text="at f").first).to_be_visible()
    visitor.context.close()
