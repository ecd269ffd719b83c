"""Login links, API tokens, and logging in and out of the console."""

from dataclasses import dataclass
from typing import Annotated, ClassVar
from urllib.parse import urlencode

from fastapi import Form, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from gantry.features.accounts import store
from gantry.features.accounts.bodies import (
    CallerBody,
    LoginLinkBody,
    LoginRequest,
    TokenBody,
    TokenRequest,
)
from gantry.features.accounts.model import Caller, Role
from gantry.kernel.errors import AccessError, UserError
from gantry.web.access import (
    PUBLIC,
    Cookie,
    Owner,
    Viewer,
    address_of,
    attempts_of,
    clear_session,
    require_same_origin,
    set_session,
)
from gantry.web.frame import Page, frame_of, see
from gantry.web.noun import Noun
from gantry.web.render import render
from gantry.web.services import Has, Services

noun = Noun("accounts", "Login links and API tokens.")

MAX_TOKEN_CHARACTERS = 200


@noun.api.post("/login-links", status_code=201, summary="Make a login link")
async def create_login_link(services: Has, caller: Viewer) -> LoginLinkBody:
    """A link that logs one browser in as the caller, once, within 15 minutes."""
    secret, link = await services.accounts.login_link(by=caller)
    console = services.settings.url(services.settings.console_host)
    return LoginLinkBody(
        url=f"{console}/login?{urlencode({'token': secret})}", expires_at=link.expires_at
    )


@noun.api.get("/me", summary="Who sends this request")
async def me(caller: Viewer) -> CallerBody:
    """The account and the role by which the caller is known."""
    return CallerBody(account=caller.account, role=caller.role.value)


@noun.api.post(
    "/login", status_code=201, dependencies=[PUBLIC], summary="Change a login link for a token"
)
async def log_in_with_code(request: Request, services: Has, body: LoginRequest) -> TokenBody:
    """A token for a program, with the rights of whoever made the link, for 90 days; the link works no more."""
    attempts, address = attempts_of(request), address_of(request)
    attempts.check(address)
    try:
        secret, token = await services.accounts.redeem_for_token(body.code, label=body.label)
    except AccessError:
        attempts.failed(address)
        raise
    return TokenBody.of(token, secret)


@noun.api.get("/tokens", summary="List API tokens")
async def list_tokens(services: Has, _caller: Owner) -> tuple[TokenBody, ...]:
    """Every API token, newest first. The tokens themselves are not stored and cannot be shown."""
    async with services.database.transaction() as session:
        return tuple(TokenBody.of(token) for token in await store.list_api_tokens(session))


@noun.api.post("/tokens", status_code=201, summary="Make an API token")
async def create_token(services: Has, caller: Owner, request: TokenRequest) -> TokenBody:
    """A token for a program; `token` is shown this once. It expires, and may not do more than its maker."""
    secret, token = await services.accounts.api_token(
        label=request.label, role=Role(request.role), days=request.days, by=caller
    )
    return TokenBody.of(token, secret)


@noun.api.delete("/tokens/{token}", status_code=204, summary="Revoke an API token")
async def revoke_token(
    services: Has,
    caller: Owner,
    token: Annotated[str, Path(max_length=64, description="`id` of the token.")],
) -> None:
    """Ends a token at once."""
    await services.accounts.revoke(token, by=caller)


@dataclass(frozen=True, slots=True)
class AccessPage(Page):
    """The API tokens.

    Attributes:
        tokens: newest first; that of whoever runs commands on this machine among them.
        made: the one that was made just now, whose secret is shown this once; else `None`.
        roles: that a new one may have, with what they may do.
    """

    template: ClassVar[str] = "accounts/access"
    refreshes: ClassVar[bool] = False

    tokens: tuple[TokenBody, ...]
    made: TokenBody | None
    roles: tuple[tuple[Role, str], ...]
    console: str


_ROLES = (
    (Role.DEVELOPER, "deploys, rolls back, sets variables"),
    (Role.VIEWER, "looks at everything but secrets"),
    (Role.OWNER, "also makes tokens and destroys"),
)


async def _access_page(
    request: Request, services: Services, caller: Caller, made: TokenBody | None = None
) -> HTMLResponse:
    page = AccessPage(
        tokens=await list_tokens(services, caller),
        made=made,
        roles=_ROLES,
        console=services.settings.url(services.settings.console_host),
    )
    return render(request, page, frame_of(services, caller, here="access"))


@noun.console.get("/access")
async def access_page(request: Request, services: Has, caller: Owner) -> HTMLResponse:
    """The API tokens, and a form that makes one."""
    return await _access_page(request, services, caller)


@noun.console.post("/access")
async def create_button(
    request: Request,
    services: Has,
    caller: Owner,
    label: Annotated[str, Form(max_length=100)],
    role: Annotated[Role, Form()],
    days: Annotated[int, Form(ge=1, le=365)],
) -> HTMLResponse:
    """Make a token, and show it once: it is in the answer to this request and nowhere else."""
    wanted = TokenRequest(label=_label(label), role=role.value, days=days)
    return await _access_page(
        request, services, caller, await create_token(services, caller, wanted)
    )


def _label(given: str) -> str:
    label = given.replace("\0", "").strip()
    if not label:
        raise UserError(
            "token.no-label",
            "a token needs a name: what it does is recorded under it",
            hint="name it after the machine or the program that will have it",
        )
    return label


@noun.console.post("/access/{token}/revoke")
async def revoke_button(
    services: Has, caller: Owner, token: Annotated[str, Path(max_length=64)]
) -> RedirectResponse:
    """End a token at once."""
    await services.accounts.revoke(token, by=caller)
    return see("/access")


@dataclass(frozen=True, slots=True)
class LoginPage(Page):
    """A page with one button, so that a program that merely opens the link does not use it up."""

    template: ClassVar[str] = "accounts"
    refreshes: ClassVar[bool] = False

    token: str


@noun.console.get("/login", dependencies=[PUBLIC])
async def login_page(
    request: Request,
    services: Has,
    token: Annotated[str, Query(max_length=MAX_TOKEN_CHARACTERS)] = "",
) -> HTMLResponse:
    """The page that a login link opens. Opening it does not use the link up."""
    return render(request, LoginPage(token), frame_of(services))


@noun.console.post("/login", dependencies=[PUBLIC])
async def login(
    request: Request, services: Has, token: Annotated[str, Form(max_length=MAX_TOKEN_CHARACTERS)]
) -> RedirectResponse:
    """Changes the link's secret for a session's, once."""
    require_same_origin(request)
    attempts, address = attempts_of(request), address_of(request)
    attempts.check(address)
    try:
        secret, _ = await services.accounts.redeem(token)
    except AccessError:
        attempts.failed(address)
        raise
    response = RedirectResponse("/", status_code=303)
    set_session(response, secret)
    return response


@noun.console.post("/logout", dependencies=[PUBLIC])
async def logout(request: Request, services: Has, cookie: Cookie) -> RedirectResponse:
    """Ends the session, in the database too."""
    require_same_origin(request)
    if cookie is not None:
        await services.accounts.log_out(cookie)
    response = RedirectResponse("/login", status_code=303)
    clear_session(response)
    return response
