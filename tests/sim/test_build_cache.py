"""The build cache on a machine of glass: deploys without it, and its end."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from gantry.features.accounts.model import Caller, Role
from gantry.features.audit import store as audit
from gantry.features.builds import store as builds
from gantry.features.builds.model import Build
from gantry.features.deploys.model import Deploy, DeployState, Step
from gantry.features.releases.model import Commit
from gantry.web.app import create_app
from tests.sim.platform import Crasher, CrashError, Platform, program
from tests.support.cli import MANIFEST, Bench
from tests.support.web import client, console_of

_API = "/api/v1/projects/{project}/build-cache"
ROLES = {f"GET {_API}": Role.VIEWER, f"POST {_API}/clear": Role.DEVELOPER}
AT = _API.format(project="shop")


async def deployed(platform: Platform, source: str, *, use_cache: bool = True) -> Build:
    """The build of a deploy that went live."""
    asked = await asked_for(platform, source, use_cache=use_cache)
    ended = await platform.finish(asked.id)
    assert (ended.state, ended.error) == (DeployState.SUCCEEDED, None)
    return await build_of(platform, ended)


async def asked_for(platform: Platform, source: str, *, use_cache: bool = True) -> Deploy:
    return await platform.plane.deploys.deploy(
        "shop",
        "production",
        source_digest=source,
        commit=Commit(),
        use_cache=use_cache,
        by="ada",
    )


async def build_of(platform: Platform, deploy: Deploy) -> Build:
    assert deploy.build is not None
    async with platform.database.transaction() as session:
        return await builds.get(session, deploy.build)


async def clear(platform: Platform) -> int:
    async with client(create_app(platform.plane.services), token=await token(platform)) as http:
        answer = await http.post(f"{AT}/clear")
    assert answer.status_code == 200, answer.text
    return int(answer.json()["size_bytes"])


async def token(platform: Platform) -> str:
    owner = Caller("ada", Role.OWNER)
    secret, _ = await platform.plane.accounts.api_token(
        label="laptop", role=Role.DEVELOPER, days=1, by=owner
    )
    return secret


@pytest.fixture
async def owner(live: Platform) -> AsyncIterator[httpx.AsyncClient]:
    async with console_of(live.plane) as http:
        yield http


async def test_a_deploy_without_the_cache_builds_a_tree_anew_and_later_ones_find_that_build(
    live: Platform,
) -> None:
    source = live.sources.put(program("one"))
    first = await deployed(live, source)
    assert (await deployed(live, source)).id == first.id
    anew = await deployed(live, source, use_cache=False)
    assert anew.id != first.id
    assert anew.deployment != first.deployment, "pages of both are told apart"
    assert live.machine.built_without_cache == [anew.id]
    assert (await deployed(live, source)).id == anew.id
    other = await deployed(live, live.sources.put(program("two")))
    assert live.machine.built_without_cache == [anew.id], "the next one has what this one left"
    assert other.cached


async def test_the_step_and_the_api_say_that_it_was_built_anew(live: Platform) -> None:
    source = live.sources.put(program("one"))
    async with client(create_app(live.plane.services), token=await token(live)) as http:
        at = "/api/v1/projects/shop/environments/production/deploys"
        answer = await http.post(at, json={"source_digest": source, "use_cache": False})
        asked = answer.json()
        await live.finish(asked["id"])
        body = (await http.get(f"/api/v1/deploys/{asked['id']}")).json()
    assert (asked["use_cache"], asked["tools"]) == (False, [])
    assert body["tools"] == [
        {"name": "node", "version": "24.0.0"},
        {"name": "npm", "version": "11.0.0"},
    ]
    (step,) = [step for step in body["steps"] if step["name"] == "source"]
    assert "built anew without the build cache" in step["detail"]
    async with live.database.transaction() as session:
        found = await audit.latest(session, limit=5)
    (entry,) = [entry for entry in found if entry.action == "deploy.deploy"][:1]
    assert entry.details["use_cache"] is False


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 5))
async def test_a_control_plane_that_dies_in_between_makes_no_second_build(
    live: Platform, at: int, after: bool
) -> None:
    source = live.sources.put(program("one"))
    asked = await asked_for(live, source, use_cache=False)
    run = live.machine.builds_run
    crasher = Crasher(live.database, at=at, after=after)
    live.boot(crasher)
    with suppress(CrashError):
        await live.finish(asked.id)
    assert crasher.crashed
    live.boot(live.database)
    ended = await live.finish(asked.id)
    assert (ended.state, ended.error) == (DeployState.SUCCEEDED, None)
    assert live.machine.builds_run == run + 1
    assert live.machine.built_without_cache == [ended.build]


async def test_clearing_says_how_much_went_and_the_same_tree_is_built_anew(live: Platform) -> None:
    source = live.sources.put(program("one"))
    first = await deployed(live, source)
    assert await clear(live) == 5_000_000
    assert live.machine.build_caches == {}
    async with live.database.transaction() as session:
        (entry,) = await audit.latest(session, limit=1)
    assert (entry.actor, entry.action, entry.target) == ("laptop", "build-cache.clear", "shop")
    assert entry.details == {"size_bytes": 5_000_000}
    anew = await deployed(live, source)
    assert anew.id != first.id
    assert live.machine.built_without_cache == [], "there was none"


async def test_a_cache_is_not_taken_from_under_a_build(live: Platform) -> None:
    asked = await asked_for(live, live.sources.put(program("one")))
    while (await live.get(asked.id)).step is not Step.BUILD:
        await live.tick()
    async with client(create_app(live.plane.services), token=await token(live)) as http:
        refused = await http.post(f"{AT}/clear")
        size = await http.get(AT)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "build-cache.in-use")
    assert size.json() == {"project": "shop", "size_bytes": 5_000_000}
    assert (await live.finish(asked.id)).state is DeployState.SUCCEEDED
    assert await clear(live) == 5_000_000


async def test_an_unknown_project_has_no_cache(live: Platform) -> None:
    async with client(create_app(live.plane.services), token=await token(live)) as http:
        for answer in (
            await http.get("/api/v1/projects/none/build-cache"),
            await http.post("/api/v1/projects/none/build-cache/clear"),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "project.unknown")


async def test_the_console_has_a_button(live: Platform, owner: httpx.AsyncClient) -> None:
    page = (await owner.get("/projects/shop/production")).text
    assert "Clear build cache" in page
    answer = await owner.post("/projects/shop/production/build-cache/clear")
    assert (answer.status_code, answer.headers["location"]) == (303, "/projects/shop/production")
    assert live.machine.build_caches == {}


async def test_a_destroyed_project_leaves_no_cache(live: Platform) -> None:
    live.machine.build_caches["other"] = 1
    await live.plane.removals.request("shop", None, by="ada")
    for _ in range(200):
        await live.tick()
    assert live.machine.build_caches == {"other": 1}


def test_commands(tmp_path: Path) -> None:
    (tmp_path / "gantry.toml").write_text(MANIFEST)
    bench = Bench(tmp_path)
    done = bench.run("build-cache", "clear")
    assert (done.code, done.err) == (0, "cleared 512.0 MB: the next deploy builds anew\n")
    assert "512.0 MB" in bench.run("build-cache", "show").out
    shown = json.loads(bench.run("build-cache", "clear", "--json").out)
    assert shown == {"project": "smart-sign", "size_bytes": 512_000_000}
    assert bench.run("deploy", "--no-cache", "--yes", "--detach").code == 0
    sent = [
        body
        for method, path, body in bench.api.asked
        if path.endswith("/deploys") and method == "POST"
    ]
    assert sent[-1]["use_cache"] is False
    assert "gantry build-cache clear" in bench.run("cache").err
