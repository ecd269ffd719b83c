"""What the command line needs of the machine it runs on. Everything else goes through the HTTP API."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from gantry.config.settings import Settings
from gantry.drill.judge import DrillResult
from gantry.engines.builders.protocol import Detection

Progress = Callable[[str], None]
"""Told in one short sentence what happens now, such as `starting the system database`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `gantry doctor` looked at.

    Attributes:
        name: what was looked at, such as `port 8443`.
        detail: what was found, one sentence.
        mend: what to do about it, preferably a command; empty when nothing needs to be done.
    """

    name: str
    state: Literal["ok", "warn", "bad"]
    detail: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class PackedSource:
    """A project's tree, ready to be uploaded.

    Attributes:
        digest: identity of the tree, as the source store computes it.
        files: how many files it has.
        size_bytes: what they hold together, before compression.
        archive_bytes: exact size of the archive; 0 when it is made while it is sent.
        left_out: paths that were not packed although they are there: secrets, caches, ignored files.
        open: yields the gzip tar in chunks; may be called again.
        commit: fields of `CommitRequest`: sha, branch, message, author, dirty.
    """

    digest: str
    files: int
    size_bytes: int
    open: Callable[[], Iterator[bytes]]
    archive_bytes: int = 0
    left_out: tuple[str, ...] = ()
    commit: Mapping[str, str | bool] = field(default_factory=dict)


class Platform(Protocol):
    """The platform of this machine, as the composition root knows it."""

    def settings(self) -> Settings:
        """The settings, from the environment.

        Raises:
            UserError: `settings.invalid`.
        """
        ...

    def start(self, progress: Progress) -> None:
        """Start the control plane in the background; return when it answers.

        Raises:
            ConflictError: `control.running` when it runs already.
            GantryError: whatever keeps it from starting; what had been started is stopped again.
        """
        ...

    def stop(self, progress: Progress) -> None:
        """End everything that Gantry started, also when the control plane is dead. Nothing running is no error."""
        ...

    def serve(self) -> None:
        """Run the control plane in the foreground until it is told to end: for systemd and containers."""
        ...

    def doctor(self) -> tuple[Finding, ...]:
        """Look at everything that Gantry needs of this machine. Changes nothing."""
        ...

    def pack(self, folder: Path) -> PackedSource:
        """Snapshot a project's folder.

        Raises:
            UserError: `source.*` when the tree cannot be packed.
        """
        ...

    def detect(self, folder: Path) -> Detection:
        """What a folder's product is made with.

        Raises:
            UserError: `build.unknown-framework` with what was looked for.
        """
        ...

    def drill(self, seeds: tuple[int, ...], progress: Progress) -> Iterator[DrillResult]:
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
