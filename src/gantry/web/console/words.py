"""Times, sizes and states in the words and shapes that the pages use."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gantry.kernel.units import format_duration, format_size


@dataclass(frozen=True, slots=True)
class Mark:
    """How a state is shown: a shape and a word, and only then a colour.

    Attributes:
        tone: `good`, `busy`, `bad`, `warn` or `quiet`.
        icon: name of an icon.
    """

    word: str
    tone: str
    icon: str


_MARKS = {
    # instances
    "healthy": Mark("Healthy", "good", "circle-check"),
    "unhealthy": Mark("Unhealthy", "bad", "circle-x"),
    "starting": Mark("Starting", "busy", "loader-circle"),
    "backing-off": Mark("Backing off", "warn", "circle-pause"),
    "stopping": Mark("Stopping", "quiet", "circle-dot"),
    # deploys
    "queued": Mark("Queued", "quiet", "clock"),
    "active": Mark("Running", "busy", "loader-circle"),
    "succeeded": Mark("Succeeded", "good", "circle-check"),
    "failed": Mark("Failed", "bad", "circle-x"),
    "cancelled": Mark("Cancelled", "quiet", "ban"),
    # steps
    "waiting": Mark("Waiting", "quiet", "circle"),
    "running": Mark("Running", "busy", "loader-circle"),
    "done": Mark("Done", "good", "circle-check"),
    "skipped": Mark("Skipped", "quiet", "skip-forward"),
    # releases
    "live": Mark("Live", "good", "circle-check"),
    "warm": Mark("Warm", "busy", "circle-dot"),
    "pending": Mark("Pending", "quiet", "circle-dashed"),
    "retired": Mark("Retired", "quiet", "circle"),
    # rollouts and verdicts
    "rollout-running": Mark("Under way", "busy", "loader-circle"),
    "rollout-paused": Mark("Paused", "warn", "circle-pause"),
    "rollout-waiting": Mark("Waits for approval", "warn", "clock"),
    "rollout-failed": Mark("Taken back", "bad", "circle-x"),
    "rollout-aborted": Mark("Aborted", "quiet", "ban"),
    "verdict-pass": Mark("Good", "good", "circle-check"),
    "verdict-fail": Mark("Bad", "bad", "circle-x"),
    "verdict-inconclusive": Mark("Not known yet", "quiet", "circle-dashed"),
    "empty": Mark("Nothing live", "quiet", "circle-dashed"),
    "degraded": Mark("Degraded", "warn", "triangle-alert"),
    "down": Mark("Down", "bad", "circle-x"),
}


def mark(state: str) -> Mark:
    """The mark of a state."""
    return _MARKS[state]


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago, in words: `just now`, `5 min ago`, `3 days ago`."""
    if at is None:
        return "never"
    seconds = (now - at).total_seconds()
    if seconds < 10:
        return "just now"
    if seconds < 60:
        return f"{seconds:.0f} s ago"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    if seconds < 86_400:
        return f"{seconds // 3600:.0f} h ago"
    days = int(seconds // 86_400)
    return "yesterday" if days == 1 else f"{days} days ago"


def exact(at: datetime | None) -> str:
    """The moment itself, for a tooltip."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def duration(seconds: float | None) -> str:
    """Elapsed time, short: `0.4 s`, `3 min 20 s`."""
    return "" if seconds is None else format_duration(seconds)


def size(size_bytes: int) -> str:
    """A size; nothing for nothing."""
    return format_size(size_bytes) if size_bytes else "–"


def first_line(text: str) -> str:
    """The subject of a commit message."""
    return text.strip().splitlines()[0] if text.strip() else ""


def title(name: str) -> str:
    """A name or sentence that begins with a capital letter."""
    return name[:1].upper() + name[1:]


_STEPS = {
    "source": "Read source",
    "build": "Build",
    "test": "Test",
    "release": "Make release",
    "migrate": "Migrate",
    "start": "Start instances",
    "healthy": "Wait until healthy",
    "smoke": "Smoke checks",
    "rollout": "Rollout",
    "switch": "Switch traffic",
    "drain": "Drain the old release",
}


def step(name: str) -> str:
    """What a step of a deploy does."""
    return _STEPS[name]


def details(given: Mapping[str, Any]) -> str:
    """Details of an audit entry on one line; what is empty is left out."""
    shown = {name: value for name, value in given.items() if value not in (None, "", [])}
    return " · ".join(f"{name}: {_listed(value)}" for name, value in shown.items())


def _listed(value: object) -> str:
    return ", ".join(str(each) for each in value) if isinstance(value, list) else str(value)
