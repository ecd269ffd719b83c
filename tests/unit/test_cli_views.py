"""How answers look, against golden files. `GANTRY_REWRITE_GOLDEN=1 pytest` writes them anew."""

import io
import os
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from gantry.cli.failures import lines
from gantry.cli.views import tables, words
from gantry.cli.views.deploying import LiveView, PlainView, frame, view
from gantry.cli.views.logs import Labels, Printer, matches
from gantry.cli.views.status import status as render_status
from gantry.cli.views.story import Story
from gantry.features.deploys.bodies import PlanBody, PlanChange
from gantry.features.instances.bodies import LogBody
from gantry.features.platform.bodies import PartBody, ReachedBody, StatusBody
from gantry.features.releases.bodies import CommitBody
from gantry.features.rollouts.bodies import CandidateBody
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import UserError
from tests.support import fake_api as api
from tests.support.fake_api import NOW

GOLDEN = Path(__file__).parent.parent / "golden" / "cli"


def check(name: str, *shown: RenderableType, width: int = 120) -> None:
    """The same words as last time, without colours and with the terminal's width."""
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, markup=False)
    for each in shown:
        console.print(each)
    text = "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("GANTRY_REWRITE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


def broken_status() -> StatusBody:
    """Everything that can be wrong at once."""
    production = api.status().projects[0].environments[0]
    waiting = production.model_copy(
        update={
            "name": "staging",
            "live": None,
            "reached": None,
            "instances": (),
            "services": (),
            "cache": None,
            "deploy": api.deploy("queued", queue_position=2),
        }
    )
    wrong = production.model_copy(
        update={
            "reached": ReachedBody(
                release="rel-02",
                release_number=2,
                status=200,
                elapsed_s=0.2,
                expected=False,
            ),
            "instances": (
                api.instance(state="backing-off", restarts=4, message="ended with exit code 1"),
                api.instance(id="ins-new", slot=1, state="starting", memory_bytes=0),
            ),
            "domains": ("smartsign.example.com",),
            "cache": api.cache(
                evicted=310,
                trouble="310 answers made room for others too early: 64.0 MB are not enough; set GANTRY_CACHE_MB",
            ),
            "deploy": api.failed(finished_at=api.minutes_ago(1)),
        }
    )
    dead = production.model_copy(
        update={
            "name": "development",
            "reached": ReachedBody(
                release="",
                release_number=None,
                status=0,
                elapsed_s=3.0,
                expected=False,
                error="timed out",
            ),
            "instances": (),
            "cache": api.cache(running=False, trouble="it does not run; the instances answer"),
            "deploy": api.deploy(
                step="build",
                steps=api.steps({"source": "done", "build": "running"}, {"build": 75.0}),
            ),
        }
    )
    project = api.status().projects[0].model_copy(update={"environments": (wrong, waiting, dead)})
    return api.status(
        projects=(project,),
        parts=(
            PartBody(name="control plane", running=True, memory_bytes=80_000_000),
            PartBody(name="edge", running=False, detail="ended"),
        ),
        warnings=("the edge does not run: ended",),
    )


def test_status() -> None:
    check("status", render_status(api.status(), NOW))


def test_status_of_a_bad_day() -> None:
    check("status-broken", render_status(broken_status(), NOW))


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
    check("status-rollout", render_status(api.status(projects=(project,)), NOW))


def test_status_of_an_empty_platform() -> None:
    check("status-empty", render_status(api.status(projects=()), NOW))


def test_status_in_a_narrow_terminal() -> None:
    check("status-narrow", render_status(broken_status(), NOW), width=60)


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
    check("deploy-queued", frame(Story(body), 0.0, None, "the control plane does not answer"))


def test_tables() -> None:
    releases = (
        api.release(),
        api.release(2, live=False, can_roll_back_to=True),
        api.release(1, live=False, state="retired", commit=api.commit(dirty=True)),
        api.release(4, live=False, state="failed", live_at=None, commit=CommitBody()),
    )
    check("releases", tables.releases(releases, NOW))


def test_plan() -> None:
    changes = [
        PlanChange(what="build", action="keep", name="artifact 0123 was built"),
        PlanChange(what="service", action="create", name="postgres"),
        PlanChange(what="setting", action="change", name="deploy.keep", before="1", after="2"),
        PlanChange(what="variable", action="remove", name="OLD", before="(secret)"),
    ]
    body = PlanBody(project="p", environment="e", changes=tuple(changes))
    check("plan", *tables.plan(body))
    (nothing,) = tables.plan(body.model_copy(update={"changes": ()}))
    assert nothing.plain == "nothing would change"


def test_error() -> None:
    error = UserError("manifest.invalid", "two faults", hint="mend them\nthen deploy", where="a:3")
    check("error", *lines(error))


def test_text_of_others_is_no_markup_and_no_emoji() -> None:
    error = UserError("a.b", "[red]x[/red] :smile: [/]")
    check("error-markup", *lines(error))


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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (-5, "just now"),
        (40, "40 s ago"),
        (300, "5 min ago"),
        (10_000, "3 h ago"),
        (200_000, "2 days ago"),
    ],
)
def test_ago(seconds: float, text: str) -> None:
    assert words.ago(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "expired"), (30, "in 30 s"), (900, "in 15 min"), (90 * 86_400, "in 90 days")],
)
def test_until(seconds: float, text: str) -> None:
    assert words.until(NOW + timedelta(seconds=seconds), NOW) == text


def test_a_commit() -> None:
    assert words.commit(api.commit()) == "3f2a91c Add announcements"
    assert words.commit(api.commit(dirty=True, message="")) == "3f2a91c+"
    assert words.commit(CommitBody()) == ""


def test_log_lines_are_joined_and_labelled() -> None:
    labels = Labels()
    labels.learn([api.instance(id="a")])
    printer = Printer(labels)
    pieces = [("a", "one\ntw"), ("b", "other\n"), ("a", "o\n"), ("a", "end")]
    shown = [
        line.plain
        for source, text in pieces
        for line in printer.lines(LogBody(source=source, text=text, next_offset=0))
    ]
    assert shown == ["web.0 r3 │ one", "b │ other", "web.0 r3 │ two"]
    assert [line.plain for line in printer.rest()] == ["web.0 r3 │ end"]


def test_which_process_is_meant() -> None:
    assert matches("web", "web")
    assert matches("worker.mail", "mail")
    assert matches("worker.mail", "worker.mail")
    assert not matches("worker.mail", "web")
    labels = Labels("mail")
    labels.learn([api.instance(id="a"), api.instance(id="b", process="worker.mail")])
    assert [labels.wanted(source) for source in ("a", "b", "unknown")] == [False, True, True]
