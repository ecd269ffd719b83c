"""Where settings come from: the environment, then one settings file, then the defaults.

One file is read: `gantry.conf` in the home that `GANTRY_HOME` names; without it `/etc/gantry/gantry.conf` where that exists, else
`~/.gantry/gantry.conf`. So a second platform on a machine, as a drill is, never takes the first one's domain.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gantry.config.setting_table import BY_KEY, FILE_KEYS, SETTINGS, Scope, Setting
from gantry.config.settings import Settings
from gantry.kernel.errors import UserError
from gantry.kernel.files import replace_file
from gantry.kernel.redact import without_credentials

FILE_NAME = "gantry.conf"
MACHINE_FILE = Path("/etc/gantry") / FILE_NAME
_MAX_SHOWN = 120
_COMMENT = """\
# Settings of this Gantry: gantry settings shows all of them, and what each means.
# The environment wins over this file. After a change: gantry up --restart
"""


class SettingsError(UserError):
    """Settings that cannot be used; the message has a line for each fault."""

    def __init__(self, faults: list[str], *, hint: str = "") -> None:
        super().__init__(
            "settings.invalid",
            "\n".join(faults),
            hint=hint or "correct the lines above, then look with: gantry settings",
            where=faults[0].split(": ")[0],
        )


def load_settings(
    environ: Mapping[str, str] = os.environ, *, machine_file: Path = MACHINE_FILE
) -> Settings:
    """Read the settings.

    Parameters:
        machine_file: the settings file of the machine's own platform.

    Raises:
        SettingsError: `settings.invalid` with every fault of the file and of the environment.
        UserError: `settings.no-home`, `settings.unreadable`.
    """
    faults: list[str] = []
    file = _file_of(environ, machine_file)
    texts, origins = _from_file(file, faults, names_home=file == machine_file)
    for setting in SETTINGS:
        # An empty variable is as good as none: shells and unit files leave such behind.
        if text := environ.get(setting.variable, ""):
            texts[setting.key], origins[setting.key] = text, setting.variable
    values = _parsed(texts, origins, faults)
    if faults:
        raise SettingsError(faults)
    home = values.pop("home", None) or _default_home(environ)
    assert isinstance(home, Path)
    return Settings(home, file=file, origins=origins, **values)  # type: ignore[arg-type]


def _parsed(
    texts: Mapping[str, str], origins: Mapping[str, str], faults: list[str]
) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, text in texts.items():
        setting = BY_KEY[key]
        try:
            values[setting.field] = setting.parse(text)
        except ValueError as error:
            given = "its value" if setting.hidden else repr(without_credentials(text)[:_MAX_SHOWN])
            faults.append(f"{origins[key]}: {key}: {given} {error}")
    return values


def _file_of(environ: Mapping[str, str], machine_file: Path) -> Path:
    if given := environ.get("GANTRY_HOME"):
        home = Path(given).expanduser().absolute()
        own = home / FILE_NAME
        if own.exists() or not _exists(machine_file) or _home_in(machine_file) != home:
            return own
        return machine_file
    return machine_file if _exists(machine_file) else _default_home(environ) / FILE_NAME


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except PermissionError:
        return False


def _home_in(file: Path) -> Path | None:
    """The home that the machine's file names; `None` where it cannot be read, which its own reader will say."""
    try:
        found = _read(file)[0].get("home")
    except UserError:
        return None
    return Path(found).expanduser().absolute() if isinstance(found, str) else None


def _from_file(
    file: Path, faults: list[str], *, names_home: bool
) -> tuple[dict[str, str], dict[str, str]]:
    texts: dict[str, str] = {}
    origins: dict[str, str] = {}
    data, lines = _read(file)
    for key, value in data.items():
        place = f"{file}:{lines.get(key, 1)}"
        setting = BY_KEY.get(key)
        if setting is None or setting.scope is not Scope.PLATFORM:
            faults.append(f"{place}: {key}: {_unknown(key, setting)}")
        elif key == "home" and not names_home:
            faults.append(f"{place}: home: the file lies in the home already; set GANTRY_HOME")
        elif isinstance(value, bool) or not isinstance(value, str | int):
            faults.append(f"{place}: {key}: must be a text or a number")
        else:
            texts[key], origins[key] = str(value), place
    return texts, origins


def _unknown(key: str, setting: Setting | None) -> str:
    if setting is not None:
        return f"cannot stand in the file; set {setting.variable} in the environment"
    from gantry.config.faults import nearest  # noqa: PLC0415 -- only for a report

    meant = nearest(key.lower().removeprefix("gantry_"), FILE_KEYS)
    return "unknown setting" + (f"; did you mean {meant!r}?" if meant else "")


def _read(file: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """What the file says, and on which line each key stands; nothing where there is no file."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise UserError("settings.unreadable", f"{file} is not a file", where=str(file))
        content = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}, {}
    except OSError as error:
        raise UserError(
            "settings.unreadable",
            f"the settings file cannot be read: {error.strerror}",
            hint=f"run this as the user who runs Gantry, or make it readable: chmod o+r {file}",
            where=str(file),
        ) from None
    from gantry.config.documents import read_toml  # noqa: PLC0415 -- most commands have no file
    from gantry.config.faults import ManifestError  # noqa: PLC0415

    try:
        data, source = read_toml(content, str(file))
    except ManifestError as error:
        raise SettingsError([str(fault) for fault in error.faults]) from None
    return data, {str(path[0]): line for path, line in source.lines.items() if len(path) == 1}


def _default_home(environ: Mapping[str, str]) -> Path:
    try:
        # Without HOME, as under systemd or cron, the account's own folder.
        return Path(Path(environ.get("HOME") or "~") / ".gantry").expanduser().absolute()
    except RuntimeError:
        raise UserError(
            "settings.no-home",
            "there is neither GANTRY_HOME nor HOME, and this account has no folder of its own",
            hint="say where Gantry's data goes: export GANTRY_HOME=/var/lib/gantry",
            where="GANTRY_HOME",
        ) from None


def with_values(text: str, values: Mapping[str, str | int | None]) -> str:
    """The text of a settings file with other values, and with its comments.

    Parameters:
        text: of the file; empty for a new one.
        values: key -> value; `None` removes a key.

    Raises:
        SettingsError: the text is no TOML, or a value cannot be used.
    """
    import tomlkit  # noqa: PLC0415 -- to write only
    from tomlkit.exceptions import TOMLKitError  # noqa: PLC0415

    faults = [
        f"{key}: {_unknown(key, BY_KEY.get(key))}"
        for key in values
        if key not in BY_KEY or BY_KEY[key].scope is not Scope.PLATFORM
    ]
    given = {key: str(value) for key, value in values.items() if value is not None}
    if not faults:
        _parsed(given, dict.fromkeys(given, "settings"), faults)
    if faults:
        raise SettingsError(faults, hint="gantry settings lists every setting and what it takes")
    try:
        document = tomlkit.parse(text or _COMMENT)
    except TOMLKitError as error:
        raise SettingsError([f"{FILE_NAME}: {error}"]) from None
    for key, value in values.items():
        if value is None:
            document.pop(key, None)
        else:
            number = isinstance(BY_KEY[key].parse(str(value)), int)
            document[key] = int(value) if number else str(value)
    return tomlkit.dumps(document)


def write_settings(file: Path, values: Mapping[str, str | int | None]) -> bool:
    """Change values in a settings file, which is made if there is none; whether that changed anything.

    Raises:
        SettingsError: a value cannot be used.
        UserError: `settings.unwritable`.
    """
    try:
        old = file.read_text(encoding="utf-8") if file.exists() else ""
        new = with_values(old, values)
        if new == old:
            return False
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        # Commands of other users of the machine read it too, unless it holds a password.
        status = file.stat() if file.exists() else None
        mode = stat.S_IMODE(status.st_mode) if status else 0o644
        if any(setting.hidden and setting.key in values for setting in SETTINGS):
            mode &= 0o640
        owner = (status.st_uid, status.st_gid) if status else None
        replace_file(file, new, mode=mode, owner=owner)
    except OSError as error:
        raise UserError(
            "settings.unwritable",
            f"the settings file cannot be written: {error.strerror}",
            hint="run this as the user who owns it, such as with sudo",
            where=str(file),
        ) from None
    return True


def read_dns_credentials(file: Path | None) -> Mapping[str, str]:
    """What a DNS provider asks for, from the file of the setting `dns_credentials`.

    Raises:
        UserError: `settings.dns-credentials` there is none, others may read it, or it is no list of texts.
    """
    hint = 'write auth_token = "…" into a file of mode 0600, then: gantry settings set dns_credentials FILE'
    if file is None:
        raise UserError(
            "settings.dns-credentials",
            "dns_provider is set, and dns_credentials is not",
            hint=hint,
            where="dns_credentials",
        )
    fault = ""
    try:
        if file.stat().st_mode & 0o077:
            fault, hint = "can be read by others", f"chmod 600 {file}"
    except OSError as error:
        fault = f"cannot be read: {error.strerror}"
    data = {} if fault else _read(file)[0]
    if not fault and (not data or not all(isinstance(value, str) for value in data.values())):
        fault = "needs a line for each text that the provider asks for"
    if fault:
        raise UserError("settings.dns-credentials", f"{file} {fault}", hint=hint, where=str(file))
    return data
