"""`gantry token`: API tokens for programs and other machines."""

from collections.abc import Iterable
from datetime import datetime

import rich_click as click

from gantry.cli.command import Group, command, json_option, pass_session
from gantry.cli.listing import Listing
from gantry.cli.session import Session
from gantry.cli.terminal import json_array
from gantry.cli.transport import path
from gantry.features.accounts.bodies import TokenBody, TokenRequest
from gantry.kernel.units import format_ago, format_until


@click.group("token", cls=Group)
def token() -> None:
    """Create, list and revoke API tokens.

    They are for CI and for other machines.
    """


@command(
    "create",
    ("for CI: deploy, roll back, set variables", "gantry token create ci"),
    ("read-only, for a week", "gantry token create wallboard --role viewer --days 7"),
    (
        "use it on another machine",
        "GANTRY_URL=https://gantry.example.com GANTRY_TOKEN=... gantry status",
    ),
    group=token,
)
@click.argument("label")
@click.option(
    "--role",
    type=click.Choice(["viewer", "developer", "owner"]),
    default="developer",
    show_default=True,
    help="What it may do.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 365),
    metavar="DAYS",
    default=90,
    show_default=True,
    help="Days until it expires.",
)
@json_option
@pass_session
def create(session: Session, label: str, role: str, days: int) -> None:
    """Create a token. It is shown once, alone on standard output."""
    request = TokenRequest.model_validate({"label": label, "role": role, "days": days})
    body = session.api.post(TokenBody, path("tokens"), request)
    if session.as_json:
        session.json(body.model_dump_json())
        return
    click.echo(body.token)
    expires = format_until(body.expires_at, session.clock.now())
    session.say(
        f"token {label} created: role {body.role}, expires {expires}. "
        "Save it now: it is not shown again."
    )


@command(
    "list",
    ("all tokens", "gantry token list"),
    group=token,
)
@json_option
@pass_session
def list_(session: Session) -> None:
    """List the tokens. Their secrets are not stored, and cannot be shown again."""
    found = session.api.get(tuple[TokenBody, ...], path("tokens"))
    if session.as_json:
        session.json(json_array(found))
    elif found:
        session.show(_table(found, session.clock.now()))
    else:
        session.say("no tokens yet: gantry token create NAME")


@command(
    "revoke",
    ("by the id that gantry token list shows", "gantry token revoke 0123456789ab"),
    group=token,
)
@click.argument("token_id", metavar="ID")
@pass_session
def revoke(session: Session, token_id: str) -> None:
    """Revoke a token. It stops working at once."""
    session.api.delete(path("tokens", token_id))
    session.say(f"token {token_id} revoked")


def _table(tokens: Iterable[TokenBody], now: datetime) -> Listing:
    rows = Listing("id", "label", "role", "created", "expires", flexible=("label",))
    for body in tokens:
        rows.add_row(
            body.id,
            body.label,
            body.role,
            format_ago(body.created_at, now),
            format_until(body.expires_at, now),
        )
    return rows
