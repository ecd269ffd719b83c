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
        removal_requested_at, removal_requested_by: when and by whom its end was asked for.
    """

    id: str
    project: str
    name: str
    live_release: str | None
    releases_made: int
    created_at: datetime
    removal_requested_at: datetime | None = None
    removal_requested_by: str | None = None

    @property
    def removing(self) -> bool:
        """It is to end: nothing is live in it, and it takes no deploys."""
        return self.removal_requested_at is not None

    @property
    def label(self) -> str:
        """First label of the host name: `smart-sign`, `staging--smart-sign`."""
        return self.project if self.name == PRODUCTION else f"{self.name}--{self.project}"
