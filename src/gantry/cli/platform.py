"""What commands need of the machine they run on. Everything else goes through the HTTP API."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from gantry.config.settings import Settings

if TYPE_CHECKING:
    from gantry.drill.judge import DrillResult
    from gantry.engines.builders.protocol import Detection, Product

Progress = Callable[[str], None]
"""Takes one short sentence about what happens now, such as `starting the system database`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check of `gantry doctor`.

    Attributes:
        name: what was checked, such as `port 8443`.
        detail: what was found, in one sentence.
        fix: what to do about it, preferably a command; empty when nothing needs to be done.
    """

    name: str
    state: Literal["ok", "warn", "bad"]
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class SetupChange:
    """A change of the machine that `gantry setup` makes.

    Attributes:
        name: `user`, `home`, `settings`, `ports`, `console`, `unit`, `enable` or `start`.
        detail: what is done, in the words after "could not".
    """

    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class SetupAnswers:
    """What a person wants of a server.

    Attributes:
        domain, email: empty: as it is set already.
        service: a system user runs it, and systemd starts it.
    """

    domain: str = ""
    email: str = ""
    service: bool = True


@dataclass(frozen=True, slots=True)
class SetupReport:
    """What was found on the machine, and what is missing.

    Attributes:
        url: of the console, once all is done.
    """

    findings: tuple[Finding, ...]
    changes: tuple[SetupChange, ...]
    url: str


class Platform(Protocol):
    """The platform of this machine, as the composition root knows it."""

    def settings(self) -> Settings:
        """The settings, from the environment.

        Raises:
            UserError: `settings.invalid`.
        """
        ...

    def start(self, progress: Progress, *, restart: bool = False) -> tuple[Finding, ...]:
        """Start the control plane in the background; return when it answers.

        One of another version that runs is replaced; with `restart` any. Sites go on meanwhile.

        Returns:
            What does not keep the platform from running, and is to be known.

        Raises:
            ConflictError: `control.running` when it runs already, `control.supervised`.
            AccessError: `control.other-user`.
            GantryError: whatever keeps it from starting; what had been started is stopped again.
        """
        ...

    def stop(self, progress: Progress) -> None:
        """Stop everything that Gantry runs, also when the control plane is dead. Nothing running is no error."""
        ...

    def serve(self) -> None:
        """Run the control plane in the foreground until it is told to stop: for systemd and containers."""
        ...

    def doctor(self) -> tuple[Finding, ...]:
        """Check everything that Gantry needs of this machine. Changes nothing."""
        ...

    def suggested_domain(self) -> str:
        """A domain that leads to this machine without a record of one's own; empty for none."""
        ...

    def look_for_setup(self, answers: SetupAnswers) -> SetupReport:
        """What `gantry setup` would do. Changes nothing.

        Raises:
            UserError: `setup.not-root` a service is wanted, and this user may not make one.
        """
        ...

    def set_up(self, answers: SetupAnswers, change: SetupChange) -> None:
        """Make one of the changes.

        Raises:
            PermanentError: `setup.failed`.
        """
        ...

    def export(
        self, file: Path, passphrase: str, recipients: tuple[str, ...], progress: Progress
    ) -> None:
        """Write the platform into one encrypted file, while it runs.

        Raises:
            UserError: `export.…`.
            TransientError: `control.down`.
        """
        ...

    def import_(self, file: Path, passphrase: str, identity: str, progress: Progress) -> str:
        """Make the platform of a file in this home, which has none; the domain that it had.

        Raises:
            UserError: `import.…`.
        """
        ...

    def uninstall_plan(self, *, keep_data: bool) -> tuple[SetupChange, ...]:
        """What `gantry uninstall` takes away, in its order."""
        ...

    def uninstall(self, change: SetupChange) -> None:
        """Take one of it away.

        Raises:
            PermanentError: `uninstall.failed`.
        """
        ...

    def detect(self, directory: Path) -> "Detection":
        """Which framework the project in a directory uses.

        Raises:
            UserError: `build.unknown-framework` with what was looked for.
        """
        ...

    def products(self, directory: Path) -> "tuple[Product, ...]":
        """The products of a repository or of a folder in one: the one at its top, else those in folders below.

        Raises:
            UserError: `build.unknown-framework` with what was looked for, when there is none; `source.git-failed`.
        """
        ...

    def drill(self, seeds: tuple[int, ...], progress: Progress) -> Iterator["DrillResult"]:
        """Rehearse deploys under faults, one drill for each seed, on a platform that is made for it and deleted.

        Raises:
            GantryError: that platform does not start, or does not come to rest between two drills.
        """
        ...

    def api_token(self) -> str:
        """The token by which this machine's operator is known to the control plane.

        Raises:
            TransientError: `control.down` when this platform was never started.
        """
        ...
