"""Databases that are lent, on a machine of glass."""

from datetime import timedelta

import pytest

from gantry.features.accounts.model import Caller, Role
from gantry.features.audit import store as audit
from gantry.features.services.loans import LoanBody, LoanRequest
from gantry.kernel.errors import GantryError
from gantry.web.app import create_app
from tests.sim.platform import Platform
from tests.support.web import client

_API = "/api/v1/projects/{project}/environments/{environment}/loans"
ROLES = {f"POST {_API}": Role.DEVELOPER}
AT = _API.format(project="shop", environment="production")


async def test_an_address_is_said_once_and_its_password_nowhere_else(live: Platform) -> None:
    owner = Caller("ada", Role.OWNER)
    secret, _ = await live.plane.accounts.api_token(
        label="laptop", role=Role.DEVELOPER, days=1, by=owner
    )
    async with client(create_app(live.plane.services), token=secret) as http:
        answer = await http.post(AT, json={"read_only": True, "duration_s": 600})
        log = (await http.get("/api/v1/audit")).text
    assert answer.status_code == 201, answer.text
    body = LoanBody.model_validate(answer.json())
    (loan,) = live.machine.loans.values()
    assert (loan.read_only, loan.until) == (True, live.machine.clock.now() + timedelta(minutes=10))
    (grant,) = live.machine.databases.values()
    assert (loan.database, loan.owner) == (grant.database, grant.role)
    assert body.password == loan.password != grant.password
    assert (body.host, body.port, body.database) == ("127.0.0.1", 15432, grant.database)
    assert body.url == f"postgresql://{body.user}:{body.password}@127.0.0.1:15432/{body.database}"
    async with live.database.transaction() as session:
        (entry,) = await audit.latest(session, limit=1)
    assert (entry.actor, entry.action, entry.target) == (
        "laptop",
        "database.lend",
        "shop/production",
    )
    assert entry.details == {
        "role": loan.name,
        "read_only": True,
        "until": loan.until.isoformat(),
    }
    assert body.password not in log
    assert body.password not in repr(body)


async def test_it_ends(live: Platform) -> None:
    await live.plane.loans.lend("shop", "production", LoanRequest(duration_s=60), by="ada")
    await live.plane.loans.once()
    assert len(live.machine.loans) == 1
    live.machine.pass_time(61)
    await live.plane.loans.once()
    assert live.machine.loans == {}


async def test_a_database_of_somebody_else_is_not_lent(live: Platform) -> None:
    await live.plane.variables.change(
        "shop", "production", put={"DATABASE_URL": "postgres://db.example/x"}, remove=(), by="ada"
    )
    with pytest.raises(GantryError) as refusal:
        await live.plane.loans.lend("shop", "production", LoanRequest(), by="ada")
    assert refusal.value.code == "loan.not-ours"
    assert "db.example" not in str(refusal.value)


async def test_where_there_is_no_database_there_is_none_to_lend(live: Platform) -> None:
    await live.plane.variables.change("shop", "staging", put={"A": "b"}, remove=(), by="ada")
    with pytest.raises(GantryError) as refusal:
        await live.plane.loans.lend("shop", "staging", LoanRequest(), by="ada")
    assert refusal.value.code == "loan.no-database"
    with pytest.raises(GantryError) as unknown:
        await live.plane.loans.lend("shop", "none", LoanRequest(), by="ada")
    assert unknown.value.code == "environment.unknown"


async def test_an_environment_that_ends_lends_nothing(live: Platform) -> None:
    await live.plane.removals.request("shop", "production", by="ada")
    with pytest.raises(GantryError) as refusal:
        await live.plane.loans.lend("shop", "production", LoanRequest(), by="ada")
    assert refusal.value.code == "environment.removing"
    assert live.machine.loans == {}
