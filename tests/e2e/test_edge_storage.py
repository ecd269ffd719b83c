"""Files of older releases, and kept answers, on the whole platform."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.platform import Platform, wait_until
from tests.support.product import Product, get
from tests.support.suite import slow_teardown

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SERVER = """
import http from 'node:http';
http.createServer((request, response) => {
  if (request.url.startsWith('/news')) {
    response.setHeader('cache-control', 's-maxage=600, stale-while-revalidate=600');
    response.setHeader('cache-tag', 'news');
    return response.end(`${process.env.GANTRY_RELEASE} ${Math.random()}`);
  }
  response.end(process.env.GANTRY_RELEASE);
}).listen(process.env.PORT, process.env.HOST);
process.on('SIGTERM', () => process.exit(0));
"""


def write_news(folder: Path, note: str = "") -> Path:
    """A Node product that marks one path cacheable."""
    folder.mkdir(exist_ok=True)
    package = {"name": "news", "version": "1.0.0", "type": "module"}
    lock = {**package, "lockfileVersion": 3, "packages": {"": package}}
    (folder / "package.json").write_text(json.dumps(package))
    (folder / "package-lock.json").write_text(json.dumps(lock))
    (folder / "server.mjs").write_text(f"{SERVER}// {note}\n")
    (folder / "gantry.toml").write_text(
        '[project]\nname = "news"\n[build]\nframework = "node"\n'
        '[processes.web]\ncommand = "node server.mjs"\ninstances = 2\n'
        'health = { path = "/health" }\n[routes]\ncache = ["/news/:slug*"]\n'
    )
    return folder


def write_pages(folder: Path, name: str) -> Path:
    """What a generator such as Vite makes: a page, and a script whose name changes with its content."""
    assets = folder / "dist" / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    for old in assets.iterdir():
        old.unlink()
    (assets / name).write_text(f"export default '{name}';\n" * 40)
    (folder / "dist" / "index.html").write_text(f'<script type="module" src="/assets/{name}">')
    package = {
        "name": "pages",
        "version": "1.0.0",
        "scripts": {"build": "node -e 0"},
        "devDependencies": {"vite": "7.0.0"},
    }
    (folder / "package.json").write_text(json.dumps(package))
    lock = {**package, "lockfileVersion": 3, "packages": {"": package}}
    (folder / "package-lock.json").write_text(json.dumps(lock))
    (folder / "gantry.toml").write_text(
        '[project]\nname = "pages"\n[build]\nframework = "static"\ninstall = "node -e 0"\ncommand = "node -e 0"\n'
        '[deploy]\nkeep_warm = "0s"\nskew_protection = "0s"\n[processes.web]\ndrain = { requests = "1s", streams = "1s", terminate = "1s" }\n'
    )
    return folder


@pytest.fixture(scope="module", autouse=True)
@slow_teardown("destroys two projects: their instances end in order")
def nothing_is_left(platform: Platform) -> Iterator[None]:
    yield
    for project in ("news", "pages"):
        platform.run("destroy", "--project", project, "--yes")


def test_kept_answers_are_purged_by_path_and_tag(platform: Platform, tmp_path: Path) -> None:
    project = write_news(tmp_path / "news")
    platform.run("deploy", str(project))
    first = wait_until(lambda: _kept(platform, "/news/today"), timeout_s=20, what="a kept answer")
    assert get(platform, "news.localhost", "/news/today").text == first
    release = first.split()[0]
    assert get(platform, "news.localhost", "/news/today").headers["x-gantry-release"] == release
    assert "x-gantry-cache" not in get(platform, "news.localhost", "/").headers
    place = ("--project", "news")
    assert json.loads(platform.run("purge", "/other", *place, "--json").stdout)["purged"] == 0
    assert json.loads(platform.run("purge", "/news/*", *place, "--json").stdout)["purged"] == 1
    second = get(platform, "news.localhost", "/news/today")
    assert (second.headers["x-gantry-cache"], second.text != first) == ("miss", True)
    assert "removed 1 cached response from" in platform.run("purge", "--tag", "news", *place).stderr
    seen = Product(platform, project, "news").environment()["cache"]
    assert seen["hits"] >= 2
    assert (seen["running"], seen["trouble"], seen["entries"]) == (True, "", 0)
    # A new release begins with nothing, and the release before keeps what is its own.
    get(platform, "news.localhost", "/news/today")
    write_news(project, note="second")
    platform.run("deploy", str(project))
    third = get(platform, "news.localhost", "/news/today")
    assert (third.headers["x-gantry-cache"], third.text.split()[0] != release) == ("miss", True)


def _kept(platform: Platform, path: str) -> str:
    answer = get(platform, "news.localhost", path)
    return answer.text if answer.headers.get("x-gantry-cache") == "hit" else ""


def test_the_cache_that_is_killed_costs_nothing(platform: Platform) -> None:
    with platform.strict_client("news.localhost", connections=10, pause_s=0.005) as tally:
        for _ in range(3):
            pid = next(
                int(one["detail"].removeprefix("pid "))
                for one in platform.json("status")["parts"]
                if one["name"] == "cache"
            )
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: _kept(platform, "/news/again"), timeout_s=20, what="the cache")
    assert tally["failures"] == 0, tally


def test_files_of_a_retired_release_stay_reachable(platform: Platform, tmp_path: Path) -> None:
    project = tmp_path / "pages"
    platform.run("deploy", str(write_pages(project, "index-aaaa1111.js")))
    old = wait_until(
        lambda: _stored(platform, "/assets/index-aaaa1111.js"), timeout_s=20, what="the store"
    )
    assert old.headers["cache-control"] == "public, max-age=31536000, immutable"
    platform.run("deploy", str(write_pages(project, "index-bbbb2222.js")))

    def retired() -> bool:
        releases = platform.json("releases", "--project", "pages")
        return [one["state"] for one in releases if not one["live"]] == ["retired"]

    wait_until(retired, timeout_s=40, what="the first release's end")
    page = get(platform, "pages.localhost", "/")
    assert "index-bbbb2222.js" in page.text
    for name in ("index-aaaa1111.js", "index-bbbb2222.js"):
        answer = get(platform, "pages.localhost", f"/assets/{name}", **{"accept-encoding": "br"})
        assert (answer.status_code, answer.headers["x-gantry-release"]) == (200, "assets")
        assert name in answer.text
    # What nobody has is the product's to answer.
    missing = get(platform, "pages.localhost", "/assets/index-cccc3333.js")
    assert missing.headers["x-gantry-release"] != "assets"


def _stored(platform: Platform, path: str) -> httpx.Response | None:
    answer = get(platform, "pages.localhost", path)
    return answer if answer.headers["x-gantry-release"] == "assets" else None
