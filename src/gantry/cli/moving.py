"""`gantry export`, `import` and `uninstall`: a platform leaves its machine."""

import json
from pathlib import Path

import rich_click as click
from rich.text import Text

from gantry.cli.command import command, json_option, pass_session
from gantry.cli.session import Session, print_labelled
from gantry.kernel.errors import UserError

_MAX_PASSPHRASE = 1_000


@command(
    "export",
    ("asks for a passphrase", "gantry export platform.gantry"),
    ("in a script", "gantry export platform.gantry --passphrase-file /root/passphrase"),
    ("to the holder of an age key", "gantry export platform.gantry --recipient age1..."),
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--recipient", "recipients", multiple=True, help="Encrypt to this age key; may be repeated."
)
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read the passphrase from a file.",
)
@json_option
@pass_session
def export(
    session: Session, file: Path, recipients: tuple[str, ...], passphrase_file: Path | None
) -> None:
    """Write this machine's platform into one encrypted file.

    In it: projects, releases, variables, keys, certificates, artifacts and the databases of all environments, as they are
    while everything runs. Caches are not: they fill again. Whoever opens the file has every secret of the platform.
    """
    passphrase = "" if recipients else _passphrase(passphrase_file, confirm=True)
    target = (session.cwd / file).resolve()
    with session.progress("Exporting") as progress:
        session.platform.export(target, passphrase, recipients, progress)
    size_bytes = target.stat().st_size
    if session.as_json:
        session.json(json.dumps({"path": str(target), "size_bytes": size_bytes}))
        return
    session.say(Text.assemble(("✓ ", "bold green"), f"wrote {target}"))
    session.say(
        "On the other machine: gantry setup, then gantry import FILE, as the user who runs Gantry"
    )


@command(
    "import",
    ("asks for the passphrase", "gantry import platform.gantry"),
    ("with the file of an age key", "gantry import platform.gantry --identity key.txt"),
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--identity",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of the age key that it was encrypted to.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read the passphrase from a file.",
)
@json_option
@pass_session
def import_(
    session: Session, file: Path, identity: Path | None, passphrase_file: Path | None
) -> None:
    """Make the platform of an export on this machine.

    The home must be empty. Afterwards gantry up starts it, with every site that was live. End the old machine's platform
    first, or both run their crons and workers.
    """
    passphrase = "" if identity else _passphrase(passphrase_file, confirm=False)
    text = identity.read_text(errors="replace") if identity else ""
    with session.progress("Importing") as progress:
        domain = session.platform.import_(file.resolve(), passphrase, text, progress)
    if session.as_json:
        session.json(json.dumps({"home": str(session.settings.home), "domain": domain}))
        return
    session.say(Text.assemble(("✓ ", "bold green"), f"the platform is in {session.settings.home}"))
    if domain != session.settings.domain:
        session.say(
            f"! its domain was {domain}, here it is {session.settings.domain}: gantry settings set domain {domain}",
            style="yellow",
        )
    session.say("Start it: gantry up   (with systemd: sudo systemctl start gantry)")
    session.say("Then let its DNS records lead here: gantry domains")


def _passphrase(file: Path | None, *, confirm: bool) -> str:
    if file is not None:
        text = file.read_text(errors="replace")[: _MAX_PASSPHRASE + 2].rstrip("\r\n")
    else:
        text = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    if not text or len(text) > _MAX_PASSPHRASE:
        raise UserError("export.weak-passphrase", "that is not a passphrase", where=str(file or ""))
    return str(text)


@command(
    "uninstall",
    ("shows what goes, and asks", "sudo gantry uninstall"),
    ("keep databases, keys and settings", "sudo gantry uninstall --keep-data"),
)
@click.option("--keep-data", is_flag=True, help="Keep the home and the settings file.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
@pass_session
def uninstall(session: Session, keep_data: bool, yes: bool) -> None:
    """Remove Gantry's platform from this machine, with everything it runs.

    The program itself goes with what installed it, pipx or pip.
    """
    changes = session.platform.uninstall_plan(keep_data=keep_data)
    if not session.as_json:
        for change in changes:
            print_labelled(session.err, "  will  ", change.detail)
    if not yes:
        home = str(session.settings.home)
        if not keep_data:
            session.say("This cannot be undone: gantry export FILE keeps a copy.", style="bold")
        typed = click.prompt(f"Type {home} to confirm", default="", show_default=False, err=True)
        if typed.strip() != home:
            raise UserError(
                "uninstall.not-confirmed",
                f"{typed.strip()[:100]!r} is not {home!r}; nothing was removed",
                hint="type the path exactly, or use --yes",
            )
    with session.progress("Removing") as progress:
        for change in changes:
            progress(change.detail)
            session.platform.uninstall(change)
    if session.as_json:
        session.json(json.dumps([change.detail for change in changes]))
    else:
        session.say(
            Text.assemble(
                ("✓ ", "bold green"),
                "removed; the program itself: pipx uninstall, or pip uninstall",
            )
        )
