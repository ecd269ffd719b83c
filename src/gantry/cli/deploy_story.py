"""The story of a deploy: folded from its events; drawn in place on a terminal, one line per change elsewhere."""

from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from gantry.cli.terminal import printable
from gantry.features.deploys.bodies import (
    DeployBody,
    DeployEvent,
    StepBody,
    StepStateName,
)
from gantry.features.deploys.model import Step
from gantry.kernel.clock import Clock
from gantry.kernel.units import counted, first_line, format_elapsed

# On failure this many lines are shown; while it runs, the last few of them.
MAX_LINES = 20
_MAX_LIVE_LINES = 5
_MAX_LINE_CHARACTERS = 4096
_FRAMES_PER_S = 8
_NAME_WIDTH = max(len(step) for step in Step)
_TIME_WIDTH = len("59 min 59 s")
_MARKS: dict[StepStateName, tuple[str, str]] = {
    "waiting": ("·", "dim"),
    "running": ("▸", "cyan"),
    "done": ("✓", "green"),
    "skipped": ("–", "dim"),
    "failed": ("✗", "bold red"),
}
# A platform that is newer than this command may have values that it does not know.
_UNKNOWN = ("?", "")


@dataclass
class Story:
    """State of one deploy as far as its events told it. Pure: how it is drawn is decided below.

    Attributes:
        at_s: monotonic time at which `deploy` was received; its running times count from there.
        logs: the last lines of each step.
    """

    deploy: DeployBody
    at_s: float = 0.0
    logs: dict[str, deque[str]] = field(default_factory=dict)
    _partial: dict[str, str] = field(default_factory=dict)

    def apply(self, event: DeployEvent, now_s: float) -> tuple[StepBody, ...]:
        """Take in one event; the steps whose state or detail changed with it."""
        if event.event == "log":
            self._log(event.step or self.deploy.step, event.text)
            return ()
        if event.deploy is None:
            return ()
        before = {step.name: (step.state, step.detail) for step in self.deploy.steps}
        self.deploy, self.at_s = event.deploy, now_s
        return tuple(
            step
            for step in event.deploy.steps
            if (step.state, step.detail) != before.get(step.name, ("waiting", ""))
        )

    def forget_logs(self) -> None:
        """The stream starts over, and will send them again."""
        self.logs.clear()
        self._partial.clear()

    def _log(self, step: str, text: str) -> None:
        *whole, rest = (self._partial.get(step, "") + text).split("\n")
        # A program that draws a progress bar rewrites its line: what stands last is the line.
        kept = self.logs.setdefault(step, deque(maxlen=MAX_LINES))
        kept.extend(line.rstrip("\r").rsplit("\r", 1)[-1] for line in whole)
        self._partial[step] = rest[-_MAX_LINE_CHARACTERS:]

    def lines(self, step: str, most: int = MAX_LINES) -> list[str]:
        """The last lines of a step, the unfinished one included."""
        found = [*self.logs.get(step, ()), self._partial.get(step, "")]
        return [line for line in found if line.strip()][-most:]

    def elapsed_s(self, step: StepBody, now_s: float) -> float | None:
        """How long a step has taken: by the control plane's clock, carried on with ours while it runs."""
        if step.elapsed_s is None:
            return None
        return step.elapsed_s + (max(0.0, now_s - self.at_s) if step.state == "running" else 0.0)

    @property
    def last_step_with_lines(self) -> str | None:
        """The step whose log explains a failure: the failed one, or the latest that printed anything."""
        failed = [step.name for step in self.deploy.steps if step.state == "failed"]
        for name in (*failed, *(step.name for step in reversed(self.deploy.steps))):
            if self.lines(name):
                return name
        return None


class DeployView(Protocol):
    """Shows a story as it grows. Entered before the first event, left after the last."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def changed(self, steps: tuple[StepBody, ...]) -> None:
        """The story went on; `steps` have a new state."""
        ...

    def note(self, text: str) -> None:
        """Say something about the connection, not the deploy."""
        ...


def view(console: Console, story: Story, clock: Clock) -> DeployView:
    """The view that suits the console."""
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveView(console, story, clock)
    return PlainView(console, story, clock)


class PlainView:
    """One line per change of a step, for pipes and log files."""

    def __init__(self, console: Console, story: Story, clock: Clock) -> None:
        self._console, self._story, self._clock = console, story, clock
        self._queued: int | None = None
        self._begun: set[str] = set()

    def __enter__(self) -> Self:
        self._queue()
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def changed(self, steps: tuple[StepBody, ...]) -> None:
        self._queue()
        for step in steps:
            # A step that nobody saw begin need not be seen to end.
            if step.state == "waiting" or (
                step.state == "skipped" and step.name not in self._begun
            ):
                continue
            self._begun.add(step.name)
            elapsed = format_elapsed(step.elapsed_s) if step.state != "running" else ""
            self._line(
                f"{step.name:<8} {step.state:<8} {elapsed:>10}  {first_line(step.detail)}".rstrip()
            )

    def note(self, text: str) -> None:
        self._line(text)

    def _queue(self) -> None:
        position = self._story.deploy.queue_position
        if position is not None and position != self._queued:
            self._line(queue_sentence(position))
        self._queued = position

    def _line(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)


class LiveView:
    """All steps with their times, and the last lines of the running one, redrawn in place."""

    def __init__(self, console: Console, story: Story, clock: Clock) -> None:
        self._story, self._clock = story, clock
        self._note = ""
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(
            self, console=console, refresh_per_second=_FRAMES_PER_S, vertical_overflow="crop"
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._note = ""
        self._live.__exit__(kind, error, trace)

    def changed(self, steps: tuple[StepBody, ...]) -> None:
        self._note = ""

    def note(self, text: str) -> None:
        self._note = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield frame(self._story, self._clock.monotonic_s(), self._spinner, self._note)


def frame(story: Story, now_s: float, spinner: Spinner | None, note: str = "") -> Group:
    """One picture of the deploy."""
    # What a step says may be long: it alone gives way, never the marks, the names and the times.
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=1)
    table.add_column(width=_NAME_WIDTH, no_wrap=True)
    table.add_column(width=_TIME_WIDTH, justify="right", style="dim", no_wrap=True)
    table.add_column(ratio=1, style="dim", overflow="ellipsis", no_wrap=True)
    for step in story.deploy.steps:
        table.add_row(*_step_row(story, step, now_s, spinner))
    parts: list[Table | Text] = [table]
    running = next((s for s in story.deploy.steps if s.state == "running"), None)
    if running is not None and not story.deploy.ended:
        parts += [
            Text(f"    {printable(line)}", style="dim", no_wrap=True, overflow="ellipsis")
            for line in story.lines(running.name, _MAX_LIVE_LINES)
        ]
    if story.deploy.queue_position is not None:
        parts.append(Text(queue_sentence(story.deploy.queue_position), style="yellow"))
    if story.deploy.cancel_requested and not story.deploy.ended:
        parts.append(Text("cancelling", style="yellow"))
    if note:
        parts.append(Text(note, style="yellow"))
    return Group(*parts)


def _step_row(
    story: Story, step: StepBody, now_s: float, spinner: Spinner | None
) -> tuple[Text | Spinner, Text, str, str]:
    mark, style = _MARKS.get(step.state, _UNKNOWN)
    faint = step.state in ("waiting", "skipped")
    shown: Text | Spinner = Text(mark, style=style)
    if step.state == "running" and spinner is not None:
        shown = spinner
    elapsed = "" if faint else format_elapsed(story.elapsed_s(step, now_s))
    detail = first_line(step.detail)
    name_style = "dim" if faint else "bold" if step.state == "running" else ""
    return shown, Text(step.name, style=name_style), elapsed, detail


def queue_sentence(position: int) -> str:
    """Position of a deploy that has not begun."""
    if position == 0:
        return "queued: next in line"
    return f"queued: {counted(position, 'deploy')} ahead of this one"


def failure_log(story: Story) -> list[str]:
    """The last lines that explain a failure, for people."""
    step = story.last_step_with_lines
    return [] if step is None else [f"last lines of {step}:", *map(printable, story.lines(step))]
