"""`gantry login`, `logout` and `remotes`: control planes of other machines, remembered."""

import json
import socket
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import rich_click as click

from gantry.cli.command import Group, command, json_option, pass_session
from gantry.cli.listing import Listing
from gantry.cli.session import LOCAL, Session
from gantry.cli.transport import Api, connect, path
from gantry.config.remotes import Remote
from gantry.config.setting_table import parse_url
from gantry.features.accounts.bodies import CallerBody, LoginRequest, TokenBody
from gantry.features.platform.bodies import HealthBody
from gantry.kernel.errors import NotFoundError, UserError
from gantry.kernel.redact import without_credentials

_MAX_TOKEN = 200


@command(
    "login",
    ("you are prompted for the token", "gantry login https://gantry.example.com"),
    (
        "with the link that gantry open --console --print gives on that machine",
        "gantry login 'https://gantry.example.com/login?token=...'",
    ),
    ("in a script", "gantry login gantry.example.com --token-stdin < token"),
    ("only for this folder and those below", "gantry login gantry.example.com --here"),
    (
        "a platform with its own certificate authority",
        "gantry login https://gantry.localhost:8443 --ca-file ~/.gantry/keys/ca/root.pem",
    ),
)
@click.argument("url")
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input.")
@click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Trust this certificate authority for it, too.",
)
@click.option("--here", is_flag=True, help="Use it only in this folder and those below it.")
@pass_session
def login(session: Session, url: str, token_stdin: bool, ca_file: Path | None, here: bool) -> None:
    """Remember another machine's platform, so that commands go there.

    The token is kept in ~/.config/gantry/remotes.toml, readable by you alone. On that machine gantry token create NAME
    makes one; what it does is recorded under that name. A login link works instead, once.
    """
    address, code = _address_and_code(url)
    ca = str(ca_file.resolve()) if ca_file else ""
    remote = Remote(address, "", ca_file=ca)
    _api(session, remote).get(HealthBody, path("health"))
    token = _redeemed(session, remote, code) if code else _token(token_stdin)
    remote = replace(remote, token=token)
    caller = _api(session, remote).get(CallerBody, path("me"))
    remote = replace(remote, account=caller.account)
    folder = session.cwd.resolve() if here else None
    session.remember(session.remotes.added(remote, folder=folder))
    where = f"commands in {folder} and below go there" if folder else "commands go there now"
    session.say(f"logged in to {address} as {caller.account}, a {caller.role}; {where}")


def _address_and_code(url: str) -> tuple[str, str]:
    """The control plane's address, and the code of a login link; empty for none."""
    try:
        address = parse_url(url)
    except ValueError as error:
        raise UserError(
            "login.bad-url",
            f"{without_credentials(url)[:200]!r} {error}",
            hint="gantry login --help",
        ) from None
    parts = urlsplit(address)
    code = parse_qs(parts.query).get("token", [""])[0]
    return f"{parts.scheme}://{parts.netloc}", code if parts.path == "/login" else ""


def _token(from_stdin: bool) -> str:
    if from_stdin:
        given = sys.stdin.read(_MAX_TOKEN + 2).strip()
    else:
        given = click.prompt("Token", hide_input=True, err=True).strip()
    if not given or len(given) > _MAX_TOKEN or any(char.isspace() for char in given):
        raise UserError(
            "login.bad-token",
            "that is not a token",
            hint="on that machine: gantry token create my-laptop",
        )
    return str(given)


def _redeemed(session: Session, remote: Remote, code: str) -> str:
    """A token in exchange for the code of a login link."""
    label = socket.gethostname()[:64] or "laptop"
    request = LoginRequest.model_validate({"code": code, "label": f"login from {label}"})
    return _api(session, remote).post(TokenBody, path("login"), request).token


def _api(session: Session, remote: Remote) -> Api:
    settings = replace(
        session.settings,
        control_url=remote.url,
        control_token=remote.token or "none",
        control_ca=remote.ca_file or session.settings.control_ca,
    )
    return session.connect(settings) if session.connect else connect(settings, lambda: "")


@command(
    "logout",
    ("forget the one that commands go to", "gantry logout"),
    ("another", "gantry logout https://gantry.example.com"),
)
@click.argument("url", required=False)
@pass_session
def logout(session: Session, url: str | None) -> None:
    """Forget a remembered platform and its token, here.

    The token itself works until it expires or an owner revokes it: gantry token revoke.
    """
    remote = _remembered(session, url) if url else session.remote
    if remote is None:
        session.say("commands go to this machine's own platform; nothing to log out from")
        return
    session.remember(session.remotes.without(remote.url))
    session.say(f"{remote.url} and its token are forgotten")


def _remembered(session: Session, url: str) -> Remote:
    address, _ = _address_and_code(url)
    found = session.remotes.remotes.get(address)
    if found is None:
        raise NotFoundError(
            "remotes.unknown",
            f"{address} is not remembered",
            hint=f"gantry remotes lists them; gantry login {address}",
        )
    return found


@click.group("remotes", cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def remotes(ctx: click.Context) -> None:
    """List the platforms that are remembered, and which one commands go to.

    In this order: --url, GANTRY_URL, GANTRY_HOME, the folder's link (gantry login --here), the login, this machine.
    """
    if ctx.invoked_subcommand is not None:
        return
    session = ctx.find_object(Session)
    assert session is not None
    used = session.remote
    listed = session.remotes
    if session.as_json:
        session.json(json.dumps([_as_json(session, item) for item in listed.remotes.values()]))
        return
    rows = Listing("", "url", "as", "folders", flexible=("url", "folders"))
    rows.add_row("" if used else "*", f"this machine ({session.settings.home})", "", "")
    for url, item in listed.remotes.items():
        folders = ", ".join(folder for folder, to in listed.folders.items() if to == url)
        rows.add_row("*" if used and used.url == url else "", url, item.account, folders)
    session.show(rows)
    if used is not None and used.url not in listed.remotes:
        session.say(f"commands go to {used.url} (GANTRY_URL or --url)")


def _as_json(session: Session, item: Remote) -> dict[str, object]:
    used = session.remote
    return {
        "url": item.url,
        "account": item.account,
        "ca_file": item.ca_file,
        "folders": [folder for folder, to in session.remotes.folders.items() if to == item.url],
        "used": used is not None and used.url == item.url,
    }


@command(
    "use",
    ("one that is remembered", "gantry remotes use https://gantry.example.com"),
    ("this machine's own platform", "gantry remotes use local"),
    group=remotes,
)
@click.argument("url")
@pass_session
def use(session: Session, url: str) -> None:
    """Let commands go to a remembered platform, or to this machine's own."""
    chosen = "" if url == LOCAL else _remembered(session, url).url
    session.remember(replace(session.remotes, current=chosen))
    session.say(f"commands go to {chosen or 'this machine'} now")
