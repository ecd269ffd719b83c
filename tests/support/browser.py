"""A real browser, the console's login, and the pictures in the documentation."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from gantry.app.engines import npm_argv
from tests.support.platform import REPOSITORY, Platform

# Playwright's own Node needs a library (libatomic) that a clean Debian lacks.
os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", npm_argv()[0])
CHROMIUM = shutil.which("chromium")
# GANTRY_PICTURES=1 scripts/test makes them anew.
KEEP_PICTURES = os.environ.get("GANTRY_PICTURES") == "1"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                # The local authority is not in this browser's store; a page's certificate is checked elsewhere.
                "--ignore-certificate-errors",
            ],
        )
        yield launched
        launched.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A visitor without a memory."""
    made = browser.new_context(ignore_https_errors=True, viewport={"width": 1280, "height": 800})
    yield made
    made.close()


def log_in(platform: Platform, page: Page) -> None:
    """Open the console as the operator of the machine."""
    page.goto(platform.run("open", "--console", "--print").stdout.split()[-1])
    button = page.get_by_role("button")
    if "/login" in page.url and button.count():
        button.first.click()
    page.wait_for_url(lambda url: "/login" not in url)


def picture(page: Page, name: str) -> None:
    """Take a picture, and keep it for the documentation when that was asked for."""
    page.wait_for_timeout(300)
    taken = page.screenshot()
    assert len(taken) > 5_000, "an empty page"
    if KEEP_PICTURES:
        (REPOSITORY / "docs" / "images" / name).write_bytes(taken)
