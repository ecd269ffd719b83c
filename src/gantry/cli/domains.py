"""`gantry domains`: where each name leads, its certificate, and what to do."""

from collections.abc import Iterable
from datetime import datetime

import rich_click as click
from rich.padding import Padding
from rich.text import Text

from gantry.cli.command import Group, command, json_option, pass_session
from gantry.cli.session import Session
from gantry.cli.terminal import json_array
from gantry.cli.transport import path
from gantry.features.domains.bodies import DomainBody
from gantry.kernel.errors import GantryError
from gantry.kernel.units import format_until

_DNS = {
    "here": "leads here",
    "partly": "leads here in part",
    "elsewhere": "leads elsewhere",
    "missing": "has no DNS record",
    "unknown": "not looked up yet",
    "private": "known to this machine only",
}
_CERTIFICATES = {
    "valid": "certificate",
    "local": "certificate of the platform's own authority",
    "pending": "certificate pending",
    "failed": "certificate refused",
    "renewal-failed": "certificate not renewed",
    "expired": "certificate expired",
}
_INDENT = 2


@click.group("domains", cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def domains(ctx: click.Context) -> None:
    """Show where each name leads, its certificate, and what to do.

    That is the console's name, each environment's below the platform's own domain, and the domains of products:
    domains = ["shop.example.com"] in gantry.toml. The DNS is asked every few minutes.
    """
    if ctx.invoked_subcommand is not None:
        return
    session = ctx.find_object(Session)
    assert session is not None
    found = session.api.get(tuple[DomainBody, ...], path("domains"))
    if session.as_json:
        session.json(json_array(found))
        return
    for body in found:
        show(session, body)


@command(
    "check",
    ("after the record was made", "gantry domains check shop.example.com"),
    group=domains,
)
@click.argument("name")
@json_option
@pass_session
def check(session: Session, name: str) -> None:
    """Ask the DNS for a name now. If it leads here, its certificate is asked for at once.

    Ends with exit code 1 while something is to be done.
    """
    body = session.api.post(DomainBody, path("domains", name, "check"))
    if session.as_json:
        session.json(body.model_dump_json())
    else:
        show(session, body)
    if not body.settled:
        session.exit(1)


def show(session: Session, body: DomainBody) -> None:
    """A name with what is said of it, below each other: names are long."""
    mark = ("✓ ", "bold green") if body.settled else ("! ", "bold yellow")
    whose = f"{body.project}/{body.environment}" if body.project else "the console"
    session.out.print(
        Text.assemble(mark, (body.host, "bold"), (f"  {whose}", "dim")), soft_wrap=True
    )
    lines = [_dns(body), _certificate(body, session.clock.now())]
    for line in (*lines, *body.advice):
        text = Text(line, style="" if line in body.advice else "dim")
        session.out.print(
            Padding(text, (0, 0, 0, _INDENT)) if session.out.is_terminal else Text("  ") + text,
            soft_wrap=not session.out.is_terminal,
        )


def _dns(body: DomainBody) -> str:
    addresses = f": {', '.join(body.addresses)}" if body.addresses else ""
    return _DNS.get(body.dns, body.dns) + addresses


def _certificate(body: DomainBody, now: datetime) -> str:
    words = _CERTIFICATES.get(body.certificate, body.certificate)
    if body.certificate in ("valid", "renewal-failed") and body.expires_at:
        return f"{words} of {body.issuer}, expires {format_until(body.expires_at, now)}"
    return words


def say_pending(session: Session, project: str, environment: str) -> None:
    """After a deploy: which of its own domains is not ready, and what to do. Its success does not depend on this."""
    try:
        found = session.api.get(tuple[DomainBody, ...], path("domains"))
    except GantryError:
        return
    for body in _pending(found, project, environment):
        session.say(
            Text.assemble(
                ("! ", "bold yellow"),
                (body.host, "bold"),
                f": {_certificate(body, session.clock.now())}",
            )
        )
        for line in body.advice or ("gantry domains shows when it is there",):
            session.say(f"  {line}")


def _pending(found: Iterable[DomainBody], project: str, environment: str) -> Iterable[DomainBody]:
    return (
        body
        for body in found
        if body.kind == "domain"
        and (body.project, body.environment) == (project, environment)
        and not body.settled
    )
