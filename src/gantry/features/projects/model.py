"""A project and its environments."""

from dataclasses import dataclass
from datetime import datetime

PRODUCTION = "production"
NAMES = ("development", "staging", PRODUCTION)


@dataclass(frozen=True, slots=True)
class Project:
    """One repository with a `gantry.toml`."""

    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Environment:
    """Where releases of a project run.

    Attributes:
        live_release: the release that visitors should get; `None` where there is none.
        releases_made: how many releases were ever made, so that numbers are not given twice.
    """

    id: str
    project: str
    name: str
    live_release: str | None
    releases_made: int
    created_at: datetime

    @property
    def label(self) -> str:
        """First label of the host name: `smart-sign`, `staging--smart-sign`."""
        return self.project if self.name == PRODUCTION else f"{self.name}--{self.project}"
