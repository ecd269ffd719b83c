"""Small things said the same way everywhere: states, times, commits."""

from datetime import datetime

from rich.text import Text

from gantry.features.deploys.bodies import DeployStateName, StepStateName
from gantry.features.instances.bodies import InstanceStateName
from gantry.features.releases.bodies import CommitBody
from gantry.kernel.units import format_duration

STEP_MARKS: dict[StepStateName, tuple[str, str]] = {
    "waiting": ("·", "dim"),
    "running": ("▸", "cyan"),
    "done": ("✓", "green"),
    "skipped": ("–", "dim"),
    "failed": ("✗", "bold red"),
}
DEPLOY_STYLES: dict[DeployStateName, str] = {
    "queued": "yellow",
    "active": "cyan",
    "succeeded": "green",
    "failed": "bold red",
    "cancelled": "yellow",
}
INSTANCE_STYLES: dict[InstanceStateName, str] = {
    "starting": "cyan",
    "healthy": "green",
    "unhealthy": "bold red",
    "backing-off": "bold red",
    "stopping": "dim",
}


def ago(then: datetime, now: datetime) -> str:
    """`just now`, `40 s ago`, `5 min ago`, `3 h ago`, `2 days ago`."""
    seconds = (now - then).total_seconds()
    if seconds < 2:
        return "just now"
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds / 86_400:.0f} days ago"


def until(then: datetime, now: datetime) -> str:
    """`in 15 min`, `in 89 days`, `expired`."""
    seconds = (then - now).total_seconds()
    if seconds <= 0:
        return "expired"
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"in {seconds / size:.0f} {unit}"
    return f"in {seconds / 86_400:.0f} days"


def took(seconds: float | None) -> str:
    """A duration, or nothing."""
    return "" if seconds is None else format_duration(seconds)


def commit(body: CommitBody) -> str:
    """`3f2a91c+ Add announcements`; `+` means that the tree had changes that were not committed."""
    if not body.sha:
        return first_line(body.message)
    mark = "+" if body.dirty else ""
    return f"{body.sha[:7]}{mark} {first_line(body.message)}".rstrip()


def first_line(text: str) -> str:
    """The first line: where there is room for one only."""
    return text.splitlines()[0] if text else ""


def url(address: str, style: str = "cyan") -> Text:
    """An address that terminals can open."""
    return Text(address, style=f"{style} link {address}", no_wrap=True, overflow="ignore")
