"""The platform of this machine, as commands use it. Heavy rooms are imported when they are needed."""

import json
import subprocess  # noqa: TID251 -- the control plane itself is the one process that no engine can start
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gantry.app.lock import HomeLock
from gantry.app.token_file import read_token
from gantry.cli.platform import Finding, Platform, Progress
from gantry.config.settings import Settings
from gantry.config.settings_file import load_settings
from gantry.kernel.errors import (
    ConflictError,
    GantryError,
    PermanentError,
    TransientError,
    from_dict,
)

if TYPE_CHECKING:
    from gantry.drill.judge import DrillResult
    from gantry.engines.builders.protocol import Detection

_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 90.0
_INTERVAL_POLL_S = 0.05


class LocalPlatform:
    """Starts, stops and examines the platform in `GANTRY_HOME`."""

    def settings(self) -> Settings:
        """See `Platform.settings`."""
        return load_settings()

    def start(self, progress: Progress) -> None:
        """See `Platform.start`."""
        settings = self.settings()
        lock = HomeLock(settings.paths.lock)
        if lock.is_held():
            raise ConflictError(
                "control.running",
                f"Gantry is already running (pid {lock.holder()})",
                hint="gantry status",
            )
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in (_start_file(settings), settings.paths.ended):
            file.unlink(missing_ok=True)
        with (settings.home / "control.log").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "gantry.app", "up", "--foreground"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._follow_start(settings, child, progress)

    def stop(self, progress: Progress) -> None:
        """See `Platform.stop`."""
        from gantry.app.ending import end_platform, request_end  # noqa: PLC0415

        settings = self.settings()
        lock = HomeLock(settings.paths.lock)
        if lock.is_held():
            progress("stopping the control plane")
            request_end(settings, lock.holder())
            deadline = time.monotonic() + _STOP_TIMEOUT_S
            while lock.is_held():
                if time.monotonic() > deadline:
                    raise TransientError(
                        "control.not-ending",
                        f"the control plane (pid {lock.holder()}) did not stop in time",
                        hint="try gantry down again; control.log in GANTRY_HOME shows what it is waiting for",
                    )
                time.sleep(_INTERVAL_POLL_S)  # noqa: TID251 -- a person waits here
        if settings.home.exists():
            progress("stopping what is still running")
            end_platform(settings)
            settings.paths.ended.touch()

    def serve(self) -> None:
        """See `Platform.serve`."""
        import uvloop  # noqa: PLC0415

        from gantry.app.control_plane import ControlPlane  # noqa: PLC0415
        from gantry.app.logs import configure_logs  # noqa: PLC0415

        settings = self.settings()
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

    def detect(self, directory: Path) -> "Detection":
        """See `Platform.detect`."""
        from gantry.app.engines import make_workshop  # noqa: PLC0415

        return make_workshop(self.settings()).detect(directory)

    def drill(self, seeds: tuple[int, ...], progress: Progress) -> Iterator["DrillResult"]:
        """See `Platform.drill`."""
        from gantry.app.engines import make_runtime  # noqa: PLC0415
        from gantry.drill.rehearsal import rehearse  # noqa: PLC0415

        return rehearse(seeds, make_runtime, progress)

    def api_token(self) -> str:
        """See `Platform.api_token`."""
        return read_token(self.settings().paths)

    def _follow_start(
        self, settings: Settings, child: subprocess.Popen[bytes], progress: Progress
    ) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        for note in _notes(settings, deadline, child):
            if "error" in note:
                raise _rebuilt(note)
            if note["doing"] == "ready":
                return
            progress(str(note["doing"]))
        child.kill()
        raise PermanentError(
            "control.start-failed",
            "the control plane did not start",
            hint=f"its log is {settings.home / 'control.log'}",
        )


def _start_file(settings: Settings) -> Path:
    return settings.home / "starting.jsonl"


def _note(settings: Settings, note: dict[str, object]) -> None:
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _start_file(settings).open("a") as file:
        file.write(json.dumps(note) + "\n")


def _notes(
    settings: Settings, deadline: float, child: subprocess.Popen[bytes]
) -> Iterator[dict[str, object]]:
    """What a starting control plane says, until it has ended or the deadline has passed."""
    read = 0
    while time.monotonic() < deadline:
        ended = child.poll() is not None
        lines = _lines(_start_file(settings))
        for line in lines[read:]:
            yield json.loads(line)
        read = len(lines)
        if ended:
            return
        time.sleep(_INTERVAL_POLL_S)  # noqa: TID251 -- a person waits here


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    # The last piece may be half written.
    return text.split("\n")[:-1]


def _rebuilt(note: dict[str, object]) -> GantryError:
    fields = note["error"]
    assert isinstance(fields, dict)
    return from_dict({str(key): str(value) for key, value in fields.items()})


if TYPE_CHECKING:
    _guard: Platform = LocalPlatform()
