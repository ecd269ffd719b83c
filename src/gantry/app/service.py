"""The control plane as a service of this machine: started, ended, and asked whether it has come up."""

import json
import subprocess  # noqa: TID251 -- asks systemd
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from gantry.app.errors import MachineError, MachineFault
from gantry.app.setup.files import SERVICE
from gantry.app.setup.look import systemctl
from gantry.config.settings import Settings
from gantry.kernel.errors import PermanentError
from gantry.kernel.names import API_PREFIX

UP_TIMEOUT_S = 180.0
_SYSTEMD_TIMEOUT_S = 120.0
_ASK_TIMEOUT_S = 5.0
_INTERVAL_S = 0.2


class Service(Protocol):
    """How the control plane of this platform is ended and started; sites go on meanwhile."""

    def stop(self) -> None:
        """Return when it has ended.

        Raises:
            GantryError: it does not end.
        """
        ...

    def start(self, program: Path) -> None:
        """Start that of the program in a folder.

        Raises:
            GantryError: it does not start.
        """
        ...

    def failure(self) -> str:
        """Why the one that was started has ended; empty while it has not."""
        ...


@dataclass(slots=True)
class Supervised:
    """systemd runs it."""

    settings: Settings
    _restarts: str = ""
    _noted: int = 0

    def stop(self) -> None:
        """See `Service.stop`."""
        self._call("stop")

    def start(self, program: Path) -> None:
        """See `Service.start`. The unit names the program."""
        del program
        self._noted = len(start_notes(self.settings))
        self._call("start")
        self._restarts = self._show("NRestarts")

    def failure(self) -> str:
        """See `Service.failure`."""
        if self._show("ActiveState") != "failed" and self._show("NRestarts") == self._restarts:
            return ""
        errors = [
            note["error"] for note in start_notes(self.settings)[self._noted :] if "error" in note
        ]
        if errors and isinstance(errors[0], dict):
            return str(errors[0].get("message", ""))
        return "it ended while it started (journalctl --unit=gantry)"

    def _call(self, verb: str) -> None:
        try:
            subprocess.run(
                (systemctl(), verb, SERVICE),
                capture_output=True,
                text=True,
                timeout=_SYSTEMD_TIMEOUT_S,
                check=True,
            )
        except MachineFault as fault:
            raise MachineError(
                "service.systemd",
                f"could not {verb} {SERVICE}",
                fault,
                hint="systemctl status gantry",
            ) from None

    def _show(self, name: str) -> str:
        done = subprocess.run(
            (systemctl(), "show", "--property", name, "--value", SERVICE),
            capture_output=True,
            text=True,
            timeout=_SYSTEMD_TIMEOUT_S,
            check=False,
        )
        return done.stdout.strip()


def await_answer(
    settings: Settings, service: Service, wanted: Callable[[str], bool] = bool
) -> None:
    """Return once a control plane answers with a version that is wanted.

    Raises:
        PermanentError: `service.not-started` with why it has ended.
    """
    deadline_s = time.monotonic() + UP_TIMEOUT_S
    while not wanted(version_that_answers(settings)):
        if failure := service.failure():
            raise PermanentError("service.not-started", failure, hint="gantry doctor")
        if time.monotonic() > deadline_s:
            raise PermanentError(
                "service.not-started",
                f"it does not answer after {UP_TIMEOUT_S:.0f} s",
                hint="gantry doctor",
            )
        time.sleep(_INTERVAL_S)  # noqa: TID251 -- a person waits here


def version_that_answers(settings: Settings) -> str:
    """Of the control plane; empty where none answers."""
    # It speaks no TLS, and the certificate store lies in the folder that changes.
    transport = httpx.HTTPTransport(uds=str(settings.paths.api_socket), verify=False)
    try:
        with httpx.Client(
            transport=transport, base_url="http://control", timeout=_ASK_TIMEOUT_S
        ) as client:
            return str(client.get(f"{API_PREFIX}/health").json()["version"])
    except (httpx.HTTPError, ValueError, KeyError):
        return ""


def is_supervised(pid: int | None) -> bool:
    """Whether systemd runs this control plane; `None` is none."""
    try:
        return f"/{SERVICE}" in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


def start_notes(settings: Settings) -> list[dict[str, object]]:
    """What starting control planes have noted."""
    try:
        text = settings.paths.starting.read_text()
    except FileNotFoundError:
        return []
    lines = text.split("\n")[:-1]  # the last piece may be half written
    return [note for line in lines if isinstance(note := json.loads(line), dict)]
