"""A machine's platform in memory: remembers what it was asked, and fails where it is told to."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

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
from gantry.drill.judge import DrillResult
from gantry.engines.builders.protocol import Detection, Product
from gantry.kernel.errors import ConflictError, GantryError


@dataclass
class FakePlatform:
    """Stands in for the machine.

    Attributes:
        running: whether the control plane runs.
        found: products in a repository; empty: one at its top, as `detection` says.
        drills: seed -> result of its drill.
        failures: method name -> the error that it raises.
        done: what was asked for, in order.
    """

    home: Path = Path("/home/gantry")
    running: bool = False
    settings_value: Settings | None = None
    findings: tuple[Finding, ...] = (Finding("python", "ok", "3.11.7"),)
    found: tuple[Product, ...] = ()
    detection: Detection = field(
        default_factory=lambda: Detection(
            framework="nextjs",
            reasons=("package.json depends on next 16.4.0",),
            notes=('next.config.ts does not set output: "standalone"',),
            suggested={"processes.web.health.path": "/api/health"},
        )
    )
    upgrade_findings: tuple[Finding, ...] = (Finding("version", "ok", "0.1.0 → 0.2.0"),)
    drills: dict[int, DrillResult] = field(default_factory=dict)
    suggestion: str = "203-0-113-7.sslip.io"
    changes: tuple[SetupChange, ...] = (
        SetupChange("settings", "write /etc/gantry/gantry.conf: domain apps.example.com"),
        SetupChange("unit", "write /etc/systemd/system/gantry.service"),
    )
    imported: list[tuple[str, str]] = field(default_factory=list)
    answers: list[SetupAnswers] = field(default_factory=list)
    set_up_changes: list[SetupChange] = field(default_factory=list)
    failures: dict[str, GantryError] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    def settings(self) -> Settings:
        self._begin("settings")
        return self.settings_value or Settings(home=self.home)

    def start(self, progress: Progress, *, restart: bool = False) -> tuple[Finding, ...]:
        self._begin("restart" if restart else "start")
        if self.running and not restart:
            raise ConflictError(
                "control.running", "Gantry is already running (pid 7)", hint="gantry status"
            )
        progress("starting the system database")
        progress("starting the edge")
        self.running = True
        return tuple(finding for finding in self.findings if finding.state == "warn")

    def stop(self, progress: Progress) -> None:
        self._begin("stop")
        progress("stopping the control plane")
        self.running = False

    def serve(self) -> None:
        self._begin("serve")

    def doctor(self) -> tuple[Finding, ...]:
        self._begin("doctor")
        return self.findings

    def suggested_domain(self) -> str:
        self._begin("suggested_domain")
        return self.suggestion

    def look_for_setup(self, answers: SetupAnswers) -> SetupReport:
        self._begin("look_for_setup")
        self.answers.append(answers)
        done = {change.name for change in self.set_up_changes}
        changes = tuple(change for change in self.changes if change.name not in done)
        return SetupReport(self.findings, changes, f"https://gantry.{answers.domain}")

    def set_up(self, answers: SetupAnswers, change: SetupChange) -> None:
        self._begin("set_up")
        self.set_up_changes.append(change)

    def export(
        self, file: Path, passphrase: str, recipients: tuple[str, ...], progress: Progress
    ) -> None:
        self._begin("export")
        progress("copying the control plane's database")
        file.write_text(json.dumps({"passphrase": passphrase, "recipients": recipients}))

    def import_(self, file: Path, passphrase: str, identity: str, progress: Progress) -> str:
        self._begin("import_")
        progress("decrypting and unpacking")
        self.imported.append((passphrase, identity))
        return "apps.example.com"

    def uninstall_plan(self, *, keep_data: bool) -> tuple[SetupChange, ...]:
        self._begin("uninstall_plan")
        stop = SetupChange("stop", "end every site")
        return (stop,) if keep_data else (stop, SetupChange("home", f"delete {self.home}"))

    def uninstall(self, change: SetupChange) -> None:
        self._begin(f"uninstall {change.name}")

    def look_for_upgrade(self, source: str, cwd: Path) -> UpgradeReport:
        self._begin("look_for_upgrade")
        shown = source or "git+https://git.example.com/gantry"
        return UpgradeReport(shown, "0.1.0", "", self.running, self.findings)

    def install_beside(
        self, source: str, cwd: Path, progress: Progress, *, again: bool
    ) -> UpgradeReport:
        self._begin("install_beside again" if again else "install_beside")
        progress("installing it")
        report = self.look_for_upgrade(source, cwd)
        return replace(report, next_version="0.2.0", findings=self.upgrade_findings)

    def hand_over(self, progress: Progress) -> None:
        self._begin("hand_over")
        progress("starting 0.2.0")

    def forget_upgrade(self) -> None:
        self._begin("forget_upgrade")

    def drill(self, seeds: tuple[int, ...], progress: Progress) -> Iterator[DrillResult]:
        self._begin("drill")
        for seed in seeds:
            progress(f"seed {seed}")
            yield self.drills[seed]

    def detect(self, directory: Path) -> Detection:
        self._begin("detect")
        return self.detection

    def products(self, directory: Path) -> tuple[Product, ...]:
        self._begin("products")
        return self.found or (Product("", self.detection, "Next.js"),)

    def api_token(self) -> str:
        self._begin("api_token")
        return "fake-token"

    def _begin(self, method: str) -> None:
        if method not in ("settings", "api_token", "suggested_domain"):
            self.done.append(method)
        if method in self.failures:
            raise self.failures[method]


if TYPE_CHECKING:
    _guard: Platform = FakePlatform()
