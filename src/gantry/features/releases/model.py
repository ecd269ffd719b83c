"""A release: a build and the configuration that it runs with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class ReleaseState(StrEnum):
    """Whether a release's instances should run."""

    PENDING = "pending"  # made, not started yet
    RUNNING = "running"  # candidate, live, or warm after it was live
    RETIRED = "retired"  # stopped; can be started again for a rollback while its artifact is kept
    FAILED = "failed"  # never went live, or its switch was taken back


@dataclass(frozen=True, slots=True)
class Commit:
    """Where the source came from, as far as the sender knew.

    Attributes:
        origin: what its folder is: the address of a repository, or a path on a machine.
    """

    sha: str = ""
    branch: str = ""
    message: str = ""
    author: str = ""
    dirty: bool = False
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """One release.

    Attributes:
        number: counts up within the environment; people say "release 12".
        manifest: the manifest as resolved for this environment, JSON.
        live_at: when visitors last began to get it.
        left_at: when visitors last stopped getting it; `None` while live and before.
        withdrawn_at: when somebody rolled back from it; `None` again once it is live.
    """

    id: str
    environment: str
    number: int
    build: str
    manifest: Mapping[str, Any] = field(repr=False)
    commit: Commit
    state: ReleaseState
    created_at: datetime
    live_at: datetime | None = None
    left_at: datetime | None = None
    retired_at: datetime | None = None
    withdrawn_at: datetime | None = None

    @property
    def was_live(self) -> bool:
        """Visitors got it, and its switch was not taken back: it can go live again."""
        return self.live_at is not None and self.state is not ReleaseState.FAILED

    @property
    def domains(self) -> tuple[str, ...]:
        """Domains of the team's own that its manifest declares."""
        declared = self.manifest.get("domains")
        return tuple(str(name) for name in declared) if isinstance(declared, list) else ()

    @property
    def processes(self) -> tuple[str, ...]:
        """Kinds of processes that its manifest declares: `web`, `worker.mail`, `cron.nightly`."""
        declared = self.manifest.get("processes")
        if not isinstance(declared, dict):
            return ()
        web = ("web",) if declared.get("web") else ()
        named = (
            f"{kind}.{name}"
            for kind in ("worker", "cron")
            for name in sorted(declared.get(kind) or ())
        )
        return (*web, *named)

    @property
    def caches(self) -> bool:
        """Whether its manifest names paths whose answers the edge may keep."""
        routes = self.manifest.get("routes")
        return isinstance(routes, dict) and bool(routes.get("cache"))

    @property
    def limits_visitors(self) -> bool:
        """Whether its manifest says how often visitors may ask."""
        routes = self.manifest.get("routes")
        return isinstance(routes, dict) and bool(routes.get("limits"))

    @property
    def crons(self) -> tuple[str, ...]:
        """Names of the scheduled commands of its manifest."""
        processes = self.manifest.get("processes")
        declared = processes.get("cron") if isinstance(processes, dict) else None
        return tuple(declared) if isinstance(declared, dict) else ()


@dataclass(frozen=True, slots=True)
class BuiltRelease:
    """A release and what is shown of its build.

    Attributes:
        framework, size_bytes: of the build's artifact.
        kept: the artifact is there, so that the release can be started again.
    """

    release: Release
    framework: str
    size_bytes: int
    kept: bool
