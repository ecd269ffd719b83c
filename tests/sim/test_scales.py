"""Scaling by hand on a machine of glass: at once, until another release goes live."""

import pytest

from gantry.features.accounts.model import Caller, Role
from gantry.features.deploys.model import DeployState
from gantry.features.scales import ScaleRequest, ScaleService
from gantry.kernel.errors import GantryError
from gantry.web.app import create_app
from tests.sim.platform import HOST, Platform, program
from tests.support.web import client

_API = "/api/v1/projects/{project}/environments/{environment}/scale"
ROLES = {
    f"GET {_API}": Role.VIEWER,
    f"POST {_API}": Role.DEVELOPER,
    f"POST {_API}/reset": Role.DEVELOPER,
}
SHOP = ("shop", "production")


@pytest.fixture
def service(live: Platform) -> ScaleService:
    return ScaleService(
        live.database, live.machine.clock, lambda: 2_000_000_000, live.plane.waker.wake
    )


async def scaled(service: ScaleService, **counts: int) -> None:
    await service.set(*SHOP, ScaleRequest(counts=counts), by="ada")


async def settle(live: Platform, ticks: int = 30, seconds: float = 0.1) -> int:
    """Go on, with a visitor at every look; how many instances run."""
    for _ in range(ticks):
        await live.tick(seconds)
        assert live.machine.visit(HOST)[0] == 200
    return len(live.machine.running_instances())


async def test_more_and_fewer_without_losing_a_visitor(
    live: Platform, service: ScaleService
) -> None:
    assert await settle(live) == 2
    await scaled(service, web=4)
    assert await settle(live) == 4
    await scaled(service, web=1)
    await settle(live, ticks=5)
    # The edge has let go of them before any of them is told to end.
    release = next(iter((await live.edge.status()).backends))
    served = {b.name: b for b in live.machine.edge_config.backends}[release]
    assert len(served.endpoints) == 1
    assert len(live.machine.running_instances()) == 4
    assert await settle(live, ticks=70, seconds=1.0) == 1


async def test_another_release_decides_for_itself(live: Platform, service: ScaleService) -> None:
    await scaled(service, web=4)
    await settle(live)
    source = live.sources.put(program("2"))
    plan = await live.plane.planner.plan(*SHOP, source)
    drift = [(c.name, c.before, c.after) for c in plan.changes if c.what == "setting"]
    assert drift == [("processes.web.instances", "4 (gantry scale, ada)", "2")]
    deploy = await live.request(source)
    ended = await live.finish(deploy.id)
    assert ended.state is DeployState.SUCCEEDED
    body = await service.get(*SHOP)
    assert [(p.process, p.count, p.set_by) for p in body.processes] == [("web", 2, "")]
    # Nor does it come back with the release that it was asked for.
    back = await live.plane.deploys.roll_back(*SHOP, to_release=1, by="ada")
    assert (await live.finish(back.id)).state is DeployState.SUCCEEDED
    assert (await service.get(*SHOP)).processes[0].count == 2


async def test_what_the_manifest_says_is_no_drift(live: Platform, service: ScaleService) -> None:
    await scaled(service, web=4)
    assert (await service.get(*SHOP)).processes[0].set_by == "ada"
    await scaled(service, web=2)
    assert (await service.get(*SHOP)).processes[0].set_by == ""
    await scaled(service, web=4)
    body = await service.reset(*SHOP, by="ada")
    assert [(p.count, p.manifest_count) for p in body.processes] == [(2, 2)]


async def test_more_memory_than_there_is_and_none_at_all_are_warned_of(
    live: Platform, service: ScaleService
) -> None:
    body = await service.set(*SHOP, ScaleRequest(counts={"web": 30}), by="ada")
    assert "15.4 GB of memory together, and it has 2.0 GB" in body.warnings[0]
    body = await service.set(*SHOP, ScaleRequest(counts={"web": 0}), by="ada")
    assert body.warnings == ("no instance of web runs: visitors get an error page",)


@pytest.mark.parametrize("framework", ["nextjs", "node"])
async def test_instances_of_next_that_share_no_cache_are_warned_of(
    live: Platform, service: ScaleService, framework: str
) -> None:
    async with live.database.transaction() as session:
        await session.execute("UPDATE builds SET framework = %(name)s", {"name": framework})
    (several, alone) = [
        (await service.set(*SHOP, ScaleRequest(counts={"web": count}), by="ada")).warnings
        for count in (3, 1)
    ]
    said = [text for text in several if text.startswith("each instance of Next.js keeps a cache")]
    assert (bool(said), alone) == (framework == "nextjs", ())


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        ({"web": 33}, "scale.bad-count"),
        ({"web": -1}, "scale.bad-count"),
        ({"mail": 2}, "scale.unknown-process"),
        ({"web": 3, "cron.x": 1}, "scale.unknown-process"),
    ],
)
async def test_numbers_and_names_that_cannot_be_are_refused_whole(
    service: ScaleService, counts: dict[str, int], code: str
) -> None:
    with pytest.raises(GantryError) as refused:
        await service.set(*SHOP, ScaleRequest(counts=counts), by="ada")
    assert refused.value.code == code
    assert (await service.get(*SHOP)).processes[0].set_by == ""


async def test_status_and_the_page_say_so(live: Platform, service: ScaleService) -> None:
    await scaled(service, web=3)
    services = live.plane.services
    token, _ = await live.plane.accounts.api_token(label="v", role=Role.VIEWER, days=1, by=_owner())
    async with client(create_app(services), token=token) as http:
        body = (await http.get("/api/v1/projects/shop")).json()
        shown = next(item for item in body["environments"] if item["name"] == "production")
        assert shown["scaled"] == ["web 3 (gantry.toml: 2)"]
        page = (await http.get("/projects/shop/production")).text
    assert "web 3 (gantry.toml: 2); until the next deploy." in page


def _owner() -> Caller:
    return Caller("ada", Role.OWNER)
