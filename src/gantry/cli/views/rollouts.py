"""A rollout in a terminal: the two releases side by side, the stages, the verdict."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gantry.cli.views import words
from gantry.features.rollouts.bodies import (
    EvidenceBody,
    OutcomeName,
    RolloutBody,
    StageBody,
)

_STATES = {
    "running": "cyan",
    "paused": "yellow",
    "waiting": "yellow",
    "passed": "green",
    "failed": "red",
    "aborted": "red",
}
_OUTCOMES: dict[OutcomeName, tuple[str, str]] = {
    "pass": ("✓", "green"),
    "fail": ("✗", "red"),
    "inconclusive": ("·", "dim"),
}
_BAR = 20
_MOST_SHOWN = 8


def rollout(body: RolloutBody) -> Iterator[RenderableType]:
    """The whole of it, from the headline to the reasons."""
    yield Text.assemble(
        (f"Release {body.candidate_number}", "bold"),
        f" after release {body.current_number} in {body.environment} of {body.project}  ",
        (_state(body), f"bold {_STATES[body.state]}"),
        f"  {words.took(body.elapsed_s)}",
    )
    for stage in body.stages:
        yield _stage(stage)
    if body.reason:
        yield Text(body.reason, style=_STATES[body.state])
    if body.verdict is None:
        yield Text("there are no numbers of it yet", style="dim")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for name in ("", "check", f"release {body.candidate_number}", f"release {body.current_number}"):
        table.add_column(name, justify="right" if name.startswith("release") else "left")
    for reason in body.verdict.reasons:
        sign, style = _OUTCOMES[reason.outcome]
        values = reason.candidate_text, reason.current_text
        table.add_row(Text(sign, style=style), reason.check, *values)
    yield table
    yield Text(body.verdict.summary, style=_OUTCOMES[body.verdict.outcome][1])
    if body.evidence is not None:
        yield from _evidence(body.evidence)


def _evidence(found: EvidenceBody) -> Iterator[RenderableType]:
    """The newest of what the candidate had done; --json has all that was kept."""
    if found.requests is None:
        yield Text("the requests that failed are being looked up", style="dim")
    elif found.requests:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
        for name in ("failed requests", "status", "ms", "request id"):
            table.add_column(name, justify="right" if name in ("status", "ms") else "left")
        for one in found.requests[-_MOST_SHOWN:]:
            path = Text(f"{one.method} {one.path}", overflow="ellipsis", no_wrap=True)
            status = str(one.status) if one.status else one.flags
            table.add_row(path, status, f"{one.duration_ms}", one.request_id)
        yield table
    if found.lines:
        yield Text("it printed last", style="dim")
        for line in found.lines[-_MOST_SHOWN:]:
            yield Text(f"  {line.instance}  {line.text}", overflow="ellipsis", no_wrap=True)


def _state(body: RolloutBody) -> str:
    if body.state == "waiting":
        return "waits for approval: gantry rollout promote"
    return f"{body.state}, {body.wish} was asked for" if body.wish else body.state


def _stage(stage: StageBody) -> Text:
    style = {"waiting": "dim", "running": "bold cyan", "done": "green"}[stage.state]
    filled = round(_BAR * stage.percent / 100)
    name = "mirror" if stage.kind == "mirror" else f"{stage.percent:>4} %"
    return Text.assemble(
        (f"  {name:<7}", style),
        ("█" * filled, style),
        ("░" * (_BAR - filled), "dim"),
        f"  {words.took(stage.time_s):>8}  ",
        (stage.state, style),
    )
