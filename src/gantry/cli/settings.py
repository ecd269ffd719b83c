"""`gantry settings`: what is set for this machine's platform, and where each value comes from."""

from collections.abc import Mapping

import rich_click as click
from rich.padding import Padding
from rich.text import Text

from gantry.cli.command import Group, command, json_option, pass_session
from gantry.cli.session import Session
from gantry.cli.terminal import json_array
from gantry.config.setting_table import BY_KEY, Scope
from gantry.config.settings_file import write_settings
from gantry.features.platform.bodies import SettingBody, settings_of

_NAME_COLUMNS = 17


@click.group("settings", cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def settings(ctx: click.Context) -> None:
    """Show this platform's settings, and where each comes from.

    The environment wins over the settings file, and the file over the defaults. Which file is read: gantry.conf in
    GANTRY_HOME; without that variable /etc/gantry/gantry.conf, else ~/.gantry/gantry.conf.
    """
    if ctx.invoked_subcommand is not None:
        return
    session = ctx.find_object(Session)
    assert session is not None
    found = settings_of(session.settings, Scope.PLATFORM, Scope.COMMANDS)
    if session.as_json:
        session.json(json_array(found))
        return
    for body in found:
        _show(session, body)
    file = session.settings.file
    if file is not None:
        session.say(f"file: {file}" + ("" if file.exists() else " (there is none yet)"))


def _show(session: Session, body: SettingBody) -> None:
    default = body.origin == "default"
    line = Text.assemble(
        (f"{body.key:<{_NAME_COLUMNS}}", "" if default else "bold"),
        (body.value or "–", "dim" if default else ""),
        ("" if default else f"  {body.origin}", "cyan"),
    )
    session.out.print(line, soft_wrap=True)
    meaning = Text(body.meaning.replace("`", ""), style="dim")
    if session.out.is_terminal:
        session.out.print(Padding(meaning, (0, 0, 0, _NAME_COLUMNS)))


@command(
    "set",
    ("the platform's own domain", "gantry settings set domain apps.example.com"),
    ("who may be warned", "gantry settings set acme_email ops@example.com"),
    group=settings,
)
@click.argument("key")
@click.argument("value")
@pass_session
def set_(session: Session, key: str, value: str) -> None:
    """Write a setting to the settings file. Its comments and other lines are kept.

    The control plane reads its settings when it starts: gantry up --restart lets it start again while sites go on.
    """
    _write(session, {key: value})


@command(
    "unset",
    ("back to the default", "gantry settings unset cache_mb"),
    group=settings,
)
@click.argument("key")
@pass_session
def unset(session: Session, key: str) -> None:
    """Remove a setting from the settings file, so that its default holds."""
    _write(session, {key: None})


def _write(session: Session, values: Mapping[str, str | None]) -> None:
    before = session.settings
    file = before.file
    assert file is not None, "what was loaded names its file"
    write_settings(file, values)
    after = session.platform.settings()
    for key in values:
        origin = after.origins.get(key, "default")
        session.say(f"{key} is now {BY_KEY[key].shown(after) or 'not set'} ({origin})")
        if origin.startswith("GANTRY_"):
            session.say(f"! {origin} of the environment wins over {file}", style="yellow")
    session.say("It holds from the next start on: gantry up --restart")
