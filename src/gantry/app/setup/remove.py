"""Takes away what `gantry setup` and `gantry up` have made."""

import os
import subprocess  # noqa: TID251 -- asks systemd
from collections.abc import Iterator
from pathlib import Path

from gantry.app.errors import MachineError, MachineFault
from gantry.app.setup.files import PORTS_KEY, SERVICE, SYSCTL_FILE, UNIT_FILE
from gantry.app.setup.look import systemctl
from gantry.cli.platform import SetupChange
from gantry.config.settings import Settings
from gantry.kernel.trees import remove_tree

_TIMEOUT_S = 120
_MADE_BY_US = "# Written by gantry setup"
_FIRST_PORT = "1024\n"


def decide(settings: Settings, root: Path, *, keep_data: bool) -> tuple[SetupChange, ...]:
    """What goes, in its order."""
    return tuple(_changes(settings, root, keep_data=keep_data))


def _changes(settings: Settings, root: Path, *, keep_data: bool) -> Iterator[SetupChange]:
    yield SetupChange("stop", "end every site, database and cache of this platform")
    if _is_ours(root / UNIT_FILE):
        yield SetupChange("unit", f"remove the service {SERVICE}")
    if _is_ours(root / SYSCTL_FILE):
        yield SetupChange("ports", "close ports below 1024 to other users than root again")
    if not keep_data:
        if settings.home.exists():
            yield SetupChange(
                "home", f"delete {settings.home} with all databases, builds, keys and certificates"
            )
        if settings.file is not None and settings.file.exists():
            yield SetupChange("settings", f"delete {settings.file}")


def _is_ours(file: Path) -> bool:
    try:
        return file.read_text().startswith(_MADE_BY_US)
    except OSError:
        return False


def carry_out(change: SetupChange, settings: Settings, root: Path) -> None:
    """Do one of them but the first, which is the platform's own. May be repeated.

    Raises:
        PermanentError: `uninstall.failed`.
    """
    try:
        match change.name:
            case "unit":
                if root == Path("/") and Path("/run/systemd/system").is_dir():
                    subprocess.run((systemctl(), "disable", "--now", SERVICE), check=False, timeout=_TIMEOUT_S)  # fmt: skip
                (root / UNIT_FILE).unlink(missing_ok=True)
            case "ports":
                (root / SYSCTL_FILE).unlink(missing_ok=True)
                if os.access(root / PORTS_KEY, os.W_OK):
                    (root / PORTS_KEY).write_text(_FIRST_PORT)
            case "home":
                remove_tree(settings.home)
            case "settings":
                assert settings.file is not None, "only a file that is there is listed"
                settings.file.unlink(missing_ok=True)
            case _:
                raise AssertionError(change.name)
    except MachineFault as fault:
        raise MachineError(
            "uninstall.failed",
            f"could not {change.detail}",
            fault,
            hint="run it again with sudo: it goes on where it stopped",
        ) from None
