"""The platform of this machine, as commands use it. Heavy rooms are imported when they are needed."""

import asyncio
import json
import os
import pwd
import signal
import subprocess  # noqa: TID251 -- the control plane itself is the one process that no engine can start
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gantry import __version__
from gantry.app.errors import MachineError, MachineFault
from gantry.app.lock import HomeLock
from gantry.app.token_file import read_token
from gantry.cli.platform import (
    Finding,
    Platform,
    Progress,
    SetupAnswers,
    SetupChange,
    SetupReport,
    UpgradeReport,
)
from gantry.config.settings import Settings
from gantry.config.settings_file import load_settings
from gantry.kernel.clock import SystemClock
from gantry.kernel.errors import (
    AccessError,
    ConflictError,
    GantryError,
    PermanentError,
    TransientError,
    from_dict,
)
from gantry.kernel.names import API_PREFIX

if TYPE_CHECKING:
    from gantry.drill.judge import DrillResult
    from gantry.engines.builders.protocol import Detection, Product

_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 90.0
_INTERVAL_POLL_S = 0.05
_MAX_TAIL_BYTES = 4_000


class LocalPlatform:
    """Starts, stops and examines the platform in `GANTRY_HOME`."""

    def settings(self) -> Settings:
        """See `Platform.settings`."""
        return load_settings()

    def start(self, progress: Progress, *, restart: bool = False) -> tuple[Finding, ...]:
        """See `Platform.start`."""
        from gantry.app.doctor import check_before_start  # noqa: PLC0415

        settings = self.settings()
        _refuse_other_user(settings)
        lock = HomeLock(settings.paths.lock)
        if lock.is_held():
            if not restart and _runs_this_version(settings):
                raise ConflictError(
                    "control.running",
                    f"Gantry is already running (pid {lock.holder()})",
                    hint="gantry status",
                )
            progress("ending the control plane; sites go on")
            _end_control_plane(lock)
        warnings = check_before_start(settings, engines_run=_engines_run(settings))
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in (settings.paths.starting, settings.paths.ended):
            file.unlink(missing_ok=True)
        with (settings.home / "control.log").open("ab") as log:
            begin = log.tell()
            child = subprocess.Popen(
                [sys.executable, "-m", "gantry.app", "up", "--foreground"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._follow_start(settings, child, begin, progress)
        return warnings

    def stop(self, progress: Progress) -> None:
        """See `Platform.stop`."""
        from gantry.app.ending import end_platform, request_end  # noqa: PLC0415

        settings = self.settings()
        lock = HomeLock(settings.paths.lock)
        if lock.is_held():
            progress("stopping the control plane")
            request_end(settings, lock.holder())
            _await_release(lock)
        if settings.home.exists():
            progress("stopping what is still running")
            end_platform(settings)
            settings.paths.ended.write_text(f"{SystemClock().now():%Y-%m-%d %H:%M} UTC")

    def serve(self) -> None:
        """See `Platform.serve`."""
        import uvloop  # noqa: PLC0415

        from gantry.app.control_plane import ControlPlane  # noqa: PLC0415
        from gantry.app.logs import configure_logs  # noqa: PLC0415

        settings = self.settings()
        settings.paths.ended.unlink(missing_ok=True)
        configure_logs()

        async def run() -> None:
            await ControlPlane(settings, lambda text: _note(settings, {"doing": text})).run()

        try:
            uvloop.run(run())
        except GantryError as error:
            _note(settings, {"error": error.as_dict(), "exit_code": error.exit_code})
            raise

    def doctor(self) -> tuple[Finding, ...]:
        """See `Platform.doctor`."""
        from gantry.app.doctor import examine  # noqa: PLC0415

        return examine(self.settings())

    def suggested_domain(self) -> str:
        """See `Platform.suggested_domain`."""
        from gantry.app.network import machine_of  # noqa: PLC0415
        from gantry.app.setup.rules import first_look_domain  # noqa: PLC0415

        return first_look_domain(machine_of(self.settings()).public)

    def look_for_setup(self, answers: SetupAnswers) -> SetupReport:
        """See `Platform.look_for_setup`."""
        from gantry.app.setup.look import findings, observe  # noqa: PLC0415
        from gantry.app.setup.rules import decide  # noqa: PLC0415
        from gantry.app.setup.wanted import settings_with, wanted_of  # noqa: PLC0415

        wanted = wanted_of(self.settings(), answers)
        settings = settings_with(self.settings(), wanted.values)
        return SetupReport(
            findings(settings, wanted),
            decide(wanted, observe(wanted, Path("/"))),
            settings.url(settings.console_host),
        )

    def set_up(self, answers: SetupAnswers, change: SetupChange) -> None:
        """See `Platform.set_up`."""
        from gantry.app.service import Supervised, await_answer  # noqa: PLC0415
        from gantry.app.setup.act import carry_out  # noqa: PLC0415
        from gantry.app.setup.wanted import settings_with, wanted_of  # noqa: PLC0415

        wanted = wanted_of(self.settings(), answers)
        settings = settings_with(self.settings(), wanted.values)

        def start() -> None:
            service = Supervised(settings)
            service.start(Path(sys.prefix))
            await_answer(settings, service)

        carry_out(change, wanted, Path("/"), start)

    def export(
        self, file: Path, passphrase: str, recipients: tuple[str, ...], progress: Progress
    ) -> None:
        """See `Platform.export`."""
        from gantry.app.moving.move import export  # noqa: PLC0415
        from gantry.app.moving.sealed import Lock  # noqa: PLC0415

        with _machine_faults("export the platform"):
            export(self.settings(), file, Lock(passphrase, recipients), progress)

    def import_(self, file: Path, passphrase: str, identity: str, progress: Progress) -> str:
        """See `Platform.import_`."""
        from gantry.app.moving.move import bring_in  # noqa: PLC0415
        from gantry.app.moving.sealed import Key  # noqa: PLC0415

        settings = self.settings()
        _refuse_other_user(settings)
        with _machine_faults("import the platform"):
            return bring_in(settings, file, Key(passphrase, identity), progress)

    def uninstall_plan(self, *, keep_data: bool) -> tuple[SetupChange, ...]:
        """See `Platform.uninstall_plan`."""
        from gantry.app.setup.remove import decide  # noqa: PLC0415

        return decide(self.settings(), Path("/"), keep_data=keep_data)

    def uninstall(self, change: SetupChange) -> None:
        """See `Platform.uninstall`."""
        from gantry.app.setup.remove import carry_out  # noqa: PLC0415

        if change.name == "stop":
            self.stop(lambda _: None)
        else:
            carry_out(change, self.settings(), Path("/"))

    def look_for_upgrade(self, source: str, cwd: Path) -> UpgradeReport:
        """See `Platform.look_for_upgrade`."""
        from gantry.app.upgrading.upgrade import look  # noqa: PLC0415

        return look(self.settings(), source, cwd)

    def install_beside(
        self, source: str, cwd: Path, progress: Progress, *, again: bool
    ) -> UpgradeReport:
        """See `Platform.install_beside`."""
        from gantry.app.upgrading.upgrade import install_beside  # noqa: PLC0415

        return install_beside(self.settings(), source, cwd, progress, again=again)

    def hand_over(self, progress: Progress) -> None:
        """See `Platform.hand_over`."""
        from gantry.app.upgrading.upgrade import hand_over  # noqa: PLC0415

        settings = self.settings()

        def end() -> None:
            lock = HomeLock(settings.paths.lock)
            if lock.is_held():
                _end_control_plane(lock)

        hand_over(settings, progress, end)

    def forget_upgrade(self) -> None:
        """See `Platform.forget_upgrade`."""
        from gantry.app.upgrading.upgrade import forget  # noqa: PLC0415

        forget()

    def detect(self, directory: Path) -> "Detection":
        """See `Platform.detect`."""
        from gantry.engines.builders.detect import detect  # noqa: PLC0415
        from gantry.engines.builders.tree import Tree  # noqa: PLC0415

        return detect(Tree(directory))

    def products(self, directory: Path) -> "tuple[Product, ...]":
        """See `Platform.products`."""
        from gantry.engines.builders.candidates import find_products  # noqa: PLC0415
        from gantry.engines.builders.detect import recognise  # noqa: PLC0415
        from gantry.engines.builders.tree import Tree  # noqa: PLC0415
        from gantry.source.listing import list_source  # noqa: PLC0415

        found = find_products(Tree(directory), list_source(directory).paths, recognise)
        if not found:
            self.detect(directory)  # says what was looked for
        return found

    def drill(self, seeds: tuple[int, ...], progress: Progress) -> Iterator["DrillResult"]:
        """See `Platform.drill`."""
        from gantry.app.engines import make_runtime  # noqa: PLC0415
        from gantry.drill.rehearsal import rehearse  # noqa: PLC0415

        return rehearse(seeds, make_runtime, progress)

    def api_token(self) -> str:
        """See `Platform.api_token`."""
        return read_token(self.settings().paths)

    def _follow_start(
        self, settings: Settings, child: subprocess.Popen[bytes], begin: int, progress: Progress
    ) -> None:
        """Return once the control plane answers; `begin` is where its own lines begin in its log."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        for note in _notes(settings, deadline, child):
            if "error" in note:
                raise _rebuilt(note)
            if note["doing"] == "ready":
                return
            progress(str(note["doing"]))
        how = "it does not answer" if child.poll() is None else f"it ended with {child.returncode}"
        child.kill()
        log = settings.home / "control.log"
        raise PermanentError(
            "control.start-failed",
            f"the control plane did not start: {how}: {_last_lines(log, begin)}",
            hint=f"its log is {log}",
        )


@contextmanager
def _machine_faults(doing: str) -> Iterator[None]:
    """What the machine refuses, as an error for people."""
    try:
        yield
    except MachineFault as fault:
        raise MachineError(
            "moving.failed",
            f"could not {doing}",
            fault,
            hint="gantry doctor checks disk space and permissions",
        ) from fault


def _refuse_other_user(settings: Settings) -> None:
    """What one user has begun, another cannot go on with: the files are theirs."""
    if not settings.home.exists() or (owner := settings.home.stat().st_uid) == os.geteuid():
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = str(owner)
    raise AccessError(
        "control.other-user",
        f"the platform in {settings.home} is run by the user {name}",
        hint=f"sudo systemctl restart gantry   (without systemd: sudo -u {name} gantry up)",
        where=str(settings.home),
    )


def _runs_this_version(settings: Settings) -> bool:
    """Whether the control plane that runs is of the version of this program; also where it does not say."""
    import httpx  # noqa: PLC0415

    transport = httpx.HTTPTransport(uds=str(settings.paths.api_socket))
    try:
        with httpx.Client(transport=transport, base_url="http://control", timeout=10) as client:
            return bool(client.get(f"{API_PREFIX}/health").json()["version"] == __version__)
    except (httpx.HTTPError, ValueError, KeyError):
        return True


def _end_control_plane(lock: HomeLock) -> None:
    """End it alone; what it has started goes on.

    Raises:
        ConflictError: `control.supervised` systemd would start it again at once.
        TransientError: `control.not-ending`.
    """
    from gantry.app.service import is_supervised  # noqa: PLC0415

    pid = lock.holder()
    if pid is None:
        return
    if is_supervised(pid):
        raise ConflictError(
            "control.supervised",
            f"systemd runs the control plane (pid {pid})",
            hint="sudo systemctl restart gantry   (sites go on meanwhile)",
        )
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    _await_release(lock)


def _await_release(lock: HomeLock) -> None:
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while lock.is_held():
        if time.monotonic() > deadline:
            raise TransientError(
                "control.not-ending",
                f"the control plane (pid {lock.holder()}) did not stop in time",
                hint="try again; control.log in GANTRY_HOME shows what it is waiting for",
            )
        time.sleep(_INTERVAL_POLL_S)  # noqa: TID251 -- a person waits here


def _engines_run(settings: Settings) -> bool:
    """Whether an edge of this platform runs, which holds the public ports."""
    from gantry.app.engines import make_runtime  # noqa: PLC0415

    async def edge_runs() -> bool:
        runtime = make_runtime(settings.paths)
        try:
            statuses = await runtime.statuses()
        finally:
            await runtime.aclose()
        return any(
            key.startswith("edge-") and status.state == "running"
            for key, status in statuses.items()
        )

    return settings.home.exists() and asyncio.run(edge_runs())


def _last_lines(log: Path, begin: int) -> str:
    """The last lines that were written from an offset on."""
    with log.open("rb") as file:
        file.seek(max(begin, file.seek(0, os.SEEK_END) - _MAX_TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return " / ".join([line.strip() for line in lines if line.strip()][-3:]) or "it wrote nothing"


def _note(settings: Settings, note: dict[str, object]) -> None:
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with settings.paths.starting.open("a") as file:
        file.write(json.dumps(note) + "\n")


def _notes(
    settings: Settings, deadline: float, child: subprocess.Popen[bytes]
) -> Iterator[dict[str, object]]:
    """What a starting control plane says, until it has ended or the deadline has passed."""
    from gantry.app.service import start_notes  # noqa: PLC0415

    read = 0
    while time.monotonic() < deadline:
        ended = child.poll() is not None
        notes = start_notes(settings)
        yield from notes[read:]
        read = len(notes)
        if ended:
            return
        time.sleep(_INTERVAL_POLL_S)  # noqa: TID251 -- a person waits here


def _rebuilt(note: dict[str, object]) -> GantryError:
    fields = note["error"]
    assert isinstance(fields, dict)
    return from_dict({str(key): str(value) for key, value in fields.items()})


if TYPE_CHECKING:
    _guard: Platform = LocalPlatform()
