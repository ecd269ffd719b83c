"""`gantry token`: API tokens for programs and other machines."""

import rich_click as click

from gantry.cli.command import Group, command, json_option, pass_session
from gantry.cli.session import Session
from gantry.cli.views import documents, tables, words
from gantry.features.accounts.bodies import TokenRequest


@click.group("token", cls=Group)
def token() -> None:
    """Make, list and revoke API tokens.

    They are for CI and for other machines.
    """


@command(
    "create",
    ("for CI: deploy, roll back, set variables", "gantry token create ci"),
    (
        "one that can only look, for a week",
        "gantry token create wallboard --role viewer --days 7",
    ),
    (
        "use it elsewhere",
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
    "--days", type=click.IntRange(1, 365), default=90, show_default=True, help="How long it lives."
)
@json_option
@pass_session
def create(session: Session, label: str, role: str, days: int) -> None:
    """Make a token. It is shown this once, alone on standard output."""
    request = TokenRequest.model_validate({"label": label, "role": role, "days": days})
    body = session.api.create_token(request)
    if session.as_json:
        session.json(body.model_dump_json())
        return
    click.echo(body.token)
    ends = words.until(body.expires_at, session.clock.now())
    session.say(f"{label} is a {body.role}; it ends {ends}. Keep it now: it is not shown again.")


@command(
    "list",
    ("all tokens", "gantry token list"),
    group=token,
)
@json_option
@pass_session
def list_(session: Session) -> None:
    """List the tokens. The secrets themselves are not stored."""
    found = session.api.tokens()
    if session.as_json:
        session.json(documents.array(found))
    elif found:
        session.out.print(tables.tokens(found, session.clock.now()))
    else:
        session.say("no token yet: gantry token create NAME")


@command(
    "revoke",
    ("by the id that gantry token list shows", "gantry token revoke 0123456789ab"),
    group=token,
)
@click.argument("token_id", metavar="ID")
@pass_session
def revoke(session: Session, token_id: str) -> None:
    """End a token at once."""
    session.api.revoke_token(token_id)
    session.say(f"token {token_id} is revoked")


COMMANDS = {"token": token}
