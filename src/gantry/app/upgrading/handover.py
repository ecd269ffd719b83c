"""The other version takes over: the control plane ends, the folders change places, the new one starts.

Instances, the edge and the databases go on meanwhile. Where the new one does not come up, the folders change back, the
control plane's database is what it was, and the old one starts again.
"""

import json
import os
import pwd
import signal
import subprocess  # noqa: TID251 -- starts the program of another version, and asks systemd
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx

from gantry.app.errors import MachineError, MachineFault
from gantry.app.lock import HomeLock
from gantry.app.setup.files import SERVICE
from gantry.app.setup.look import systemctl
from gantry.app.upgrading.install import environment, start_program
from gantry.app.upgrading.place import Place
from gantry.config.settings import Settings
from gantry.engines.postgres import dump
from gantry.engines.postgres.admin import Address
from gantry.kernel.errors import GantryError, PermanentError
from gantry.kernel.names import API_PREFIX

_COPY = "before_upgrade"
_UP_TIMEOUT_S = 180.0
_SYSTEMD_TIMEOUT_S = 120.0
_ASK_TIMEOUT_S = 5.0
_INTERVAL_S = 0.2
_MAX_OUTPUT = 500

Progress = Callable[[str], None]


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
        self._noted = len(_start_notes(self.settings))
        self._call("start")
        self._restarts = self._show("NRestarts")

    def failure(self) -> str:
        """See `Service.failure`."""
        if self._show("ActiveState") != "failed" and self._show("NRestarts") == self._restarts:
            return ""
        errors = [
            note["error"] for note in _start_notes(self.settings)[self._noted :] if "error" in note
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
                "upgrade.systemd",
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


@dataclass(slots=True)
class Unsupervised:
    """`gantry up` runs it.

    Attributes:
        end: ends the control plane alone.
        uid: who is to run it; `None`: whoever runs this.
    """

    end: Callable[[], None]
    uid: int | None = None

    def stop(self) -> None:
        """See `Service.stop`."""
        self.end()

    def start(self, program: Path) -> None:
        """See `Service.start`."""
        try:
            done = subprocess.run(
                start_program(program, "up"),
                **_as_user(self.uid),
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_UP_TIMEOUT_S,
                check=False,
            )
        except MachineFault as fault:
            raise MachineError(
                "upgrade.not-started", "could not start it", fault, hint="gantry doctor"
            ) from None
        if done.returncode != 0:
            said = " ".join(done.stderr.split())[-_MAX_OUTPUT:]
            raise PermanentError("upgrade.not-started", f"gantry up said: {said}")

    def failure(self) -> str:
        """See `Service.failure`. `gantry up` has told already."""
        return ""


@dataclass(frozen=True, slots=True)
class Handover:
    """What an upgrade acts on.

    Attributes:
        service: `None` where no control plane runs.
        database: the control plane's own, where this version and the next have other migrations and it can be copied.
        version: that is to answer.
    """

    place: Place
    settings: Settings
    service: Service | None
    database: Address | None
    version: str

    def run(self, progress: Progress) -> None:
        """Let the other version take over.

        Raises:
            PermanentError: `upgrade.went-back` it did not come up, and the version of before runs again.
            GantryError: the control plane does not end; nothing was changed.
            OSError: the folders cannot change places; the version of before runs again.
        """
        with _unhurt_by_hangup():
            if self.service is None:
                self.place.take_over()
                return
            self._replace(self.service, progress)

    def _replace(self, service: Service, progress: Progress) -> None:
        progress("ending the control plane; sites go on")
        service.stop()
        taken_over = False
        try:
            if self.database is not None:
                progress("copying the control plane's database")
                dump.set_aside(self.database, _COPY)
            progress("exchanging the programs")
            self.place.take_over()
            taken_over = True
            progress(f"starting {self.version}")
            self._start(service)
        except BaseException as error:
            progress("going back to the version before")
            self._go_back(service, taken_over=taken_over)
            if not taken_over or not isinstance(error, GantryError):
                raise
            raise PermanentError(
                "upgrade.went-back",
                f"{self.version} did not come up, and the version before runs again: {error}",
                hint="report this with the message; sites went on all the while",
            ) from error
        if self.database is not None:
            dump.forget_aside(self.database, _COPY)

    def _start(self, service: Service) -> None:
        service.start(self.place.folder)
        self._await(service, lambda found: found == self.version)

    def _go_back(self, service: Service, *, taken_over: bool) -> None:
        if taken_over:
            service.stop()
            self.place.give_back()
            if self.database is not None:
                dump.bring_back(self.database, _COPY)
        service.start(self.place.folder)
        self._await(service, bool)

    def _await(self, service: Service, wanted: Callable[[str], bool]) -> None:
        """Return once a control plane answers with a version that is wanted."""
        deadline_s = time.monotonic() + _UP_TIMEOUT_S
        while not wanted(version_that_answers(self.settings)):
            if failure := service.failure():
                raise PermanentError("upgrade.not-started", failure)
            if time.monotonic() > deadline_s:
                raise PermanentError(
                    "upgrade.not-started", f"it does not answer after {_UP_TIMEOUT_S:.0f} s"
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


def is_supervised(settings: Settings) -> bool:
    """Whether systemd runs the control plane."""
    pid = HomeLock(settings.paths.lock).holder()
    try:
        return f"/{SERVICE}" in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


def _start_notes(settings: Settings) -> list[dict[str, object]]:
    """What starting control planes have noted."""
    try:
        # The last piece may be half written.
        lines = settings.paths.starting.read_text().split("\n")[:-1]
    except OSError:
        return []
    return [note for line in lines if isinstance(note := json.loads(line), dict)]


def _as_user(uid: int | None) -> dict[str, Any]:
    """How a program becomes that user, for `subprocess.run`."""
    if uid is None:
        return {"env": environment()}
    user = pwd.getpwuid(uid)
    return {
        "env": {
            **environment(),
            "HOME": user.pw_dir,
            "USER": user.pw_name,
            "LOGNAME": user.pw_name,
        },
        "user": uid,
        "group": user.pw_gid,
        "extra_groups": os.getgrouplist(user.pw_name, user.pw_gid),
    }


@contextmanager
def _unhurt_by_hangup() -> Iterator[None]:
    """A connection that breaks does not end an upgrade half way."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
