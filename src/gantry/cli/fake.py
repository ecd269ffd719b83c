"""A platform in memory: remembers what it was asked, and fails where it is told to."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gantry.cli.platform import Finding, PackedSource, Platform, Progress
from gantry.config.settings import Settings
from gantry.drill.judge import DrillResult
from gantry.engines.builders.protocol import Detection
from gantry.kernel.errors import ConflictError, GantryError


@dataclass
class FakePlatform:
    """Stands in for the machine.

    Attributes:
        running: whether the control plane runs.
        drills: seed -> what a drill of it shows.
        failures: method name -> the error that it raises.
        done: what was asked for, in order.
    """

    home: Path = Path("/home/gantry")
    running: bool = False
    settings_value: Settings | None = None
    findings: tuple[Finding, ...] = (Finding("python", "ok", "3.11.7"),)
    detection: Detection = field(
        default_factory=lambda: Detection(
            framework="nextjs",
            reasons=("package.json depends on next 16.4.0",),
            notes=('next.config.ts does not set output: "standalone"',),
            suggested={"processes.web.health.path": "/api/health"},
        )
    )
    left_out: tuple[str, ...] = (".env",)
    drills: dict[int, DrillResult] = field(default_factory=dict)
    failures: dict[str, GantryError] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    def settings(self) -> Settings:
        self._begin("settings")
        return self.settings_value or Settings(home=self.home)

    def start(self, progress: Progress) -> None:
        self._begin("start")
        if self.running:
            raise ConflictError(
                "control.running", "another control plane (pid 7) runs", hint="gantry status"
            )
        progress("starting the system database")
        progress("starting the edge")
        self.running = True

    def stop(self, progress: Progress) -> None:
        self._begin("stop")
        progress("ending the control plane")
        self.running = False

    def serve(self) -> None:
        self._begin("serve")

    def doctor(self) -> tuple[Finding, ...]:
        self._begin("doctor")
        return self.findings

    def drill(self, seeds: tuple[int, ...], progress: Progress) -> Iterator[DrillResult]:
        self._begin("drill")
        for seed in seeds:
            progress(f"seed {seed}")
            yield self.drills[seed]

    def pack(self, folder: Path) -> PackedSource:
        self._begin("pack")
        files = sorted(
            path for path in folder.rglob("*") if path.is_file() and path.name not in self.left_out
        )
        content = b"".join(
            f"{path.relative_to(folder)}\n".encode() + path.read_bytes() for path in files
        )

        def chunks() -> Iterator[bytes]:
            for at in range(0, len(content), 65_536):
                yield content[at : at + 65_536]

        return PackedSource(
            digest=hashlib.sha256(content).hexdigest(),
            files=len(files),
            size_bytes=len(content),
            open=chunks,
            archive_bytes=len(content),
            left_out=tuple(name for name in self.left_out if (folder / name).exists()),
            commit={"sha": "3f2a91c0ffee", "branch": "main", "message": "Add announcements"},
        )

    def detect(self, folder: Path) -> Detection:
        self._begin("detect")
        return self.detection

    def api_token(self) -> str:
        self._begin("api_token")
        return "fake-token"

    def _begin(self, method: str) -> None:
        if method not in ("settings", "api_token"):
            self.done.append(method)
        if method in self.failures:
            raise self.failures[method]


if TYPE_CHECKING:
    _guard: Platform = FakePlatform()
