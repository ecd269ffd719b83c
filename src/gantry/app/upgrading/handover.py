"""The other version takes over: the control plane ends, the folders change places, the new one starts.

Instances, the edge and the databases go on meanwhile. Where the new one does not come up, the folders change back, the
control plane's database is what it was, and the old one starts again.
"""

import os
import pwd
import signal
import subprocess  # noqa: TID251 -- starts the program of another version, and asks systemd
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantry.app.errors import MachineError, MachineFault
from gantry.app.service import UP_TIMEOUT_S, Service, await_answer
from gantry.app.upgrading.install import environment, start_program
from gantry.app.upgrading.place import Place
from gantry.config.settings import Settings
from gantry.engines.postgres import dump
from gantry.engines.postgres.admin import Address
from gantry.kernel.errors import GantryError, PermanentError

_COPY = "before_upgrade"
_MAX_OUTPUT = 500

Progress = Callable[[str], None]


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
                timeout=UP_TIMEOUT_S,
                check=False,
            )
        except MachineFault as fault:
            raise MachineError(
                "service.not-started", "could not start it", fault, hint="gantry doctor"
            ) from None
        if done.returncode != 0:
            said = " ".join(done.stderr.split())[-_MAX_OUTPUT:]
            raise PermanentError("service.not-started", f"gantry up said: {said}")

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
        await_answer(self.settings, service, lambda found: found == self.version)

    def _go_back(self, service: Service, *, taken_over: bool) -> None:
        if taken_over:
            service.stop()
            self.place.give_back()
            if self.database is not None:
                dump.bring_back(self.database, _COPY)
        service.start(self.place.folder)
        await_answer(self.settings, service)


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
