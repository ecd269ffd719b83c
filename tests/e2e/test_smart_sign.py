"""Smart Sign on the whole platform, in a real browser: what the first user does on the first day."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.support.browser import CHROMIUM, log_in, picture
from tests.support.builders import write_tree
from tests.support.next_pages import PAGES, Answer, check_addresses, public_values
from tests.support.platform import SECRETS, Platform, copy_of_smart_sign
from tests.support.product import Product, get
from tests.support.suite import slow_teardown

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing")
HOST = "smart-sign.localhost"
API = "https://api.first.test"


@pytest.fixture(scope="module")
@slow_teardown("destroys a project: its instances end in order")
def smart_sign(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The example, built once for staging and promoted to production; with pages that make use of its address."""
    folder = write_tree(copy_of_smart_sign(tmp_path_factory.mktemp("project")), PAGES)
    product = Product(platform, folder, "smart-sign")
    values = [f"{name}={value}" for name, value in SECRETS.items()]
    for environment in ("staging", "production"):
        product.run("env", "set", "--environment", environment, *values, f"NEXT_PUBLIC_API={API}")
    product.deploy("--to", "staging")
    product.run("promote", "--from", "staging", "--to", "production")
    yield product
    product.destroy()


def visit(product: Product, path: str, host: str = HOST) -> Answer:
    """What a visitor of `host` gets."""
    answer = get(product.platform, host, path)
    return answer.status_code, answer.headers, answer.content


def test_status_names_the_release_that_a_request_really_reached(smart_sign: Product) -> None:
    production = smart_sign.environment()
    assert production["reached"]["status"] == 200
    assert production["reached"]["release"] == production["live"]["id"]
    assert production["live"]["framework"] == "nextjs"


def test_promotion_brought_the_same_artifact(smart_sign: Product) -> None:
    staging, production = (
        smart_sign.environment(name)["live"] for name in ("staging", "production")
    )
    assert staging["build"] == production["build"]


def test_redirects_rewrites_and_request_url_are_at_the_visitor_s_address(
    smart_sign: Product,
) -> None:
    platform, live = smart_sign.platform, smart_sign.live()
    for host in (HOST, f"staging--{HOST}", f"{live}--{HOST}"):
        origin = platform.url(host, "")
        check_addresses(lambda path, host=host: visit(smart_sign, path, host), origin)  # type: ignore[misc]


def test_a_public_variable_is_in_the_pages_of_its_environment(smart_sign: Product) -> None:
    assert public_values(lambda path: visit(smart_sign, path)) == {API}


@in_a_browser
def test_an_announcement_appears_on_the_display_without_a_reload(
    smart_sign: Product, context: BrowserContext
) -> None:
    platform = smart_sign.platform
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


@in_a_browser
@pytest.mark.parametrize("deploys", [2, pytest.param(3, marks=pytest.mark.exhaustive)])
def test_an_old_tab_goes_on_through_deploys(
    smart_sign: Product, context: BrowserContext, deploys: int
) -> None:
    platform, project = smart_sign.platform, smart_sign.folder
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
    first = smart_sign.live()
    page, form = project / "app" / "page.tsx", "app/admin/[org]/announcement-form.tsx"
    for number in range(deploys):
        # Other text in a page and in the very form that the tab holds: every chunk of it has a new name.
        for file in (page, project / form):
            text = file.read_text()
            file.write_text(re.sub(r"<(form|main)\b", rf'<\1 data-round="{number}"', text, count=1))
        # Another public value is another build; packages and what Next.js keeps are those of the one before.
        api = f"https://api.round{deploys}{number}.test"
        smart_sign.run("env", "set", f"NEXT_PUBLIC_API={api}")
        smart_sign.deploy()
        assert smart_sign.live() != first
        assert public_values(lambda path: visit(smart_sign, path)) == {api}
        steps = {step["name"]: step for step in smart_sign.environment()["deploy"]["steps"]}
        assert "install" not in steps["build"]["detail"], "packages came from the store"
        tab.get_by_text("Event", exact=True).first.click()
        tab.get_by_label("Title").fill(f"Round {deploys}.{number}")
        tab.get_by_label("Text").fill("Everybody is welcome.")
        tab.get_by_role("button", name="Post announcement").click()
        expect(tab.get_by_text(f"Round {deploys}.{number}", exact=True).first).to_be_visible()
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
    assert smart_sign.live() in releases


@in_a_browser
def test_the_console_shows_all_of_it(smart_sign: Product, context: BrowserContext) -> None:
    platform = smart_sign.platform
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
    last = smart_sign.environment()["deploy"]["id"]
    page.goto(platform.url("gantry.localhost", f"/deploys/{last}"))
    expect(page.get_by_text(re.compile("switch", re.IGNORECASE)).first).to_be_visible()
    picture(page, "deploy.png")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.emulate_media(color_scheme="dark")
    picture(page, "phone.png")
    assert problems == []


@in_a_browser
def test_a_login_link_works_once(smart_sign: Product, browser: Browser) -> None:
    platform = smart_sign.platform
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
