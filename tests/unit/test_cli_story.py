"""The story of a deploy: folding events, times, logs."""

from gantry.cli.deploy_story import MAX_LINES, Story
from gantry.cli.terminal import printable
from gantry.features.deploys.bodies import DeployEvent
from tests.support.bodies import STEPS, deploy, failed, steps, story_of_success


def log(text: str) -> DeployEvent:
    return DeployEvent(event="log", step="build", text=text)


def test_each_change_of_a_step_is_told_once() -> None:
    story = Story(deploy())
    told = [
        (step.name, step.state) for event in story_of_success() for step in story.apply(event, 0.0)
    ]
    assert told[:3] == [("source", "done"), ("build", "running"), ("build", "done")]
    assert len(told) == len(set(told)) == 2 + len(STEPS) - 1
    assert story.deploy.ended


def test_lines_that_arrive_in_pieces_are_joined() -> None:
    story = Story(deploy())
    for text in ("one\ntw", "o\nth", "ree"):
        story.apply(log(text), 0.0)
    assert story.lines("build") == ["one", "two", "three"]


def test_only_the_last_lines_are_kept() -> None:
    story = Story(deploy())
    story.apply(log("".join(f"{number}\n" for number in range(1000))), 0.0)
    assert story.lines("build") == [str(number) for number in range(1000 - MAX_LINES, 1000)]
    assert story.lines("build", 2) == ["998", "999"]


def test_a_line_without_end_does_not_grow_without_bound() -> None:
    story = Story(deploy())
    for _ in range(100):
        story.apply(log("x" * 10_000), 0.0)
    assert len(story.lines("build")[0]) == 4096


def test_of_a_progress_bar_the_last_picture_is_kept() -> None:
    story = Story(deploy())
    story.apply(log("10 %\r50 %\r100 %\ndone\r\n"), 0.0)
    assert story.lines("build") == ["100 %", "done"]


def test_a_running_step_s_time_goes_on_between_events_and_a_finished_one_s_does_not() -> None:
    running = deploy(
        steps=steps({"source": "done", "build": "running"}, {"source": 0.2, "build": 4.0}),
        elapsed_s=4.2,
    )
    story = Story(running, at_s=100.0)
    source, build = running.steps[:2]
    assert story.elapsed_s(source, 103.0) == 0.2
    assert story.elapsed_s(build, 103.0) == 7.0


def test_a_failure_is_explained_by_the_failed_step_s_lines() -> None:
    story = Story(failed())
    explaining = [story.last_step_with_lines]
    for event in (DeployEvent(event="log", step="source", text="unpacked\n"), log("boom\n")):
        story.apply(event, 0.0)
        explaining.append(story.last_step_with_lines)
    assert explaining == [None, "source", "build"]


def test_a_stream_that_starts_over_does_not_double_lines() -> None:
    story = Story(deploy())
    story.apply(log("one\ntw"), 0.0)
    story.forget_logs()
    story.apply(log("one\ntwo\n"), 0.0)
    assert story.lines("build") == ["one", "two"]


def test_control_sequences_of_a_build_do_not_reach_our_terminal() -> None:
    hostile = "\x1b[2J\x1b]0;title\x07\x1b[31mred\x1b[0m\ttab\x08\x9b2J"
    shown = printable(hostile)
    assert "red" in shown
    assert all(character.isprintable() for character in shown)
