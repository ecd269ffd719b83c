"""Login links, sessions and tokens on a real database."""

import pytest

from gantry.engines.database.postgres import PostgresDatabase
from gantry.features.accounts.model import Caller, Role, TokenKind
from gantry.features.accounts.service import AccountService
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import AccessError, NotFoundError
from gantry.kernel.ids import SystemIds

ADA = Caller("ada", Role.DEVELOPER)


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
    assert await accounts.caller(secret, TokenKind.API) == Caller("ada", Role.VIEWER)
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
