"""How everything that goes wrong reaches a person: `error[code]: message`, where, hint; and an exit code."""

import json
import traceback
from pathlib import Path
from tempfile import gettempdir

import click
from rich.text import Text

from gantry.cli.session import Session, print_labelled
from gantry.kernel.errors import Cancelled, GantryError, PermanentError, UserError

INTERRUPTED = Cancelled.exit_code
_MAX_LOG_BYTES = 1_000_000


def report(session: Session, error: GantryError) -> int:
    """Show an error; its exit code.

    With `--json` standard output gets `{"error": {...}}`, so that a program reads one stream; people read the same
    error on standard error either way.
    """
    if session.as_json:
        session.json(json.dumps({"error": error.as_dict()}))
    show(session, error)
    return error.exit_code


def show(session: Session, error: GantryError) -> None:
    """The error for people, on standard error."""
    session.say(Text.assemble((f"error[{error.code}]", "bold red"), (": ", "bold"), error.message))
    if error.where:
        print_labelled(session.err, "  where  ", error.where)
    for number, hint in enumerate(error.hint.splitlines()):
        print_labelled(session.err, "         " if number else "  hint   ", hint)


def from_click(error: click.ClickException) -> UserError:
    """A mistake on the command line as an error of Gantry."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context is not None else "gantry"
    if isinstance(error, click.FileError):
        return UserError("cli.file", error.format_message(), where=error.ui_filename)
    from gantry.cli import habits  # noqa: PLC0415 -- knows the manifest, which `gantry --help` does not need

    intended = habits.meant(error) if isinstance(error, click.UsageError) else ""
    return UserError("cli.usage", error.format_message(), hint=intended or f"{command} --help")


def unexpected(session: Session, error: Exception) -> PermanentError:
    """A defect of Gantry: one sentence for the person, the traceback in a file."""
    text = "".join(traceback.format_exception(error))
    kept = _keep(session, text)
    if _debug(session):
        session.err.print(text, soft_wrap=True)
    return PermanentError(
        "cli.unexpected",
        f"something unexpected went wrong in this command: {type(error).__name__}: {error}",
        hint="please report it with that file; GANTRY_DEBUG=1 shows the traceback here",
        where=str(kept) if kept else "",
    )


def _debug(session: Session) -> bool:
    try:
        return session.settings.debug
    except GantryError:
        return False


def _keep(session: Session, text: str) -> Path | None:
    """Append the traceback to the log; where it is, or `None` when no place can be written."""
    stamp = session.clock.now().isoformat(timespec="seconds")
    for directory in _log_directories(session):
        path = directory / "cli.log"
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            too_large = path.exists() and path.stat().st_size > _MAX_LOG_BYTES
            with path.open("w" if too_large else "a") as log:
                log.write(f"--- {stamp}\n{text}\n")
        except OSError:
            continue  # the next place
        else:
            return path
    return None


def _log_directories(session: Session) -> list[Path]:
    try:
        return [session.settings.home, Path(gettempdir())]
    except GantryError:
        return [Path(gettempdir())]
