"""Login links and API tokens."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Path

from gantry.features.accounts import store
from gantry.features.accounts.bodies import LoginLinkBody, TokenBody, TokenRequest
from gantry.features.accounts.model import Role, Token
from gantry.web.access import Developer, Owner
from gantry.web.api.shared import area
from gantry.web.services import Has

router = area("accounts")


@router.post("/login-links", status_code=201, summary="Make a login link")
async def create_login_link(services: Has, caller: Developer) -> LoginLinkBody:
    """A link that logs one browser in as the caller, once, within 15 minutes."""
    secret, link = await services.accounts.login_link(by=caller)
    console = services.settings.url(services.settings.console_host)
    return LoginLinkBody(
        url=f"{console}/login?{urlencode({'token': secret})}", expires_at=link.expires_at
    )


@router.get("/tokens", summary="List API tokens")
async def list_tokens(services: Has, _caller: Owner) -> tuple[TokenBody, ...]:
    """Every API token, newest first. The tokens themselves are not stored and cannot be shown."""
    async with services.state.transaction() as session:
        return tuple(_body(token) for token in await store.list_api_tokens(session))


@router.post("/tokens", status_code=201, summary="Make an API token")
async def create_token(services: Has, caller: Owner, request: TokenRequest) -> TokenBody:
    """A token for a program; `token` is shown this once. It expires, and may not do more than its maker."""
    secret, token = await services.accounts.api_token(
        label=request.label, role=Role(request.role), days=request.days, by=caller
    )
    return _body(token, secret)


@router.delete("/tokens/{token}", status_code=204, summary="Revoke an API token")
async def revoke_token(
    services: Has,
    caller: Owner,
    token: Annotated[str, Path(max_length=64, description="`id` of the token.")],
) -> None:
    """Ends a token at once."""
    await services.accounts.revoke(token, by=caller)


def _body(token: Token, secret: str = "") -> TokenBody:
    return TokenBody(
        id=token.hash[:12],
        label=token.label,
        role=token.role.value,
        created_at=token.created_at,
        expires_at=token.expires_at,
        token=secret,
    )
