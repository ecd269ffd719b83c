"""Canaries for real: Envoy divides visitors, the verdict decides, and a bad release never gets more than its share."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.e2e.test_node_product import SERVER, live, write_project
from tests.support.browser import CHROMIUM, log_in, picture
from tests.support.platform import Platform, fresh_platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CANARY = """strategy = "canary"
steps = [{ percent = 5, time = "5s" }, { percent = 50, time = "5s" }]
"""
SLOW_CANARY = """strategy = "canary"
mirror = "8s"
steps = [{ percent = 5, time = "2m" }, { percent = 25, time = "2m" }, { percent = 50, time = "2m" }]
"""
# Of 20 answers one is an error; health and smoke checks see nothing of it.
ONE_IN_TWENTY = SERVER.replace(
    "  response.end(release);",
    """  if (request.url === '/shop' && ++globalThis.asked % 20 === 0) {
    response.statusCode = 500;
    console.log('an order was lost');
    return response.end('no');
  }
  response.end(release);""",
).replace("const release", "globalThis.asked = 0;\nconst release")


def write(folder: Path, *, server: str = SERVER, note: str = "", canary: str = CANARY) -> Path:
    """The small product, as a canary."""
    write_project(folder, server=server, note=note)
    manifest = folder / "gantry.toml"
    manifest.write_text(manifest.read_text().replace("[deploy]\n", f"[deploy]\n{canary}"))
    return folder


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with fresh_platform() as up:
        yield up


@pytest.fixture
def project(platform: Platform, tmp_path: Path) -> Iterator[Path]:
    folder = write(tmp_path / "small", note=str(tmp_path))
    platform.run("deploy", str(folder))
    yield folder
    platform.run("destroy", "--project", "small", "--yes", check=False)


def rollout(platform: Platform, check: bool = True) -> Any:
    return platform.json("rollout", "status", "--project", "small", check=check)


def show_rollout(page: Page) -> None:
    page.evaluate("document.getElementById('rollout').scrollIntoView()")


def test_a_good_candidate_gets_all_traffic_and_no_request_fails(
    platform: Platform, project: Path
) -> None:
    before = live(platform)["live"]["id"]  # type: ignore[index]
    write(project, note="next")
    with platform.strict_client("small.localhost", "/shop", connections=40, pause_s=0.1) as tally:
        platform.run("deploy", str(project))
        ended = rollout(platform)
    assert tally["failures"] == 0, tally
    assert ended["state"] == "passed"
    assert [stage["state"] for stage in ended["stages"]] == ["done", "done"]
    candidate = ended["candidate"]
    assert live(platform)["live"]["id"] == candidate  # type: ignore[index]
    assert set(tally["releases"]) == {before, candidate}
    few, half = [stage["verdict"] for stage in ended["stages"]]
    # 5 % of what a busy machine answers may be too little to tell; that it was asked at the stage's end is what counts.
    assert few["outcome"] in ("pass", "inconclusive")
    assert not few["summary"].startswith("Nothing shown yet"), few["summary"]
    assert half["outcome"] == "pass", half["summary"]


def test_a_candidate_with_five_percent_errors_is_taken_back(
    platform: Platform, project: Path
) -> None:
    before = live(platform)["live"]["id"]  # type: ignore[index]
    write(project, server=ONE_IN_TWENTY, note="bad")
    with platform.strict_client("small.localhost", "/shop", connections=40, pause_s=0.2) as tally:
        failed = platform.run("deploy", str(project), check=False)
        time.sleep(1)
    assert "error[rollout.failed]" in failed.stderr, failed.stderr
    assert "requests failed on the candidate" in failed.stderr
    ended = rollout(platform)
    assert ended["state"] == "failed"
    assert live(platform)["live"]["id"] == before  # type: ignore[index]
    candidate = ended["candidate"]
    served = tally["releases"][candidate]
    # A share of 5 %, and the chance of the draw.
    assert served <= 0.08 * tally["requests"], tally
    assert tally["failures"] <= served
    assert ended["stages"][1]["state"] == "waiting", "it never got more than its first share"
    deadline_s = time.monotonic() + 30
    while (kept := rollout(platform)["evidence"]["requests"]) is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.2)
    assert {(one["path"], one["status"]) for one in kept} == {("/shop", 500)}
    assert len(kept) == min(20, tally["failures"])
    lines = {one["text"] for one in ended["evidence"]["lines"]}
    assert "an order was lost" in lines
    assert all(one["request_id"] for one in kept)
    errors = next(one for one in ended["verdict"]["reasons"] if one["check"] == "errors")
    assert errors["outcome"] == "fail"


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing")
def test_people_steer_it(platform: Platform, project: Path, context: BrowserContext) -> None:
    write(project, note="steered", canary=SLOW_CANARY)
    platform.run("deploy", str(project), "--detach")

    def stands(state: str) -> bool:
        return bool(rollout(platform, check=False).get("state") == state)

    wait_until(lambda: stands("running"), what="the rollout")
    page = context.new_page()
    page.set_viewport_size({"width": 1280, "height": 960})
    log_in(platform, page)
    page.goto(platform.url("gantry.localhost", "/projects/small/production"))
    with platform.strict_client("small.localhost", "/shop", connections=20, pause_s=0.1):
        expect(page.get_by_text("Copies of requests go to it")).to_be_visible(timeout=30_000)
        expect(page.get_by_role("cell", name="P95")).to_be_visible()
        show_rollout(page)
        picture(page, "mirror.png")
        expect(page.get_by_text("5 % of the visitors get it")).to_be_visible(timeout=30_000)
        expect(page.get_by_role("cell", name="P95")).to_be_visible()
        time.sleep(3)
        show_rollout(page)
        picture(page, "rollout.png")
    page.get_by_role("button", name="Pause").click()
    wait_until(lambda: stands("paused"), what="the pause")
    expect(page.get_by_text("Paused", exact=True).first).to_be_visible()
    shown = platform.run("rollout", "status", "--project", "small").stdout
    assert "paused" in shown
    assert "5 %" in shown
    platform.run("rollout", "abort", "--project", "small")
    wait_until(lambda: stands("aborted"), what="the end")
    again = platform.run("rollout", "resume", "--project", "small", check=False)
    assert "error[rollout." in again.stderr
