"""Maintenance on a machine of glass: what visitors get, who may ask for it, and what is shown of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from gantry.engines.edge.protocol import MAX_MESSAGE, Closed
from gantry.features.accounts.model import Caller, Role
from gantry.features.audit import store as audit
from gantry.features.deploys.model import DeployState
from gantry.features.maintenance import (
    MAX_ALLOWED,
    MESSAGE,
    TITLE,
    MaintenanceBody,
    MaintenanceRequest,
    MaintenanceService,
)
from gantry.features.platform.bodies import ProjectBody
from gantry.kernel.errors import GantryError, NotFoundError
from gantry.web.app import create_app
from tests.fakes.api import FakeApi, Reply
from tests.sim.platform import HOST, Platform, program
from tests.support.cli import Bench, Outcome
from tests.support.web import client, console_of

_API = "/api/v1/projects/{project}/environments/{environment}/maintenance"
ROLES = {
    f"GET {_API}": Role.VIEWER,
    f"POST {_API}/on": Role.DEVELOPER,
    f"POST {_API}/off": Role.DEVELOPER,
}
AT = _API.format(project="shop", environment="production")
PAGE = "/projects/shop/production"
OFFICE, VISITOR = "203.0.113.7", "198.51.100.1"


@pytest.fixture
def service(live: Platform) -> MaintenanceService:
    return MaintenanceService(live.database, live.machine.clock, live.plane.waker.wake)


@pytest.fixture
async def owner(live: Platform) -> AsyncIterator[httpx.AsyncClient]:
    async with console_of(live.plane) as http:
        yield http


async def settled(live: Platform) -> None:
    """The edge has done what was asked for."""
    for _ in range(3):
        await live.tick()


async def actions(live: Platform) -> list[tuple[str, str, str]]:
    """The newest entries of the audit log."""
    async with live.database.transaction() as session:
        return [(e.actor, e.action, e.target) for e in await audit.latest(session, limit=3)]


async def test_visitors_get_the_page_and_listed_addresses_the_product(
    live: Platform, service: MaintenanceService
) -> None:
    visit = live.machine.visit
    (_, release) = visit(HOST, address=VISITOR)
    request = MaintenanceRequest(message="Back\n at noon.", allow=(OFFICE, f"{OFFICE}/32"))
    body = await service.begin("shop", "production", request, by="ada")
    assert body.closed is not None
    assert (body.closed.allowed, body.begun_by) == ((f"{OFFICE}/32",), "ada")
    await settled(live)
    assert visit(HOST, address=VISITOR) == (503, release)
    assert visit(HOST, address=OFFICE) == (200, release)
    # The rule is for the environment's own addresses: its release, and the console, are asked as before.
    closed = {site.hosts[0]: site.closed for site in live.machine.edge_config.sites}
    assert closed.pop(HOST) == Closed(TITLE, "Back at noon.", (f"{OFFICE}/32",))
    assert len(closed) > 1
    assert set(closed.values()) == {None}
    # What another control plane finds is what the database says.
    live.boot(live.database)
    await settled(live)
    assert visit(HOST, address=VISITOR) == (503, release)
    assert (await service.end("shop", "production", by="ben")).closed is None
    await settled(live)
    assert visit(HOST, address=VISITOR) == (200, release)
    await service.end("shop", "production", by="ben")
    on, off = ("ada", "maintenance.on"), ("ben", "maintenance.off")
    assert [entry[:2] for entry in (await actions(live))[:2]] == [off, on]


async def test_said_anew_it_keeps_its_beginning(
    live: Platform, service: MaintenanceService
) -> None:
    first = await service.begin("shop", "production", MaintenanceRequest(), by="ada")
    live.machine.pass_time(60)
    request = MaintenanceRequest(message="Longer than we thought.")
    second = await service.begin("shop", "production", request, by="ben")
    assert second.closed is not None
    assert second.closed.message == "Longer than we thought."
    assert (second.begun_at, second.begun_by) == (first.begun_at, "ada")


async def test_a_deploy_goes_live_behind_the_page(
    live: Platform, service: MaintenanceService
) -> None:
    await service.begin("shop", "production", MaintenanceRequest(allow=(OFFICE,)), by="ada")
    deploy = await live.request(live.sources.put(program("2")))
    ended = await live.finish(deploy.id)
    assert (ended.state, ended.error) == (DeployState.SUCCEEDED, None)
    await settled(live)
    assert live.machine.visit(HOST, address=VISITOR) == (503, ended.release)
    assert live.machine.visit(HOST, address=OFFICE) == (200, ended.release)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (MaintenanceRequest(allow=("office.example",)), "maintenance.bad-address"),
        (MaintenanceRequest(allow=("203.0.113.7/24",)), "maintenance.bad-address"),
        (MaintenanceRequest(allow=("fe80::1%eth0",)), "maintenance.bad-address"),
        (MaintenanceRequest(allow=("",)), "maintenance.bad-address"),
        (MaintenanceRequest(allow=("10.0.0.1",) * (MAX_ALLOWED + 1)), "maintenance.too-many"),
        (MaintenanceRequest(message=" \n"), "maintenance.bad-message"),
        (MaintenanceRequest(message="a\x00b"), "maintenance.bad-message"),
        (MaintenanceRequest(message="x" * (MAX_MESSAGE + 1)), "maintenance.bad-message"),
    ],
)
async def test_what_no_edge_would_take_is_refused(
    live: Platform, service: MaintenanceService, request_: MaintenanceRequest, code: str
) -> None:
    with pytest.raises(GantryError) as caught:
        await service.begin("shop", "production", request_, by="ada")
    assert caught.value.code == code
    assert (await service.get("shop", "production")).closed is None
    with pytest.raises(NotFoundError):
        await service.begin("shop", "staging", MaintenanceRequest(), by="ada")


async def test_the_api_asks_who_calls(live: Platform) -> None:
    async def ask(role: Role) -> list[httpx.Response]:
        token, _ = await live.plane.accounts.api_token(
            label=role, role=role, days=1, by=Caller("ada", Role.OWNER)
        )
        async with client(create_app(live.plane.services), token=token) as http:
            on = await http.post(f"{AT}/on", json={"message": "Back at noon."})
            return [on, await http.get(AT), await http.post(f"{AT}/off")]

    assert [answer.status_code for answer in await ask(Role.VIEWER)] == [403, 200, 403]
    allowed = await ask(Role.DEVELOPER)
    assert [answer.status_code for answer in allowed] == [200, 200, 200]
    on, found, off = (MaintenanceBody.model_validate(answer.json()) for answer in allowed)
    assert on == found
    assert (on.closed is not None, off.closed) == (True, None)


async def test_the_console_shows_it_and_has_a_button(
    live: Platform, owner: httpx.AsyncClient
) -> None:
    assert "Close production for maintenance?" in (await owner.get(PAGE)).text
    assert (await owner.post(f"{PAGE}/maintenance/on")).headers["location"] == PAGE
    closed = (await owner.get(PAGE)).text
    assert TITLE in closed
    assert MESSAGE in closed
    assert "Open production to visitors?" in closed
    assert ">Closed<" in (await owner.get("/")).text
    project = ProjectBody.model_validate((await owner.get("/api/v1/projects/shop")).json())
    assert [body.closed and body.closed.title for body in project.environments] == [TITLE]
    assert (await owner.post(f"{PAGE}/maintenance/off")).headers["location"] == PAGE
    assert TITLE not in (await owner.get(PAGE)).text
    assert "maintenance.off" in (await owner.get("/audit")).text


@dataclass
class RealApi(FakeApi):
    """Commands in a thread ask the application in the test's loop."""

    http: httpx.AsyncClient = field(default_factory=httpx.AsyncClient)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def handle(self, method: str, target: str, body: bytes) -> Reply:
        path = httpx.URL(target).raw_path.decode()
        headers = {"content-type": "application/json"}
        asked = self.http.request(method, path, content=body, headers=headers)
        answer = asyncio.run_coroutine_threadsafe(asked, self.loop).result(timeout=30)
        return answer.status_code, [answer.content]


async def test_the_commands(live: Platform, owner: httpx.AsyncClient, tmp_path: Path) -> None:
    bench = Bench(tmp_path, api=RealApi(http=owner))

    async def run(*argv: str) -> Outcome:
        return await asyncio.to_thread(bench.run, "maintenance", *argv, "--project", "shop")

    assert (await run("status")).out == "production is open to visitors\n"
    on = await run("on", "--allow", OFFICE, "--allow", "10.0.0.0/8", "--message", "Back at noon.")
    assert on.code == 0
    assert on.out.splitlines()[0].startswith("production is closed for maintenance, by ada, ")
    assert on.out.splitlines()[1:] == [
        "visitors read: Back at noon.",
        f"let through: {OFFICE}, 10.0.0.0/8",
    ]
    said = MaintenanceBody.model_validate_json((await run("status", "--json")).out)
    assert said.closed is not None
    assert said.closed.message == "Back at noon."
    refused = await run("on", "--allow", "office.example")
    assert refused.code != 0
    assert "maintenance.bad-address" in refused.err
    await settled(live)
    shown = await asyncio.to_thread(bench.run, "status")
    assert "✓ the public port shows visitors the page, with release 1 behind it (503, " in shown.out
    assert f"{TITLE}: “Back at noon.” (let through: {OFFICE}, 10.0.0.0/8)" in shown.out
    off = await run("off")
    assert (off.code, off.out) == (0, "production is open to visitors\n")
