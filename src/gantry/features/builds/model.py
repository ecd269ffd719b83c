"""A build: an immutable artifact made from one tree, once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

# As many digits of a build's key as its product is told.
DEPLOYMENT_DIGITS = 12


class BuildState(StrEnum):
    """How far a build is."""

    BUILDING = "building"
    BUILT = "built"  # an artifact exists; the project's tests have not passed on it yet
    READY = "ready"
    FAILED = "failed"
    GONE = "gone"  # its artifact was deleted by retention


@dataclass(frozen=True, slots=True)
class Build:
    """One build.

    Attributes:
        key: identity of everything that the result depends on; the same key is not built twice.
        reasons: why it is built the way it is.
        phases: name -> seconds.
        fresh, cached: see `BuildRequest`; what it was asked for with.
        tools: what it was built with, name -> version; empty before it is, and where an older Gantry has built it.
        error: wire form of the error, when it failed.
    """

    id: str
    project: str
    key: str
    source_digest: str
    state: BuildState
    framework: str
    reasons: tuple[str, ...]
    artifact_digest: str
    size_bytes: int
    phases: Mapping[str, float]
    error: Mapping[str, str] | None
    created_at: datetime
    finished_at: datetime | None
    fresh: str = ""
    cached: bool = True
    tools: Mapping[str, str] = field(default_factory=dict)

    @property
    def deployment(self) -> str:
        """What pages of this build say in `x-deployment-id` and `dpl`."""
        return self.key[:DEPLOYMENT_DIGITS]

    @property
    def build_task(self) -> str:
        """Id of the process that builds."""
        return f"build-{self.id}"

    @property
    def test_task(self) -> str:
        """Id of the process that tests."""
        return f"test-{self.id}"
