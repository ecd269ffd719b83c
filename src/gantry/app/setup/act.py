"""Carries out what `gantry setup` has shown. Each change may be repeated."""

import asyncio
import os
import shutil
import subprocess  # noqa: TID251 -- makes a user, and asks systemd
from collections.abc import Callable
from pathlib import Path

from gantry.app.engines import npm_argv, npm_environment
from gantry.app.errors import MachineError, MachineFault
from gantry.app.setup.files import (
    PORTS_KEY,
    SERVICE,
    SYSCTL_FILE,
    UNIT_FILE,
    Service,
    sysctl_text,
    unit_text,
)
from gantry.app.setup.look import systemctl
from gantry.app.setup.rules import Wanted
from gantry.cli.platform import SetupChange
from gantry.config.settings_file import write_settings
from gantry.kernel.files import replace_file
from gantry.web.assets import ensure_assets

_TIMEOUT_S = 180


def carry_out(change: SetupChange, wanted: Wanted, root: Path, start: Callable[[], None]) -> None:
    """Make one change.

    Parameters:
        start: starts the service, and returns once it answers.

    Raises:
        PermanentError: `setup.failed` with what the machine said.
    """
    try:
        _carry_out(change, wanted, root, start)
    except MachineFault as fault:
        raise MachineError(
            "setup.failed",
            f"could not {change.detail}",
            fault,
            hint="correct that, then run gantry setup again: it goes on where it stopped",
        ) from None


def _carry_out(change: SetupChange, wanted: Wanted, root: Path, start: Callable[[], None]) -> None:
    service = wanted.service
    if change.name == "settings":
        write_settings(wanted.settings_file, wanted.values)
        return
    assert service is not None, "without a service there is only the settings file"
    steps: dict[str, Callable[[], None]] = {
        "user": lambda: _make_user(service),
        "home": lambda: _make_home(service),
        "ports": lambda: _open_ports(root, wanted.port),
        "console": _fetch_console,
        "unit": lambda: _write_unit(root, service),
        "enable": lambda: _run(systemctl(), "enable", SERVICE),
        "start": start,
    }
    steps[change.name]()


def _make_user(service: Service) -> None:
    home = ("--home-dir", str(service.home), "--no-create-home")
    _run("useradd", "--system", *home, "--shell", "/usr/sbin/nologin", service.user)


def _make_home(service: Service) -> None:
    service.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() == 0:
        shutil.chown(service.home, service.user)


def _open_ports(root: Path, port: int) -> None:
    _write(root / SYSCTL_FILE, sysctl_text(port))
    (root / PORTS_KEY).write_text(f"{port}\n")


def _fetch_console() -> None:
    if not asyncio.run(ensure_assets(npm_argv(), npm_environment())):
        raise OSError("npm could not fetch them; Gantry works without, and its console is plainer")


def _write_unit(root: Path, service: Service) -> None:
    _write(root / UNIT_FILE, unit_text(service))
    if root == Path("/") and Path("/run/systemd/system").is_dir():
        _run(systemctl(), "daemon-reload")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text, mode=0o644)


def _run(*argv: str) -> None:
    subprocess.run(argv, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
