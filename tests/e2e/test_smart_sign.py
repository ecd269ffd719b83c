"""Smart Sign on the whole platform, in a real browser: what the first user does on the first day."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.support.browser import CHROMIUM, log_in, picture
from tests.support.platform import SECRETS, Platform, copy_of_smart_sign, fresh_platform

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing"),
]
HOST = "smart-sign.localhost"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_smart_sign(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def platform(project: Path) -> Iterator[Platform]:
    with fresh_platform() as up:
        secrets = [f"{name}={value}" for name, value in SECRETS.items()]
        for environment in ("staging", "production"):
            up.run("env", "set", "--project", "smart-sign", "--environment", environment, *secrets)
        up.run("deploy", str(project), "--to", "staging")
        up.run("promote", "--project", "smart-sign", "--from", "staging", "--to", "production")
        yield up


def test_status_names_the_release_that_a_request_really_reached(platform: Platform) -> None:
    (project,) = platform.json("status")["projects"]
    production = next(one for one in project["environments"] if one["name"] == "production")
    assert production["reached"]["status"] == 200
    assert production["reached"]["release"] == production["live"]["id"]
    assert production["live"]["framework"] == "nextjs"


def test_promotion_brought_the_same_artifact(platform: Platform) -> None:
    (project,) = platform.json("status")["projects"]
    staging, production = (
        next(one["live"] for one in project["environments"] if one["name"] == name)
        for name in ("staging", "production")
    )
    assert staging["build"] == production["build"]


def test_an_announcement_appears_on_the_display_without_a_reload(
    platform: Platform, context: BrowserContext
) -> None:
    display = context.new_page()
    display.goto(platform.url(HOST, "/d/harbour-house"))
    expect(display.locator("h1, h2").first).to_be_visible()
    loads: list[Any] = []
    display.on("load", lambda page: loads.append(page))

    admin = context.new_page()
    admin.goto(platform.url(HOST, "/admin/harbour-house"))
    admin.locator("input[type=password]").fill(SECRETS["ADMIN_PASSWORD"])
    admin.keyboard.press("Enter")
    admin.get_by_text("Urgent", exact=True).first.click()
    admin.get_by_label("Title").fill("The lift is being mended")
    admin.get_by_label("Text").fill("Please take the stairs until noon.")
    admin.get_by_role("button", name="Post announcement").click()

    # Urgent announcements take precedence: it is shown at once.
    expect(display.get_by_text("The lift is being mended").first).to_be_visible(timeout=15_000)
    assert loads == [], "the display was not reloaded"


def test_an_old_tab_goes_on_through_three_deploys(
    platform: Platform, project: Path, context: BrowserContext
) -> None:
    tab = context.new_page()
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on(
        "response",
        lambda answer: (
            problems.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
        ),
    )
    releases: set[str] = set()
    tab.on("response", lambda answer: releases.add(answer.headers.get("x-gantry-release", "")))
    tab.goto(platform.url(HOST, "/admin/harbour-house"))
    tab.locator("input[type=password]").fill(SECRETS["ADMIN_PASSWORD"])
    tab.keyboard.press("Enter")
    expect(tab.get_by_label("Title")).to_be_visible()
    tab.evaluate("window.loadedOnce = true")
    first = _live(platform)
    page, form = project / "app" / "page.tsx", "app/admin/[org]/announcement-form.tsx"
    for number in range(3):
        # Other text in a page and in the very form that the tab holds: every chunk of it has a new name.
        for file in (page, project / form):
            text = file.read_text()
            file.write_text(re.sub(r"<(form|main)\b", rf'<\1 data-round="{number}"', text, count=1))
        platform.run("deploy", str(project))
        assert _live(platform) != first
        tab.get_by_text("Event", exact=True).first.click()
        tab.get_by_label("Title").fill(f"Round {number}")
        tab.get_by_label("Text").fill("Everybody is welcome.")
        tab.get_by_role("button", name="Post announcement").click()
        expect(tab.get_by_text(f"Round {number}", exact=True).first).to_be_visible()
        tab.get_by_role("link", name="All communities").click()
        expect(tab.get_by_role("link", name="Admin").first).to_be_visible()
        tab.go_back()
        expect(tab.get_by_label("Title")).to_be_visible()
        page_file = (project / form).read_text()
        (project / form).write_text(page_file.replace(f' data-round="{number}"', ""))
        page.write_text(page.read_text().replace(f' data-round="{number}"', ""))
    assert tab.evaluate("window.loadedOnce"), "the tab was never loaded anew"
    assert problems == []
    assert first in releases
    # A document is always of the present release.
    tab.reload()
    expect(tab.get_by_label("Title")).to_be_visible()
    assert _live(platform) in releases


def _live(platform: Platform) -> str:
    (project,) = platform.json("status")["projects"]
    production = next(one for one in project["environments"] if one["name"] == "production")
    release: str = production["live"]["id"]
    return release


def test_the_console_shows_all_of_it(platform: Platform, context: BrowserContext) -> None:
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda message: problems.append(message.text) if message.type == "error" else None,
    )
    log_in(platform, page)
    expect(page.get_by_text("smart-sign").first).to_be_visible()
    picture(page, "console.png")
    page.goto(platform.url("gantry.localhost", "/projects/smart-sign/production"))
    expect(page.get_by_text("healthy").first).to_be_visible()
    picture(page, "environment.png")
    last = platform.json("status")["projects"][0]["environments"][0]["deploy"]["id"]
    page.goto(platform.url("gantry.localhost", f"/deploys/{last}"))
    expect(page.get_by_text(re.compile("switch", re.IGNORECASE)).first).to_be_visible()
    picture(page, "deploy.png")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.emulate_media(color_scheme="dark")
    picture(page, "phone.png")
    assert problems == []


def test_a_login_link_works_once(platform: Platform, browser: Browser) -> None:
    link = platform.run("open", "--console", "--print").stdout.split()[-1]
    for number in range(2):
        fresh = browser.new_context(ignore_https_errors=True)
        page = fresh.new_page()
        page.goto(link)
        button = page.get_by_role("button")
        if button.count():
            button.first.click()
        page.wait_for_timeout(500)
        inside = page.get_by_text("smart-sign").count() > 0
        assert inside == (number == 0)
        fresh.close()
