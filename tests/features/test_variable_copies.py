"""Variables of one environment beside those of another, over HTTP: who may, what happens, and what is never said."""

from pathlib import Path

import httpx
import pytest

from gantry.engines.database.protocol import Database
from gantry.features.accounts.model import Role
from gantry.features.audit import store as audit
from gantry.features.projects import store as projects
from gantry.features.variables.model import MAX_VARIABLES
from gantry.web.app import create_app
from tests.support.web import House, client

_AT = "/api/v1/projects/shop/environments"
_SECRETS = {"TOKEN": "s3cret-staging", "URL": "https://same", "ONLY": "in-staging"}
_OWN = {"TOKEN": "s3cret-production", "URL": "https://same", "MINE": "in-production"}


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> House:
    house = House(database, tmp_path)
    for name, values in (("staging", _SECRETS), ("production", _OWN)):
        await house.variables.change("shop", name, put=values, remove=(), by="ada")
    return house


async def _ask(
    house: House, role: Role, method: str, path: str, body: object = None
) -> httpx.Response:
    async with client(create_app(house.services), token=await house.token(role)) as http:
        return await http.request(method, f"{_AT}/{path}", json=body)


async def _copy(house: House, to: str, body: object, role: Role = Role.DEVELOPER) -> httpx.Response:
    return await _ask(house, role, "POST", f"{to}/variables/copy", body)


async def _values(house: House, environment: str) -> dict[str, str]:
    async with house.database.transaction() as session:
        found = await projects.get_environment(session, "shop", environment)
        return await house.variables.reveal(session, found.id)


async def test_all_are_copied_and_what_the_other_has_not_stays(house: House) -> None:
    answer = await _copy(house, "production", {"from_environment": "staging"})
    assert answer.status_code == 200, answer.text
    assert [item["name"] for item in answer.json()] == ["MINE", "ONLY", "TOKEN", "URL"]
    assert await _values(house, "production") == {**_OWN, **_SECRETS}
    assert await _values(house, "staging") == _SECRETS


async def test_some_are_copied(house: House) -> None:
    body = {"from_environment": "staging", "names": ["ONLY"]}
    assert (await _copy(house, "production", body)).status_code == 200
    assert await _values(house, "production") == {**_OWN, "ONLY": "in-staging"}


async def test_an_environment_that_is_new_is_made(house: House) -> None:
    assert (await _copy(house, "development", {"from_environment": "staging"})).status_code == 200
    assert await _values(house, "development") == _SECRETS


@pytest.mark.parametrize(
    ("to", "body", "status", "code"),
    [
        ("production", {"from_environment": "production"}, 400, "variable.same-environment"),
        ("production", {"from_environment": "development"}, 404, "environment.unknown"),
        ("production", {"from_environment": "staging", "names": ["ONLY", "NONE"]}, 400, "variable.unknown"),
        ("Prod!", {"from_environment": "staging"}, 400, "environment.bad-name"),
        ("production", {}, 400, "request.invalid"),
        ("production", {"from_environment": "staging", "values": {"A": "b"}}, 400, "request.invalid"),
    ],
)  # fmt: skip
async def test_what_is_refused_changes_nothing(
    house: House, to: str, body: object, status: int, code: str
) -> None:
    answer = await _copy(house, to, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert (await _values(house, "staging"), await _values(house, "production")) == (_SECRETS, _OWN)


async def test_a_copy_that_would_be_too_many_copies_none(house: House) -> None:
    many = {f"V{number}": "x" for number in range(MAX_VARIABLES - len(_SECRETS))}
    await house.variables.change("shop", "staging", put=many, remove=(), by="ada")
    answer = await _copy(house, "production", {"from_environment": "staging"})
    assert answer.json()["error"]["code"] == "variable.too-many"
    assert await _values(house, "production") == _OWN


async def test_differences_are_names_and_how_they_stand(house: House) -> None:
    answer = await _ask(house, Role.DEVELOPER, "GET", "staging/variables/diff?other=production")
    assert {item["name"]: item["state"] for item in answer.json()} == {
        "MINE": "only-there",
        "ONLY": "only-here",
        "TOKEN": "differs",
        "URL": "equal",
    }
    unknown = await _ask(house, Role.DEVELOPER, "GET", "staging/variables/diff?other=development")
    assert unknown.json()["error"]["code"] == "environment.unknown"


@pytest.mark.parametrize("role", [None, Role.VIEWER])
async def test_who_may_not_change_one_of_them_may_neither_copy_nor_compare(
    house: House, role: Role | None
) -> None:
    token = await house.token(role) if role else ""
    expected = 403 if role else 401
    async with client(create_app(house.services), token=token) as http:
        for to, other in (("production", "staging"), ("staging", "production")):
            copied = await http.post(f"{_AT}/{to}/variables/copy", json={"from_environment": other})
            compared = await http.get(f"{_AT}/{to}/variables/diff", params={"other": other})
            assert (copied.status_code, compared.status_code) == (expected, expected)
    assert (await _values(house, "staging"), await _values(house, "production")) == (_SECRETS, _OWN)


async def test_no_value_is_ever_said(house: House) -> None:
    """Neither in an answer, nor in a refusal, nor in the audit log."""
    said = [
        await _copy(house, "production", {"from_environment": "staging"}),
        await _copy(house, "production", {"from_environment": "staging", "names": ["NONE"]}),
        await _ask(house, Role.DEVELOPER, "GET", "staging/variables/diff?other=production"),
        await _ask(house, Role.OWNER, "GET", "../../../audit"),
    ]
    async with house.database.transaction() as session:
        entries = await audit.latest(session, limit=10)
    text = "".join(answer.text for answer in said) + "".join(str(entry) for entry in entries)
    assert "TOKEN" in text
    for value in {*_SECRETS.values(), *_OWN.values()}:
        assert value not in text


async def test_a_copy_is_audited_under_the_name_of_whoever_asked(house: House) -> None:
    await _copy(house, "production", {"from_environment": "staging", "names": ["URL"]})
    async with house.database.transaction() as session:
        (entry,) = await audit.latest(session, limit=1)
    assert (entry.actor, entry.action, entry.target) == (
        "developer",
        "variables.change",
        "shop/production",
    )
    assert entry.details == {"set": ["URL"], "unset": []}
