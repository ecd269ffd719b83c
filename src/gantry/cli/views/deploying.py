"""How a running deploy looks: redrawn in place on a terminal, one line per change everywhere else."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from gantry.cli.views import words
from gantry.cli.views.story import Story
from gantry.features.deploys.bodies import StepBody
from gantry.kernel.clock import Clock

_LIVE_LINES = 5
_FRAMES_PER_S = 8


class View(Protocol):
    """Shows a story as it grows."""

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


def view(console: Console, story: Story, clock: Clock) -> View:
    """The view that suits the console."""
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveView(console, story, clock)
    return PlainView(console, story, clock)


class PlainView:
    """One line per change of a step, for pipes and log files."""

    def __init__(self, console: Console, story: Story, clock: Clock) -> None:
        self._console, self._story, self._clock = console, story, clock
        self._queued: int | None = None

    def __enter__(self) -> Self:
        self._queue()
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def changed(self, steps: tuple[StepBody, ...]) -> None:
        self._queue()
        for step in steps:
            if step.state in ("waiting", "skipped"):
                continue
            elapsed = words.took(step.elapsed_s) if step.state != "running" else ""
            self._line(
                f"{step.name:<8} {step.state:<8} {elapsed:>10}  {words.first_line(step.detail)}".rstrip()
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
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(min_width=8)
    table.add_column(justify="right", min_width=8, style="dim", no_wrap=True)
    table.add_column(style="dim", overflow="ellipsis", no_wrap=True)
    for step in story.deploy.steps:
        table.add_row(*_step_row(story, step, now_s, spinner))
    parts: list[Table | Text] = [table]
    running = next((s for s in story.deploy.steps if s.state == "running"), None)
    if running is not None and not story.ended:
        parts += [
            Text(f"    {printable(line)}", style="dim", no_wrap=True, overflow="ellipsis")
            for line in story.lines(running.name, _LIVE_LINES)
        ]
    if story.deploy.queue_position is not None:
        parts.append(Text(queue_sentence(story.deploy.queue_position), style="yellow"))
    if story.deploy.cancel_requested and not story.ended:
        parts.append(Text("cancelling", style="yellow"))
    if note:
        parts.append(Text(note, style="yellow"))
    return Group(*parts)


def _step_row(
    story: Story, step: StepBody, now_s: float, spinner: Spinner | None
) -> tuple[Text | Spinner, Text, str, str]:
    mark, style = words.STEP_MARKS[step.state]
    faint = step.state in ("waiting", "skipped")
    shown: Text | Spinner = Text(mark, style=style)
    if step.state == "running" and spinner is not None:
        shown = spinner
    elapsed = "" if faint else words.took(story.elapsed_s(step, now_s))
    detail = words.first_line(step.detail)
    name_style = "dim" if faint else "bold" if step.state == "running" else ""
    return shown, Text(step.name, style=name_style), elapsed, detail


def queue_sentence(position: int) -> str:
    """Where a deploy stands that has not begun."""
    if position == 0:
        return "queued: next in line"
    return f"queued: {position} deploy{'s' if position > 1 else ''} before this one"


def printable(line: str) -> str:
    """A line of a foreign program without its control sequences: they must not move our cursor."""
    return "".join(
        character if character.isprintable() else " "
        for character in Text.from_ansi(line).plain.expandtabs(4)
    )


def failure_log(story: Story) -> list[str]:
    """The last lines that explain a failure, for people."""
    step = story.last_step_with_lines
    return [] if step is None else [f"last lines of {step}:", *map(printable, story.lines(step))]
