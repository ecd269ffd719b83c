"""Login links, sessions and tokens on a real database."""

import pytest

from gantry.engines.database.postgres import PostgresDatabase
from gantry.features.accounts import store
from gantry.features.accounts.model import Caller, Role, TokenKind
from gantry.features.accounts.service import OPERATOR, AccountService
from gantry.features.audit import store as audit
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import AccessError, NotFoundError, UserError
from gantry.kernel.ids import SystemIds

ADA = Caller("ada", Role.DEVELOPER)
ROLES = {"GET /api/v1/me": Role.VIEWER, "POST /api/v1/login": None}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def accounts(database: PostgresDatabase, clock: ManualClock) -> AccountService:
    return AccountService(database, clock, SystemIds())


async def test_a_login_link_works_once(accounts: AccountService) -> None:
    secret, _ = await accounts.login_link(by=ADA)
    session, token = await accounts.redeem(secret)
    assert token.role is Role.DEVELOPER
    assert await accounts.caller(session, TokenKind.SESSION) == ADA
    with pytest.raises(AccessError, match="used already"):
        await accounts.redeem(secret)


async def test_a_login_link_expires(accounts: AccountService, clock: ManualClock) -> None:
    secret, _ = await accounts.login_link(by=ADA)
    clock.advance(15 * 60)
    with pytest.raises(AccessError):
        await accounts.redeem(secret)


async def test_one_kind_of_token_does_not_open_another_door(accounts: AccountService) -> None:
    link, _ = await accounts.login_link(by=ADA)
    assert await accounts.caller(link, TokenKind.SESSION) is None
    assert await accounts.caller(link, TokenKind.API) is None


async def test_nobody_hands_out_more_than_they_have(accounts: AccountService) -> None:
    with pytest.raises(AccessError, match="cannot make a token"):
        await accounts.api_token(label="ci", role=Role.OWNER, days=1, by=ADA)


async def test_api_tokens_expire_and_can_be_revoked(
    accounts: AccountService, clock: ManualClock
) -> None:
    secret, token = await accounts.api_token(label="ci", role=Role.VIEWER, days=1, by=ADA)
    assert await accounts.caller(secret, TokenKind.API) == Caller("ci", Role.VIEWER)
    with pytest.raises(NotFoundError):
        await accounts.revoke(token.hash[:5], by=ADA)
    await accounts.revoke(token.hash[:12], by=ADA)
    assert await accounts.caller(secret, TokenKind.API) is None
    secret, _ = await accounts.api_token(label="ci", role=Role.VIEWER, days=1, by=ADA)
    clock.advance(86_400)
    assert await accounts.caller(secret, TokenKind.API) is None


@pytest.mark.parametrize(
    ("has", "needs", "may"),
    [
        (Role.VIEWER, Role.VIEWER, True),
        (Role.VIEWER, Role.DEVELOPER, False),
        (Role.DEVELOPER, Role.VIEWER, True),
        (Role.DEVELOPER, Role.OWNER, False),
        (Role.OWNER, Role.DEVELOPER, True),
    ],
)
def test_roles(has: Role, needs: Role, may: bool) -> None:
    assert has.covers(needs) is may


async def audited(database: PostgresDatabase) -> list[tuple[str, str, str]]:
    async with database.transaction() as session:
        entries = await audit.latest(session, limit=100)
    return [(entry.actor, entry.action, entry.target) for entry in reversed(entries)]


@pytest.mark.own_database
async def test_a_token_acts_under_its_own_name_and_its_maker_made_it(
    accounts: AccountService, database: PostgresDatabase
) -> None:
    secret, _ = await accounts.api_token(label="ci", role=Role.VIEWER, days=1, by=ADA)
    assert await accounts.caller(secret, TokenKind.API) == Caller("ci", Role.VIEWER)
    assert ("ada", "token.api", "ci") in await audited(database)


@pytest.mark.parametrize("label", ["operator", " Operator ", "operator of this machine", "GANTRY"])
async def test_nobody_else_can_look_like_the_operator(accounts: AccountService, label: str) -> None:
    with pytest.raises(UserError) as caught:
        await accounts.api_token(label=label, role=Role.VIEWER, days=1, by=ADA)
    assert caught.value.code == "token.reserved-label"
    link, _ = await accounts.login_link(by=ADA)
    with pytest.raises(UserError, match="cannot be called"):
        await accounts.redeem_for_token(link, label=label)
    await accounts.redeem(link)  # it was not used up


async def test_a_login_link_gives_one_token_with_its_maker_s_rights(
    accounts: AccountService,
) -> None:
    link, _ = await accounts.login_link(by=ADA)
    secret, token = await accounts.redeem_for_token(link, label="ada's laptop")
    assert await accounts.caller(secret, TokenKind.API) == Caller("ada's laptop", Role.DEVELOPER)
    assert token.role is Role.DEVELOPER
    with pytest.raises(AccessError, match="used already"):
        await accounts.redeem_for_token(link, label="ada's laptop")


@pytest.mark.own_database
async def test_starts_leave_no_heap_of_operators_tokens(
    accounts: AccountService, database: PostgresDatabase, clock: ManualClock
) -> None:
    secrets = []
    for _ in range(4):
        clock.advance(1)
        secrets.append(await accounts.operator_token())
    known = [await accounts.caller(secret, TokenKind.API) for secret in secrets]
    assert known == [None, None, OPERATOR, OPERATOR]
    async with database.transaction() as session:
        assert len(await store.list_api_tokens(session)) == 2
