"""A project and its environments."""

from dataclasses import dataclass
from datetime import datetime

from gantry.config.fields import project_name_fault
from gantry.kernel.errors import UserError

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


def check_project(name: str) -> None:
    """Refuse a name under which no project may be made.

    Raises:
        UserError: `project.bad-name`.
    """
    fault = project_name_fault(name)
    if fault is not None:
        raise UserError(
            "project.bad-name",
            f"the name of the project {fault}",
            hint="choose one such as smart-sign, in [project] name of gantry.toml",
        )


def check_environment(name: str) -> None:
    """Refuse a name under which no environment may be made.

    Raises:
        UserError: `environment.bad-name`.
    """
    if name not in NAMES:
        raise UserError(
            "environment.bad-name",
            f"there is no environment {name!r}",
            hint=f"use one of {', '.join(NAMES)}",
        )
