"""Logging in and out."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from gantry.kernel.errors import AccessError
from gantry.web.access import (
    PUBLIC,
    Cookie,
    address_of,
    attempts_of,
    clear_session,
    require_same_origin,
    set_session,
)
from gantry.web.console.contexts import LoginPage
from gantry.web.console.frame import frame_of
from gantry.web.console.render import render
from gantry.web.services import Has

router = APIRouter(
    include_in_schema=False, default_response_class=HTMLResponse, dependencies=[PUBLIC]
)

LONGEST_TOKEN = 200


@router.get("/login")
async def login_page(
    request: Request, services: Has, token: Annotated[str, Query(max_length=LONGEST_TOKEN)] = ""
) -> HTMLResponse:
    """Asks for one click. The link is not used up by looking at it."""
    return render(request, "login", LoginPage(token), frame_of(services))


@router.post("/login")
async def login(
    request: Request, services: Has, token: Annotated[str, Form(max_length=LONGEST_TOKEN)]
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


@router.post("/logout")
async def logout(request: Request, services: Has, cookie: Cookie) -> RedirectResponse:
    """Ends the session, in the database too."""
    require_same_origin(request)
    if cookie is not None:
        await services.accounts.log_out(cookie)
    response = RedirectResponse("/login", status_code=303)
    clear_session(response)
    return response
