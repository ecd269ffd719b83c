"""How answers look, against golden files. `GANTRY_REWRITE_GOLDEN=1 pytest` writes them anew."""

import io
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from gantry.cli.command import moment_of
from gantry.cli.deploy import plan_lines
from gantry.cli.deploy_story import LiveView, PlainView, Story, frame, view
from gantry.cli.failures import show
from gantry.cli.logs import Printer
from gantry.cli.releases import releases_table
from gantry.cli.rollouts import rollout_parts
from gantry.cli.session import Session
from gantry.cli.status import status_group
from gantry.cli.terminal import commit
from gantry.features.deploys.bodies import PlanBody, PlanChange
from gantry.features.instances.bodies import LogBody, line_times, merged
from gantry.features.platform.bodies import ReachedBody
from gantry.features.releases.bodies import CommitBody
from gantry.features.rollouts.bodies import CandidateBody
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import GantryError, UserError
from gantry.kernel.units import format_elapsed
from tests.fakes.platform import FakePlatform
from tests.support import bodies as api
from tests.support.bodies import NOW

GOLDEN = Path(__file__).parent.parent / "golden" / "cli"


def check(name: str, *shown: RenderableType, width: int = 120) -> None:
    """The same words as last time, in a terminal of that width without colours."""
    golden(name, drawn(*shown, width=width))


def drawn(*shown: RenderableType, width: int | None) -> str:
    """What a terminal of that width shows, or what a pipe gets."""
    out = io.StringIO()
    console = Console(
        file=out,
        width=width or 10_000,
        highlight=False,
        markup=False,
        force_terminal=width is not None,
        color_system=None,
    )
    Session(FakePlatform(), out=console).show(*shown)
    return out.getvalue()


def check_error(name: str, error: GantryError, *, width: int | None = None) -> None:
    """An error as in a pipe, or in a terminal of that width."""
    out = io.StringIO()
    terminal = None if width is None else True
    console = Console(
        file=out,
        width=width or 120,
        highlight=False,
        markup=False,
        force_terminal=terminal,
        color_system=None,
    )
    show(Session(FakePlatform(), err=console), error)
    golden(name, out.getvalue())


def golden(name: str, output: str) -> None:
    text = "".join(f"{line.rstrip()}\n" for line in output.splitlines())
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("GANTRY_REWRITE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


def test_status() -> None:
    check("status", status_group(api.status(), NOW))


def test_status_of_a_bad_day() -> None:
    check("status-broken", status_group(api.broken_status(), NOW))


def test_status_in_the_middle_of_a_rollout() -> None:
    before = api.status().projects[0]
    production = before.environments[0].model_copy(
        update={
            "candidate": CandidateBody(
                release="rel-04",
                release_number=4,
                percent=25,
                sentence="release 4 gets 25 % of the visitors",
            ),
            "reached": ReachedBody(
                release="rel-04", release_number=4, status=200, elapsed_s=0.0123, expected=True
            ),
        }
    )
    project = before.model_copy(update={"environments": (production,)})
    check("status-rollout", status_group(api.status(projects=(project,)), NOW))


@pytest.mark.parametrize(
    ("changes", "states"),
    [
        ({}, ["3 healthy", "2 warm", "4 warm"]),
        (
            {
                "candidate": CandidateBody(
                    release="rel-04", release_number=4, percent=5, sentence="release 4 gets 5 %"
                )
            },
            ["4 healthy", "3 healthy", "2 warm"],
        ),
        ({"deploy": api.deploy(release="rel-04")}, ["4 healthy", "3 healthy", "2 warm"]),
        ({"deploy": api.succeeded(release="rel-04")}, ["3 healthy", "2 warm", "4 warm"]),
    ],
)
def test_what_is_only_kept_warm_stands_below_what_serves(
    changes: dict[str, Any], states: list[str]
) -> None:
    instances = tuple(
        api.instance(id=f"i-{number}", release=f"rel-{number:02}", release_number=number)
        for number in (2, 4, 3)
    )
    project = api.status().projects[0]
    production = project.environments[0].model_copy(update={"instances": instances, **changes})
    assert [
        f"{body.release_number} {'warm' if production.is_warm(body) else body.state}"
        for body in production.instances_by_use
    ] == states
    body = api.status(projects=(project.model_copy(update={"environments": (production,)}),))
    lines = drawn(status_group(body, NOW), width=120).splitlines()
    shown = [line.split() for line in lines if "web.0" in line]
    assert [f"{words[2]} {words[1]}" for words in shown] == states


def test_why_an_instance_was_started_again_is_said_also_where_it_is_healthy() -> None:
    instances = (
        api.instance(
            restarts=2, restart_reason="memory 512 MB", restarted_at=NOW - timedelta(seconds=3)
        ),
    )
    project = api.status().projects[0]
    production = project.environments[0].model_copy(update={"instances": instances})
    body = api.status(projects=(project.model_copy(update={"environments": (production,)}),))
    shown = drawn(status_group(body, NOW), width=80)
    assert "healthy" in shown
    assert "web.0: restarts 2 (memory 512 MB, 3 s ago)" in shown


def test_status_of_an_empty_platform() -> None:
    check("status-empty", status_group(api.status(projects=()), NOW))


def test_status_in_a_narrow_terminal() -> None:
    check("status-narrow", status_group(api.broken_status(), NOW), width=60)


def test_a_deploy_that_builds() -> None:
    story = Story(api.deploy())
    for event in api.story_of_success()[:4]:
        story.apply(event, 10.0)
    check("deploy-building", frame(story, 12.5, None))


def test_a_deploy_that_failed() -> None:
    story = Story(api.deploy())
    for event in api.story_of_failure():
        story.apply(event, 10.0)
    check("deploy-failed", frame(story, 12.5, None))


def test_a_deploy_that_waits_and_is_cancelled() -> None:
    body = api.deploy("queued", queue_position=0, cancel_requested=True, steps=api.steps({}))
    check("deploy-queued", frame(Story(body), 0.0, None, "the control plane is not answering"))


def test_tables() -> None:
    releases = (
        api.release(),
        api.release(2, live=False, can_roll_back_to=True),
        api.release(1, live=False, state="retired", commit=api.commit(dirty=True)),
        api.release(4, live=False, state="failed", live_at=None, commit=CommitBody()),
    )
    check("releases", releases_table(releases, NOW))
    check("releases-narrow", releases_table(releases, NOW), width=80)


def test_a_rollout() -> None:
    check("rollout", *rollout_parts(api.rollout()))


def test_the_sentence_of_a_verdict_that_ended_a_rollout_stands_there_once() -> None:
    body = api.rollout()
    assert body.verdict is not None
    for reason in (body.verdict.summary, f"too little is known of it: {body.verdict.summary}"):
        ended = body.model_copy(update={"state": "failed", "reason": reason})
        shown = drawn(*rollout_parts(ended), width=120)
        assert shown.count(body.verdict.summary) == 1
    assert drawn(*rollout_parts(body), width=120).count(body.verdict.summary) == 1


def test_in_a_pipe_a_step_that_began_has_an_end_also_when_it_was_skipped() -> None:
    out = io.StringIO()
    story = Story(api.deploy("queued", queue_position=None, steps=api.steps({})))
    shown = PlainView(Console(file=out, width=200), story, ManualClock(NOW))
    running, skipped = (
        api.steps({"test": "running"}),
        api.steps({"test": "skipped", "scan": "skipped"}, test="the project has no tests"),
    )
    for steps in (running, skipped):
        shown.changed(tuple(step for step in steps if step.state != "waiting"))
    assert out.getvalue().splitlines() == [
        "test     running",
        "test     skipped              the project has no tests",
    ]


def test_a_rollout_that_was_paused_and_has_no_numbers_yet() -> None:
    check("rollout-paused", *rollout_parts(api.rollout(wish="pause", verdict=None)))


def test_plan() -> None:
    changes = [
        PlanChange(what="build", action="keep", name="artifact 0123 was built"),
        PlanChange(what="service", action="create", name="postgres"),
        PlanChange(what="setting", action="change", name="deploy.keep", before="1", after="2"),
        PlanChange(what="variable", action="remove", name="OLD", before="(secret)"),
    ]
    body = PlanBody(project="p", environment="e", changes=tuple(changes))
    check("plan", *plan_lines(body))
    for unchanged in ({"changes": ()}, {"unchanged": True}):
        (nothing,) = plan_lines(body.model_copy(update=unchanged))
        assert nothing.plain.startswith("nothing changes")


def test_error() -> None:
    error = UserError("manifest.invalid", "two faults", hint="fix them\nthen deploy", where="a:3")
    check_error("error", error)


def test_an_error_in_a_terminal_is_broken_between_words_and_its_path_is_not() -> None:
    error = UserError(
        "variable.missing",
        "production of smart-sign lacks variables that gantry.toml requires: SESSION_SECRET, MAIL_URL",
        hint="gantry env set SESSION_SECRET MAIL_URL -e production\nor leave them out of [variables] required",
        where="/home/ada/src/customers/smart-sign/apps/announcements/gantry.toml",
    )
    check_error("error-narrow", error, width=60)


def test_text_of_others_is_no_markup_and_no_emoji() -> None:
    error = UserError("a.b", "[red]x[/red] :smile: [/]")
    check_error("error-markup", error)


def test_the_live_view_is_for_terminals_only() -> None:
    story, clock = Story(api.deploy()), ManualClock(NOW)
    pipe = Console(file=io.StringIO())
    terminal = Console(file=io.StringIO(), force_terminal=True, force_interactive=True)
    dumb = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    assert isinstance(view(pipe, story, clock), PlainView)
    assert isinstance(view(dumb, story, clock), PlainView)
    assert isinstance(view(terminal, story, clock), LiveView)


def test_the_live_view_draws_and_leaves_the_last_picture() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, color_system=None)
    story = Story(api.deploy())
    with view(console, story, ManualClock(NOW)) as shown:
        for event in api.story_of_success():
            shown.changed(story.apply(event, 0.0))
    assert "✓ drain" in out.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_long_detail_takes_nothing_of_marks_names_and_times(width: int) -> None:
    story = Story(api.deploy())
    for event in api.story_of_success():
        story.apply(event, 0.0)
    steps = tuple(step.model_copy(update={"detail": "word " * 40}) for step in story.deploy.steps)
    story.deploy = story.deploy.model_copy(update={"steps": steps})
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(frame(story, 0.0, None))
    lines = out.getvalue().splitlines()
    assert [line.split()[:2] for line in lines] == [["✓", step.name] for step in steps]
    assert all(
        f"{format_elapsed(step.elapsed_s)} word" in line
        for step, line in zip(steps, lines, strict=True)
    )
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "stage 2 of 3, 25 % of visitors: no measurements yet"),
        ({"stage": 0}, "stage 1 of 3, copies of requests: no measurements yet"),
        (
            {"state": "waiting"},
            "stage 2 of 3, 25 % of visitors: waiting for approval: gantry rollout promote",
        ),
        ({"state": "paused"}, "stage 2 of 3, 25 % of visitors: paused: gantry rollout resume"),
    ],
)
def test_how_far_a_rollout_is_on_one_line(changes: dict[str, Any], sentence: str) -> None:
    body = api.rollout().model_copy(update={"verdict": None, "stage": 1, **changes})
    assert body.sentence == sentence


def test_a_commit() -> None:
    assert commit(api.commit()) == "3f2a91c Add announcements"
    assert commit(api.commit(dirty=True, message="")) == "3f2a91c+"
    assert commit(CommitBody()) == ""


def test_log_lines_are_joined_and_labelled() -> None:
    printer = Printer()
    web: dict[str, Any] = {"process": "web", "slot": 0, "release_number": 3}
    gone: dict[str, Any] = {"process": "worker.mail", "release_number": 2}
    pieces: list[tuple[str, str, dict[str, Any]]] = [
        ("a", "one\ntw", web),
        ("b", "other\n", gone),
        ("a", "o\n", web),
        ("c", "x\n", {}),
        ("a", "end", web),
    ]
    shown = [
        printer.shown(line).plain
        for source, text, names in pieces
        for line in printer.lines(LogBody(source=source, text=text, next_offset=0, **names))
    ]
    assert shown == ["web.0 r3 │ one", "worker.mail r2 │ other", "web.0 r3 │ two", "c │ x"]
    assert [printer.shown(line).plain for line in printer.rest()] == ["web.0 r3 │ end"]
    assert list(printer.rest()) == []


def test_lines_of_several_logs_stand_in_the_order_of_time() -> None:
    at = [NOW + timedelta(seconds=second) for second in range(4)]
    first = LogBody(
        source="a",
        text="1\n1 too\n4\nand 4",
        next_offset=0,
        times=line_times([at[0], at[0], at[3], at[3]]),
    )
    second = LogBody(source="b", text="2\n3\n", next_offset=0, times=line_times([at[1], at[2]]))
    unknown = LogBody(source="c", text="0\n", next_offset=0)
    runs = [(body.source, body.text, body.times) for body in merged([first, second, unknown])]
    assert runs == [
        ("c", "0\n", ()),
        ("a", "1\n1 too\n", line_times([at[0], at[0]])),
        ("b", "2\n3\n", line_times([at[1], at[2]])),
        ("a", "4\nand 4", line_times([at[3], at[3]])),
    ]
    assert list(merged([])) == []


@pytest.mark.parametrize(
    ("given", "ago"),
    [
        ("30m", 1800),
        ("2h", 7200),
        ("1d", 86_400),
        ("09:30", None),
        ("2026-01-31T09:30:00+00:00", None),
    ],
)
def test_a_moment_is_said_in_many_ways(given: str, ago: float | None) -> None:
    found = moment_of(given, NOW, option="since")
    assert found.utcoffset() == timedelta(0)
    if ago is not None:
        assert found == NOW - timedelta(seconds=ago)
    elif given == "09:30":
        assert timedelta(0) <= NOW - found < timedelta(days=1)
        assert f"{found.astimezone():%H:%M:%S}" == "09:30:00"
    else:
        assert found == datetime.fromisoformat(given)


def test_what_is_no_moment_is_refused_in_words() -> None:
    with pytest.raises(UserError, match="--until 'soon' is no time"):
        moment_of("soon", NOW, option="until")
