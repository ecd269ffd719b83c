"""Schedules from seeds, and what must hold in a drill."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from gantry.features.drills.draw import draw
from gantry.features.drills.judge import judge
from gantry.features.drills.model import (
    Answers,
    Away,
    Candidate,
    Failure,
    Fault,
    Moment,
    Schedule,
    Seen,
    Share,
)

EVERY = frozenset(Fault)
GOOD = Schedule(1, Candidate.GOOD, (Moment(Fault.CONTROL_KILLED, 2.0, 1.0),))
WRONG = Schedule(2, Candidate.WRONG, (Moment(Fault.CONTROL_KILLED, 2.0, 1.0),))


def answers(*shares: tuple[float, int, int]) -> tuple[Answers, ...]:
    """Slots of a tenth of a second, each with so many answers of the old and of the new release."""
    return tuple(
        Answers(at_s, {name: n for name, n in (("old", old), ("new", new)) if n})
        for at_s, old, new in shares
    )


def story(*, percent: float, new_in_stage: int) -> tuple[tuple[Answers, ...], tuple[Share, ...]]:
    """Ten seconds of nothing, ten of a stage in which the new release gets so many of each 100, then nothing again."""
    slots = [(float(t), 100, 0) for t in range(10)]
    slots += [(float(t), 100 - new_in_stage, new_in_stage) for t in range(10, 20)]
    slots += [(float(t), 100, 0) for t in range(20, 25)]
    shares = [Share(t / 4, percent if 10 <= t / 4 < 20 else 0.0) for t in range(100)]
    return answers(*slots), tuple(shares)


def taken_back(**changes: object) -> Seen:
    """What is seen when a bad candidate is taken back and nothing else went wrong."""
    slots, shares = story(percent=5, new_in_stage=5)
    seen = Seen(
        before="old",
        candidate="new",
        deploy="failed",
        deploy_ended=True,
        code="rollout.failed",
        rollout="failed",
        reason="it was worse",
        live="old",
        reached="old",
        requests=2500,
        failures=(),
        answers=slots,
        shares=shares,
        away=(),
    )
    return replace(seen, **changes)  # type: ignore[arg-type]


def gone_live(**changes: object) -> Seen:
    """What is seen when a good candidate goes live and nothing went wrong."""
    slots = answers(
        *((float(t), 100, 0) for t in range(10)), *((float(t), 0, 100) for t in range(10, 15))
    )
    shares = tuple(Share(t / 4, 100.0 if t / 4 >= 9 else 0.0) for t in range(60))
    seen = taken_back(
        deploy="succeeded",
        code="",
        rollout="passed",
        reason="",
        live="new",
        reached="new",
        answers=slots,
        shares=shares,
    )
    return replace(seen, **changes)  # type: ignore[arg-type]


@given(st.integers(min_value=0, max_value=10**6))
def test_a_seed_draws_the_same_again(seed: int) -> None:
    assert draw(seed, EVERY) == draw(seed, EVERY)


@given(st.integers(min_value=0, max_value=10**6))
def test_what_cannot_be_done_here_is_not_drawn(seed: int) -> None:
    schedule = draw(seed, EVERY - {Fault.DISK_FULL})
    assert not schedule.has(Fault.DISK_FULL)
    assert 1 <= len(schedule.moments) <= 3


@given(st.integers(min_value=0, max_value=10**6))
def test_two_instances_are_never_taken_at_the_same_time(seed: int) -> None:
    taken = [
        one
        for one in draw(seed, EVERY).moments
        if one.fault in (Fault.INSTANCE_KILLED, Fault.INSTANCE_HANGS)
    ]
    for first, second in itertools.pairwise(taken):
        assert second.at_s >= first.at_s + first.lasts_s + 6


def test_a_thousand_seeds_draw_everything() -> None:
    drawn = [draw(seed, EVERY) for seed in range(1000)]
    assert {one.candidate for one in drawn} == set(Candidate)
    assert {moment.fault for one in drawn for moment in one.moments} == EVERY


def test_nothing_is_said_where_everything_holds() -> None:
    for schedule, seen in ((WRONG, taken_back()), (GOOD, gone_live())):
        result = judge(schedule, seen)
        assert result.violations == ()
        assert not result.wrong_verdict
        assert result.failed == 0


@pytest.mark.parametrize(
    ("schedule", "seen", "words"),
    [
        (WRONG, gone_live(), "a candidate that is wrong went live"),
        (GOOD, taken_back(), "a good candidate was refused: rollout.failed: it was worse"),
        (GOOD, gone_live(deploy="active", deploy_ended=False), "the deploy is stuck: it is active"),
        (GOOD, gone_live(live="old", reached="old"), "old is live after a deploy that succeeded"),
        (GOOD, gone_live(reached=""), "the status says that new is live, the port serves nothing"),
        (
            GOOD,
            gone_live(answers=answers((14.0, 3, 97))),
            "visitors got ['new', 'old'] in the end",
        ),
        (
            GOOD,
            gone_live(failures=(Failure(4.0, "reset"), Failure(4.5, "reset"))),
            "2 requests failed with a healthy instance there; the first after 4.0 s: reset",
        ),
        (
            GOOD,
            gone_live(failures=(Failure(12.0, "status 500", "new"),)),
            "1 requests failed with a healthy instance there; the first after 12.0 s: status 500",
        ),
        (GOOD, gone_live(away=(Away(2.0, 14.0),)), "the edge was away for 12.0 s"),
    ],
)
def test_each_thing_that_does_not_hold_is_said(schedule: Schedule, seen: Seen, words: str) -> None:
    assert words in judge(schedule, seen).violations


def test_failures_while_the_edge_was_killed_are_excused_and_no_others() -> None:
    failures = (Failure(3.0, "refused"), Failure(4.4, "reset"), Failure(5.0, "reset"))
    result = judge(GOOD, gone_live(away=(Away(2.9, 4.0),), failures=failures))
    assert result.failed == 1


def test_errors_of_a_bad_candidate_count_as_its_share_and_not_as_failures() -> None:
    failures = (Failure(12.0, "status 500", "new"), Failure(12.0, "status 500", "old"))
    assert judge(WRONG, taken_back(failures=failures)).failed == 1


@pytest.mark.parametrize(("percent", "got", "held"), [(5, 5, True), (5, 7, True), (5, 15, False), (50, 50, True), (50, 90, False), (0, 3, False)])  # fmt: skip
def test_a_bad_candidate_gets_no_more_than_its_step(percent: float, got: int, held: bool) -> None:
    slots, shares = story(percent=percent, new_in_stage=got)
    result = judge(WRONG, taken_back(answers=slots, shares=shares))
    assert (result.violations == ()) is held, result.violations


def test_a_full_disk_may_stop_a_good_candidate_and_a_killed_one_may_be_taken_back() -> None:
    full = Schedule(3, Candidate.GOOD, (Moment(Fault.DISK_FULL, 1.0, 3.0),))
    assert judge(full, taken_back(rollout="", code="build.disk-full")).violations == ()
    killed = Schedule(4, Candidate.GOOD, (Moment(Fault.CANDIDATE_KILLED, 1.0),))
    assert judge(killed, taken_back()).violations == ()
    assert judge(killed, taken_back(rollout="", code="health.never-passed")).wrong_verdict
