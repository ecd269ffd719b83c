"""From a person's answers to what the machine is to be."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gantry.app.setup.files import Service
from gantry.app.setup.look import owner_of
from gantry.app.setup.rules import Wanted
from gantry.cli.platform import SetupAnswers
from gantry.config.setting_table import BY_KEY
from gantry.config.settings import Settings
from gantry.config.settings_file import MACHINE_FILE
from gantry.kernel.errors import UserError

USER = "gantry"
HOME = Path("/var/lib/gantry")
_HTTP, _HTTPS, _EVERYWHERE = 80, 443, "0.0.0.0"  # noqa: S104 -- a server's public ports


def wanted_of(settings: Settings, answers: SetupAnswers) -> Wanted:
    """What the machine is to be. What is set already stays, but for the defaults that only suit a laptop.

    Raises:
        UserError: `setup.not-root`.
    """
    is_root = os.geteuid() == 0
    if answers.service and not is_root:
        raise UserError(
            "setup.not-root",
            "a service that starts with the machine needs root to be made; it does not run as root",
            hint="sudo gantry setup   (or only the settings file: gantry setup --no-service)",
        )
    names_home = "home" in settings.origins and settings.origins["home"] == "GANTRY_HOME"
    home = settings.home if "home" in settings.origins or not is_root else HOME
    file = MACHINE_FILE if is_root and not names_home else settings.home / "gantry.conf"
    values: dict[str, str | int] = {}
    if file == MACHINE_FILE:
        values["home"] = str(home)
    if domain := answers.domain or _set(settings, "domain"):
        values["domain"] = domain
    for key, value in (("bind", _EVERYWHERE), ("http_port", _HTTP), ("https_port", _HTTPS)):
        given = _set(settings, key)
        values[key] = value if not given else int(given) if given.isdecimal() else given
    if email := answers.email or _set(settings, "acme_email"):
        values["acme_email"] = email
    return Wanted(
        settings_file=file,
        values=values,
        service=_service(home, names_home=names_home) if answers.service else None,
        port=min(int(values["http_port"]), int(values["https_port"])),
    )


def _set(settings: Settings, key: str) -> str:
    """A value that somebody has set."""
    return BY_KEY[key].shown(settings) if key in settings.origins else ""


def _service(home: Path, *, names_home: bool) -> Service:
    beside = Path(sys.executable).parent / "gantry"
    found = str(beside) if beside.exists() else shutil.which("gantry")
    program = (found,) if found else (sys.executable, "-m", "gantry.app")
    # Who has a platform already goes on running it: its files are theirs.
    return Service(owner_of(home) or USER, program, home, names_home)


def settings_with(settings: Settings, values: Mapping[str, str | int]) -> Settings:
    """The settings as they will be."""
    parsed = {BY_KEY[key].field: BY_KEY[key].parse(str(value)) for key, value in values.items()}
    return replace(settings, **parsed)  # type: ignore[arg-type]
