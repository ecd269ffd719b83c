"""Schedules from seeds, and what must hold in a drill."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from gantry.features.drills.draw import draw
from gantry.features.drills.judge import judge
from gantry.features.drills.model import Candidate, Fault, Moment, Schedule
from gantry.features.drills.seen import Answers, Away, Deed, Failure, Seen, Share, Stage
from gantry.features.drills.shares import is_more_than_luck

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
    shares = [
        Share(t / 4, percent if 10 <= t / 4 < 20 else 0.0, taken_back=t / 4 >= 20)
        for t in range(100)
    ]
    return answers(*slots), tuple(shares)


def taken_back(**changes: object) -> Seen:
    """What is seen when a bad candidate is taken back and nothing else went wrong."""
    slots, shares = story(percent=5, new_in_stage=5)
    seen = Seen(
        before="old",
        candidate="new",
        deploy="failed",
        deploy_ended=True,
        ended_s=20.0,
        code="rollout.failed",
        rollout="failed",
        reason="it was worse",
        live="old",
        reached="old",
        requests=2500,
        failures=(),
        answers=slots,
        shares=shares,
        stages=(Stage(percent=5, done=False, outcome="fail"),),
        away=(),
    )
    return replace(seen, **changes)  # type: ignore[arg-type]


def gone_live(**changes: object) -> Seen:
    """What is seen when a good candidate goes live and nothing went wrong."""
    slots = answers(
        *((float(t), 100, 0) for t in range(3)),
        *((float(t), 95, 5) for t in range(3, 8)),
        *((float(t), 0, 100) for t in range(10, 15)),
    )
    percents = (0.0 if t < 3 else 5.0 if t < 10 else 100.0 for t in itertools.count(0, 0.25))
    shares = tuple(Share(t / 4, percent) for t, percent in zip(range(60), percents, strict=False))
    seen = taken_back(
        deploy="succeeded",
        code="",
        rollout="passed",
        reason="",
        live="new",
        reached="new",
        answers=slots,
        shares=shares,
        stages=(Stage(percent=5, outcome="pass"),),
    )
    return replace(seen, **changes)  # type: ignore[arg-type]


def done(fault: Fault, at_s: float, lasts_s: float = 0.0, *, did: bool = True) -> tuple[Deed, ...]:
    """One thing that was done, or not."""
    return (Deed(fault, at_s, at_s + lasts_s, "pid 7", did),)


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
            gone_live(answers=(*gone_live().answers, *answers((15.0, 3, 97)))),
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
    ],
)
def test_each_thing_that_does_not_hold_is_said(schedule: Schedule, seen: Seen, words: str) -> None:
    assert words in judge(schedule, seen).violations


def test_errors_of_a_bad_candidate_count_as_its_share_and_not_as_failures() -> None:
    failures = (Failure(12.0, "status 500", "new"), Failure(12.0, "status 500", "old"))
    assert judge(WRONG, taken_back(failures=failures)).failed == 1


KILLED = replace(GOOD, moments=(Moment(Fault.CANDIDATE_KILLED, 18.0),))
FULL = replace(GOOD, moments=(Moment(Fault.DISK_FULL, 3.0, 2.0),))
REFUSED = "a good candidate was refused"


@pytest.mark.parametrize(
    ("schedule", "seen", "words"),
    [
        # Taken back at 20.0 s. What was drawn and not done is no excuse, nor is what was done afterwards, or long before.
        (KILLED, taken_back(done=done(Fault.CANDIDATE_KILLED, 18.0)), ""),
        (KILLED, taken_back(done=done(Fault.CANDIDATE_KILLED, 18.0, did=False)), REFUSED),
        (KILLED, taken_back(), REFUSED),
        (KILLED, taken_back(done=done(Fault.CANDIDATE_KILLED, 20.5)), REFUSED),
        (KILLED, taken_back(done=done(Fault.CANDIDATE_KILLED, 12.0)), REFUSED),
        (
            KILLED,
            taken_back(
                done=(
                    *done(Fault.CANDIDATE_KILLED, 12.0),
                    *done(Fault.CONTROL_HANGS, 12.5, 4.0),
                )
            ),
            "",
        ),
        (KILLED, taken_back(done=done(Fault.INSTANCE_KILLED, 18.0)), REFUSED),
        (
            KILLED,
            taken_back(
                rollout="", code="health.never-passed", done=done(Fault.CANDIDATE_KILLED, 18.0)
            ),
            f"{REFUSED}: health.never-passed",
        ),
        # A full disk stops a deploy from then on, in words that say so, and never by a verdict.
        (FULL, taken_back(rollout="", code="build.disk-full", done=done(Fault.DISK_FULL, 3.0)), ""),
        (
            FULL,
            taken_back(rollout="", code="build.disk-full", ended_s=2.0, done=done(Fault.DISK_FULL, 3.0)),
            f"{REFUSED}: build.disk-full",
        ),
        (FULL, taken_back(rollout="", code="build.disk-full"), f"{REFUSED}: build.disk-full"),
        (
            FULL,
            taken_back(rollout="", code="build.failed", done=done(Fault.DISK_FULL, 3.0)),
            f"{REFUSED}: build.failed",
        ),
        (FULL, taken_back(done=done(Fault.DISK_FULL, 3.0)), f"{REFUSED}: rollout.failed"),
        (FULL, taken_back(done=done(Fault.DISK_FULL, 20.5)), f"{REFUSED}: rollout.failed"),
    ],
)  # fmt: skip
def test_a_good_candidate_is_refused_for_what_was_done_to_it_before_and_for_nothing_else(
    schedule: Schedule, seen: Seen, words: str
) -> None:
    result = judge(schedule, seen)
    assert result.wrong_verdict is bool(words)
    assert [one.startswith(words) for one in result.violations] == ([True] if words else [])


@pytest.mark.parametrize(
    ("candidate", "seen", "words"),
    [
        (Candidate.SLOW, gone_live(), "a candidate that is slow went live"),
        (
            Candidate.WRONG,
            taken_back(rollout="passed", code="switch.timeout"),
            "a candidate that is wrong passed its rollout",
        ),
        (
            Candidate.LEAKING,
            taken_back(stages=(Stage(5, outcome="pass"), Stage(50, done=False, outcome="fail"))),
            "the verdict of stage 1 was pass, of a candidate that is leaking",
        ),
        (
            Candidate.WRONG,
            taken_back(stages=(Stage(5, outcome="inconclusive"), Stage(50, done=False))),
            "",
        ),
        (
            Candidate.NEVER_HEALTHY,
            taken_back(),
            "a rollout was begun with a candidate that was never healthy",
        ),
        (
            Candidate.NEVER_HEALTHY,
            taken_back(rollout="", stages=(), code="health.never-passed"),
            "",
        ),
    ],
)
def test_a_bad_candidate_is_never_called_good(candidate: Candidate, seen: Seen, words: str) -> None:
    result = judge(replace(WRONG, candidate=candidate), seen)
    assert result.wrong_verdict is bool(words)
    assert result.violations[:1] == ((words,) if words else ())


@pytest.mark.parametrize("schedule", [GOOD, WRONG])
@pytest.mark.parametrize(
    ("percent", "got", "held"),
    [(5, 5, True), (5, 7, True), (5, 15, False), (50, 50, True), (50, 90, False), (0, 3, False)],
)
def test_no_candidate_gets_more_than_its_step(
    schedule: Schedule, percent: float, got: int, held: bool
) -> None:
    slots, shares = story(percent=percent, new_in_stage=got)
    hit = done(Fault.CANDIDATE_KILLED, 19.0)
    seen = taken_back(answers=slots, shares=shares, stages=(Stage(percent, done=False),), done=hit)
    result = judge(schedule, seen)
    assert (result.violations == ()) is held, result.violations


@pytest.mark.parametrize(
    ("got", "of", "share", "is_more"),
    [
        (0, 0, 0.05, False),
        (5, 20, 0.05, False),  # four standard deviations, and yet one stage in four hundred
        (9, 20, 0.05, True),
        (40, 480, 0.05, False),
        (60, 480, 0.05, True),
        (1, 1000, 0.0, True),
        (20, 20, 0.5, True),
        (15, 20, 0.5, False),
    ],
)
def test_more_than_luck(got: int, of: int, share: float, is_more: bool) -> None:
    assert is_more_than_luck(got, of, share) is is_more


def test_the_chance_is_that_of_the_binomial_distribution() -> None:
    # 1e-5 of 20 draws at one half: P(19 or more) is 2.0e-5, P(20) is 9.5e-7.
    assert not is_more_than_luck(19, 20, 0.5)
    assert is_more_than_luck(20, 20, 0.5)


# From 4.8 to 13.0 s nobody says anything.
BLIND = tuple(one for one in gone_live().shares if not 5.0 <= one.at_s < 13.0)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (gone_live(answers=(), stages=()), "the drill saw nothing of the visitors"),
        (gone_live(requests=0), "the drill saw nothing of the visitors"),
        (gone_live(shares=()), "the drill saw nothing of the candidate's share"),
        (
            gone_live(shares=BLIND),
            "the drill saw nothing of the candidate's share from 4.8 to 13.0 s",
        ),
        (
            gone_live(shares=gone_live().shares[30:]),
            "the drill saw nothing of the candidate's share from 0.0 to 7.5 s",
        ),
        (
            gone_live(rollout="", stages=()),
            "the drill saw nothing of a rollout that passed: it is not there",
        ),
        (
            gone_live(rollout="failed"),
            "the drill saw nothing of a rollout that passed: it is failed",
        ),
        (
            gone_live(stages=(Stage(5), Stage(50))),
            "the drill saw nothing of the step of 50 %",
        ),
    ],
)
def test_what_was_not_seen_has_not_held(seen: Seen, words: str) -> None:
    assert judge(GOOD, seen).violations == (words,)


def test_nobody_speaks_for_a_control_plane_that_is_kept_from_it() -> None:
    for fault in (Fault.CONTROL_KILLED, Fault.CONTROL_HANGS, Fault.SYSTEM_DATABASE_KILLED):
        seen = gone_live(shares=BLIND, done=done(fault, 5.0, 4.0))
        assert judge(GOOD, seen).violations == ()
    seen = gone_live(shares=BLIND, done=done(Fault.DATA_DATABASE_KILLED, 5.0, 4.0))
    assert judge(GOOD, seen).violations != ()


@pytest.mark.parametrize(
    ("away", "deeds", "words"),
    [
        (Away(2.0, 4.4), (), ""),
        (Away(2.0, 4.6), (), "the edge was away for 2.6 s"),
        (Away(2.0, 5.4, hung_s=1.0), done(Fault.EDGE_HANGS, 2.0, 1.0), ""),
        (Away(2.0, 5.6, hung_s=1.0), done(Fault.EDGE_HANGS, 2.0, 1.0), "the edge was away for 3.6 s"),
        # It was killed, and made to hang as it came back.
        (Away(2.0, 5.4), done(Fault.EDGE_HANGS, 2.2, 1.0), ""),
        (Away(2.0, 5.4), done(Fault.EDGE_HANGS, 5.0, 1.0), "the edge was away for 3.4 s"),
        (Away(2.0, 5.4), done(Fault.EDGE_HANGS, 2.2, 1.0, did=False), "the edge was away for 3.4 s"),
    ],
)  # fmt: skip
def test_the_edge_is_back_at_once(away: Away, deeds: tuple[Deed, ...], words: str) -> None:
    result = judge(GOOD, gone_live(away=(away,), done=deeds))
    assert result.violations == ((words,) if words else ())


@pytest.mark.parametrize(
    ("failure", "away", "is_excused"),
    [
        (Failure(3.0, "connect: ConnectionRefusedError"), Away(2.0, 4.0), True),
        (Failure(4.4, "ConnectionResetError"), Away(2.0, 4.0), True),
        (Failure(4.6, "ConnectionResetError"), Away(2.0, 4.0), False),
        (Failure(3.0, "status 503", "edge"), Away(2.0, 4.0), True),
        (Failure(3.0, "status 500", "old"), Away(2.0, 4.0), False),
        (Failure(3.0, "status 500", "new"), Away(2.0, 4.0), False),
        # While it only hangs, visitors wait.
        (Failure(3.0, "ConnectionResetError"), Away(2.0, 4.0, hung_s=1.0), False),
    ],
)
def test_a_killed_edge_excuses_what_it_did_not_answer(
    failure: Failure, away: Away, is_excused: bool
) -> None:
    deeds = done(Fault.EDGE_HANGS, 2.0, away.hung_s) if away.hung_s else ()
    result = judge(GOOD, gone_live(away=(away,), failures=(failure,), done=deeds))
    assert (result.violations == ()) is is_excused
