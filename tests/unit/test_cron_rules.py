"""Which scheduled commands start, and what becomes of those that are due while the run before lasts."""

from dataclasses import replace
from typing import Any

import pytest

from gantry.features.crons.model import Run
from gantry.features.crons.rules import Due, Overlap, Start, Wanted, decide
from tests.support.stories import at

TIDY = Wanted(
    environment="env-1",
    release="r-1",
    cron="tidy",
    command="node tidy.mjs",
    path="",
    schedule="*/5 * * * *",
    overlap="skip",
    timeout_s=60.0,
)
RUNS = Run("env-1", "tidy", at(0), "cron-1")
SKIPPED = "the run before had not ended"


def due(overlap: Overlap = "skip", **changes: Any) -> Due:
    return Due(replace(TIDY, overlap=overlap, **changes), at(300))


@pytest.mark.parametrize("overlap", ["skip", "queue", "allow"])
def test_what_is_due_starts_when_nothing_runs(overlap: Overlap) -> None:
    assert decide([due(overlap)], []) == (Start(due(overlap)),)
    assert decide([], [RUNS]) == ()


@pytest.mark.parametrize(
    ("overlap", "steps"),
    [
        ("skip", (Start(due("skip"), SKIPPED),)),
        ("queue", ()),
        ("allow", (Start(due("allow")),)),
    ],
)
def test_while_the_run_before_lasts(overlap: Overlap, steps: tuple[Start, ...]) -> None:
    assert decide([due(overlap)], [RUNS]) == steps


@pytest.mark.parametrize("changes", [{"environment": "env-2"}, {"cron": "call"}])
@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_only_a_run_of_the_same_command_in_the_same_environment_is_in_the_way(
    overlap: Overlap, changes: dict[str, str]
) -> None:
    other = due(overlap, **changes)
    assert decide([other, due("skip")], [RUNS]) == (Start(other), Start(due("skip"), SKIPPED))


def test_of_two_that_are_due_at_once_the_second_finds_the_first_running() -> None:
    assert decide([due(), due()], []) == (Start(due()), Start(due(), SKIPPED))
    assert decide([due("queue"), due("queue")], []) == (Start(due("queue")),)
    assert decide([due("allow"), due("allow")], []) == (Start(due("allow")),) * 2
