"""Names over HTTP, on a real database: what is known of each, and how a record that was made is found."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from gantry.engines.database.protocol import Database
from gantry.engines.dns.protocol import Records
from gantry.features.accounts.model import Role
from gantry.features.certificates import store as certificates
from gantry.features.domains.bodies import DomainBody
from gantry.features.domains.rules import Machine
from gantry.kernel.clock import ManualClock
from gantry.web.app import create_app
from tests.fakes.dns import FakeResolver
from tests.support.console_seed import CHANGES, Seeder
from tests.support.web import START, House, client

ROLES = {
    "GET /api/v1/domains": Role.VIEWER,
    "POST /api/v1/domains/{host}/check": Role.DEVELOPER,
    "GET /api/v1/settings": Role.OWNER,
}
HERE, ELSEWHERE = "203.0.113.7", "198.51.100.1"
pytestmark = pytest.mark.own_database


class Town:
    """A platform whose production of `shop` has the domain shop.example.org."""

    def __init__(self, house: House) -> None:
        self.house, self.domains = house, house.platform.domains
        self.resolver = FakeResolver(house.machine)
        self.domains.resolver = self.resolver
        self.domains.machine = lambda: Machine(
            frozenset({HERE}), (HERE,), "localhost", open=True, is_local=True
        )

    async def settle(self) -> None:
        seeder = Seeder(self.house, START)
        environment = await seeder.environment("shop", "production", age=timedelta(days=1))
        release = await seeder.release(environment, CHANGES[0], ago=timedelta(hours=1))
        async with self.house.database.transaction() as session:
            await session.execute(
                "UPDATE releases SET manifest = manifest || %(with)s::jsonb WHERE id = %(id)s",
                {"with": json.dumps({"domains": ["shop.example.org"]}), "id": release.id},
            )

    async def body(self) -> DomainBody:
        return next(body for body in await self.domains.list_all() if body.kind == "domain")


@pytest.fixture
async def town(database: Database, tmp_path: Path) -> Town:
    made = Town(House(database, tmp_path, ManualClock(START)))
    await made.settle()
    return made


async def test_every_name_is_listed_and_no_page_asks_the_dns(town: Town) -> None:
    async with client(create_app(town.house.services)) as http:
        http.headers["Authorization"] = f"Bearer {await town.house.token(Role.VIEWER)}"
        listed = (await http.get("/api/v1/domains")).json()
    assert [(body["host"], body["kind"], body["dns"]) for body in listed] == [
        ("gantry.localhost", "console", "private"),
        ("shop.localhost", "environment", "private"),
        ("shop.example.org", "domain", "unknown"),
    ]
    assert town.resolver.asked == []


async def test_the_loop_asks_for_what_is_due_and_forgets_what_is_gone(town: Town) -> None:
    await town.domains.once()
    await town.domains.once()
    assert town.resolver.asked == ["shop.example.org"]
    assert (await town.body()).dns == "missing"
    town.house.clock.advance(60)
    await town.domains.once()
    assert town.resolver.asked == ["shop.example.org"] * 2
    async with town.house.database.transaction() as session:
        await session.execute("UPDATE releases SET manifest = manifest - 'domains'")
    await town.domains.once()
    assert town.domains._looks == {}


async def test_a_record_that_leads_here_lets_the_certificate_be_asked_for_again(town: Town) -> None:
    async with town.house.database.transaction() as session:
        await certificates.put_failure(
            session, "shop.example.org", code="certificate.no-record", message="none", at=START
        )
    assert (await town.body()).certificate == "failed"
    town.resolver.zone["shop.example.org"] = Records("shop.example.org", (ELSEWHERE,))
    checked = await town.domains.check("Shop.Example.org.")
    assert (checked.dns, checked.certificate, town.house.woken) == ("elsewhere", "failed", 0)
    town.resolver.zone["shop.example.org"] = Records("shop.example.org", (HERE,))
    checked = await town.domains.check("shop.example.org")
    assert (checked.dns, checked.certificate, town.house.woken) == ("here", "pending", 1)
    await town.domains.check("shop.example.org")
    assert town.house.woken == 1, "what leads here already is no news"


async def test_a_name_that_is_none_of_ours_is_not_looked_up(town: Town) -> None:
    async with client(create_app(town.house.services)) as http:
        http.headers["Authorization"] = f"Bearer {await town.house.token(Role.DEVELOPER)}"
        answer = await http.post("/api/v1/domains/intranet.victim.example/check")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "domain.unknown"
    assert town.resolver.asked == []


async def test_a_dns_that_does_not_answer_is_said_and_breaks_nothing(town: Town) -> None:
    town.resolver.down = True
    await town.domains.once()
    body = await town.body()
    assert body.dns == "unknown"
    assert any("no DNS server answered" in line for line in body.advice)
