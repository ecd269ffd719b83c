"""`gantry rollout`: how traffic moves to a new release, and what people ask of it."""

from collections.abc import Iterator

import rich_click as click
from rich.console import RenderableType
from rich.text import Text

from gantry.cli.command import (
    Group,
    command,
    within_environment,
)
from gantry.cli.folder import project_name
from gantry.cli.listing import Listing
from gantry.cli.session import Session
from gantry.cli.transport import environment_path
from gantry.features.rollouts.bodies import (
    EvidenceBody,
    OutcomeName,
    RolloutBody,
    StageBody,
    VerdictBody,
    WishName,
)
from gantry.kernel.units import format_duration

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
# A platform that is newer than this command may have values that it does not know.
_UNKNOWN = ("?", "")
_BAR_COLUMNS = 20
_MAX_SHOWN = 8


@click.group("rollout", cls=Group)
def rollout() -> None:
    """Watch and control how traffic moves to a new release."""


@command(
    "status",
    ("of production", "gantry rollout status"),
    ("for a program", "gantry rollout status --json | jq .verdict.outcome"),
    group=rollout,
)
@within_environment
def status(session: Session, environment: str, project: str) -> None:
    """Show the latest rollout: its stages, the numbers of both releases, and the verdict."""
    at = environment_path(project_name(session, project), environment, "rollout")
    body = session.api.get(RolloutBody, at)
    if session.as_json:
        session.json(body.model_dump_json())
        return
    session.show(*rollout_parts(body))


@command(
    "pause",
    ("stay at the present share", "gantry rollout pause"),
    group=rollout,
)
@within_environment
def pause(session: Session, environment: str, project: str) -> None:
    """Stay at the present share of traffic. A bad candidate is rolled back all the same."""
    _ask(session, project, environment, "pause")


@command(
    "resume",
    ("after a pause", "gantry rollout resume"),
    group=rollout,
)
@within_environment
def resume(session: Session, environment: str, project: str) -> None:
    """Resume after a pause, at the same stage."""
    _ask(session, project, environment, "resume")


@command(
    "promote",
    ("the next stage now", "gantry rollout promote"),
    group=rollout,
)
@within_environment
def promote(session: Session, environment: str, project: str) -> None:
    """Start the next stage now, without waiting for the verdict. After the last stage all traffic moves."""
    _ask(session, project, environment, "promote")


@command(
    "abort",
    ("all traffic back", "gantry rollout abort"),
    group=rollout,
)
@within_environment
def abort(session: Session, environment: str, project: str) -> None:
    """Return all traffic to the live release, and fail the deploy."""
    _ask(session, project, environment, "abort")


def _ask(session: Session, project: str, environment: str, wish: WishName) -> None:
    at = environment_path(project_name(session, project), environment, "rollout", wish)
    body = session.api.post(RolloutBody, at)
    if session.as_json:
        session.json(body.model_dump_json())
        return
    stage = body.stages[body.stage]
    effects: dict[WishName, str] = {
        "pause": "pausing at the mirror"
        if stage.kind == "mirror"
        else f"pausing at {stage.percent} %",
        "resume": "resuming",
        "promote": "starting the next stage",
        "abort": f"aborting, all traffic returns to release {body.current_number}",
    }
    session.say(
        f"rollout of release {body.candidate_number}: {effects[wish]}; see gantry rollout status"
    )


def rollout_parts(body: RolloutBody) -> Iterator[RenderableType]:
    """A rollout from the headline to the evidence: the two releases side by side, the stages, the verdict."""
    style = _STATES.get(body.state, "")
    yield Text.assemble(
        (f"Rollout of release {body.candidate_number}", "bold"),
        f" from release {body.current_number} in {body.environment} of {body.project}",
    )
    yield Text.assemble((_state(body), f"bold {style}"), f"  {format_duration(body.elapsed_s)}")
    for stage in body.stages:
        yield _stage(stage)
    if body.reason:
        yield Text(body.reason, style=style)
    if body.verdict is None:
        yield Text("no measurements yet", style="dim")
        return
    yield from _verdict(body, body.verdict)
    if body.evidence is not None:
        yield from _evidence(body.evidence)


def _verdict(body: RolloutBody, verdict: VerdictBody) -> Iterator[RenderableType]:
    releases = (f"release {body.candidate_number}", f"release {body.current_number}")
    rows = Listing("", "check", *releases, numbers=releases, flexible=("check",))
    for reason in verdict.reasons:
        mark, style = _OUTCOMES.get(reason.outcome, _UNKNOWN)
        rows.add_row(
            Text(mark, style=style),
            reason.check,
            reason.candidate_text,
            reason.current_text,
        )
    yield rows
    # Why a rollout ended is often what its last verdict says.
    if verdict.summary not in body.reason:
        yield Text(verdict.summary, style=_OUTCOMES.get(verdict.outcome, _UNKNOWN)[1])


def _evidence(evidence: EvidenceBody) -> Iterator[RenderableType]:
    """The newest of what the candidate had done; --json has all that was kept."""
    if evidence.requests is None:
        yield Text("the requests that failed are being looked up", style="dim")
    elif evidence.requests:
        columns = ("failed requests", "status", "ms", "request id")
        rows = Listing(*columns, numbers=("status", "ms"), flexible=("failed requests",))
        for request in evidence.requests[-_MAX_SHOWN:]:
            status = str(request.status) if request.status else request.flags
            rows.add_row(
                f"{request.method} {request.path}",
                status,
                f"{request.duration_ms}",
                request.request_id,
            )
        yield rows
    if evidence.lines:
        yield Text("its last output", style="dim")
        for line in evidence.lines[-_MAX_SHOWN:]:
            yield Text(f"  {line.instance}  {line.text}", overflow="ellipsis", no_wrap=True)


def _state(body: RolloutBody) -> str:
    if body.state == "waiting":
        return "waiting for approval: gantry rollout promote"
    return f"{body.state}, {body.wish} requested" if body.wish else body.state


def _stage(stage: StageBody) -> Text:
    style = {"waiting": "dim", "running": "bold cyan", "done": "green"}.get(stage.state, "")
    filled = round(_BAR_COLUMNS * stage.percent / 100)
    name = "mirror" if stage.kind == "mirror" else f"{stage.percent:>4} %"
    return Text.assemble(
        (f"  {name:<7}", style),
        ("█" * filled, style),
        ("░" * (_BAR_COLUMNS - filled), "dim"),
        f"  {format_duration(stage.time_s):>8}  ",
        (stage.state, style),
    )
