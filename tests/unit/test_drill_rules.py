"""Schedules from seeds, and what must hold in a drill."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from gantry.drill.judge import judge
from gantry.drill.observed import (
    Answers,
    CandidateShare,
    Copies,
    EdgeOutage,
    Failure,
    InjectedFault,
    ObservedDrill,
    Order,
    ProcessRun,
    StageOutcome,
    Switch,
    VisitorHistory,
    VisitorKind,
)
from gantry.drill.schedule import CandidateKind, Fault, Schedule, ScheduledFault, draw
from gantry.drill.shares import is_more_than_luck

EVERY = frozenset(Fault)
GOOD = Schedule(1, CandidateKind.GOOD, (ScheduledFault(Fault.CONTROL_KILLED, 2.0, 1.0),))
WRONG = Schedule(2, CandidateKind.WRONG, (ScheduledFault(Fault.CONTROL_KILLED, 2.0, 1.0),))


def answers(*shares: tuple[float, int, int]) -> tuple[Answers, ...]:
    """Slots of a tenth of a second, each with so many answers of the old and of the new release."""
    return tuple(
        Answers(at_s, {name: n for name, n in (("old", old), ("new", new)) if n})
        for at_s, old, new in shares
    )


def story(
    *, percent: float, new_in_stage: int
) -> tuple[tuple[Answers, ...], tuple[CandidateShare, ...]]:
    """Ten seconds of nothing, ten of a stage in which the new release gets so many of each 100, then nothing again."""
    slots = [(float(t), 100, 0) for t in range(10)]
    slots += [(float(t), 100 - new_in_stage, new_in_stage) for t in range(10, 20)]
    slots += [(float(t), 100, 0) for t in range(20, 25)]
    shares = [
        CandidateShare(t / 4, percent if 10 <= t / 4 < 20 else 0.0, taken_back=t / 4 >= 20)
        for t in range(100)
    ]
    return answers(*slots), tuple(shares)


def regular(*switches: tuple[float, str]) -> VisitorHistory:
    """A visitor who keeps their cookie, and who answered them from when on."""
    return VisitorHistory(
        VisitorKind.REGULAR, tuple(Switch(*switch) for switch in switches), cookie=True
    )


def page(*switches: tuple[float, str], of: str = "old") -> VisitorHistory:
    """A page that was loaded before the deploy."""
    return VisitorHistory(VisitorKind.PAGE, tuple(Switch(*switch) for switch in switches), page=of)


# Two instances of each release: who they are, where they listen, when they said something.
RUNS = (
    ProcessRun("old-1", "old", 4001, -3.0, 25.0),
    ProcessRun("old-2", "old", 4002, -3.0, 25.0),
    ProcessRun("new-1", "new", 4003, 2.0, 25.0),
    ProcessRun("new-2", "new", 4004, 2.0, 25.0),
)


def taken_back(**changes: object) -> ObservedDrill:
    """What is observed when a bad candidate is taken back and nothing else went wrong."""
    slots, shares = story(percent=5, new_in_stage=5)
    observed = ObservedDrill(
        previous="old",
        candidate="new",
        deploy="failed",
        deploy_ended=True,
        ended_s=20.0,
        code="rollout.failed",
        rollout="failed",
        reason="it was worse",
        live="old",
        served_by="old",
        requests=2500,
        failures=(),
        answers=slots,
        shares=shares,
        stages=(StageOutcome(percent=5, done=False, outcome="fail"),),
        outages=(),
        histories=(
            *(regular((-2.0, "old")) for _ in range(19)),
            regular((-2.0, "old"), (11.0, "new"), (20.0, "old")),
            page((-2.0, "old")),
        ),
        runs=RUNS,
        orders=(Order("0-20", 3.0, "old-1"), Order("1-20", 3.1, "new-1")),
        copies=(),
        cache_hits=40,
    )
    return replace(observed, **changes)  # type: ignore[arg-type]


def gone_live(**changes: object) -> ObservedDrill:
    """What is observed when a good candidate goes live and nothing went wrong."""
    slots = answers(
        *((float(t), 100, 0) for t in range(3)),
        *((float(t), 95, 5) for t in range(3, 8)),
        *((float(t), 0, 100) for t in range(10, 15)),
    )
    percents = (0.0 if t < 3 else 5.0 if t < 10 else 100.0 for t in itertools.count(0, 0.25))
    shares = tuple(
        CandidateShare(t / 4, percent) for t, percent in zip(range(60), percents, strict=False)
    )
    observed = taken_back(
        deploy="succeeded",
        code="",
        rollout="passed",
        reason="",
        live="new",
        served_by="new",
        answers=slots,
        shares=shares,
        stages=(StageOutcome(percent=5, outcome="pass"),),
        histories=(
            *(regular((-2.0, "old"), (10.0, "new")) for _ in range(20)),
            page((-2.0, "old")),
        ),
    )
    return replace(observed, **changes)  # type: ignore[arg-type]


def injected(
    fault: Fault, at_s: float, lasts_s: float = 0.0, *, hit: bool = True, port: int = 4003
) -> tuple[InjectedFault, ...]:
    """One thing that was done, or not; to an instance of the candidate unless said otherwise."""
    release = "new" if port in (4003, 4004) else "old"
    return (InjectedFault(fault, at_s, at_s + lasts_s, "pid 7", hit, release, port),)


@given(st.integers(min_value=0, max_value=10**6))
def test_a_seed_draws_the_same_again(seed: int) -> None:
    assert draw(seed, EVERY) == draw(seed, EVERY)


@given(st.integers(min_value=0, max_value=10**6))
def test_what_cannot_be_done_here_is_not_drawn(seed: int) -> None:
    schedule = draw(seed, EVERY - {Fault.DISK_FULL})
    assert Fault.DISK_FULL not in {scheduled.fault for scheduled in schedule.faults}
    assert 1 <= len(schedule.faults) <= 3


@given(st.integers(min_value=0, max_value=10**6))
def test_two_instances_are_never_taken_at_the_same_time(seed: int) -> None:
    taken = [
        scheduled
        for scheduled in draw(seed, EVERY).faults
        if scheduled.fault in (Fault.INSTANCE_KILLED, Fault.INSTANCE_HANGS)
    ]
    for first, second in itertools.pairwise(taken):
        assert second.at_s >= first.at_s + first.lasts_s + 6


def test_a_thousand_seeds_draw_everything() -> None:
    drawn = [draw(seed, EVERY) for seed in range(1000)]
    assert {schedule.candidate for schedule in drawn} == set(CandidateKind)
    assert {scheduled.fault for schedule in drawn for scheduled in schedule.faults} == EVERY
    assert 400 < sum(schedule.mirror for schedule in drawn) < 600


def test_nothing_is_said_where_everything_holds() -> None:
    for schedule, observed in ((WRONG, taken_back()), (GOOD, gone_live())):
        result = judge(schedule, observed)
        assert result.violations == ()
        assert not result.wrong_verdict
        assert result.failed == 0


@pytest.mark.parametrize(
    ("schedule", "observed", "message"),
    [
        (WRONG, gone_live(), "a candidate that is wrong went live"),
        (GOOD, taken_back(), "a good candidate was refused: rollout.failed: it was worse"),
        (GOOD, gone_live(deploy="active", deploy_ended=False), "the deploy is stuck: it is active"),
        (GOOD, gone_live(live="old", served_by="old"), "old is live after a deploy that succeeded"),
        (
            GOOD,
            gone_live(served_by=""),
            "the status says that new is live, the port serves nothing",
        ),
        (
            GOOD,
            gone_live(answers=(*gone_live().answers, *answers((15.0, 3, 97)))),
            "visitors got ['new', 'old'] in the end",
        ),
        (
            GOOD,
            gone_live(failures=(Failure(4.0, "reset"), Failure(4.5, "reset"))),
            "2 requests failed although a healthy instance was there; the first after 4.0 s: reset",
        ),
        (
            GOOD,
            gone_live(failures=(Failure(12.0, "status 500", "new"),)),
            "1 request failed although a healthy instance was there; the first after 12.0 s: status 500",
        ),
    ],
)
def test_each_thing_that_does_not_hold_is_said(
    schedule: Schedule, observed: ObservedDrill, message: str
) -> None:
    assert message in judge(schedule, observed).violations


def test_errors_of_a_bad_candidate_count_as_its_share_and_not_as_failures() -> None:
    failures = (Failure(12.0, "status 500", "new"), Failure(12.0, "status 500", "old"))
    assert judge(WRONG, taken_back(failures=failures)).failed == 1


KILLED = replace(GOOD, faults=(ScheduledFault(Fault.CANDIDATE_KILLED, 18.0),))
FULL = replace(GOOD, faults=(ScheduledFault(Fault.DISK_FULL, 3.0, 2.0),))
REFUSED = "a good candidate was refused"


@pytest.mark.parametrize(
    ("schedule", "observed", "message"),
    [
        # Taken back at 20.0 s. What was drawn and not done is no excuse, nor is what was done afterwards, or long before.
        (KILLED, taken_back(injected=injected(Fault.CANDIDATE_KILLED, 18.0)), ""),
        (KILLED, taken_back(injected=injected(Fault.CANDIDATE_KILLED, 18.0, hit=False)), REFUSED),
        (KILLED, taken_back(), REFUSED),
        (KILLED, taken_back(injected=injected(Fault.CANDIDATE_KILLED, 20.5)), REFUSED),
        (KILLED, taken_back(injected=injected(Fault.CANDIDATE_KILLED, 12.0)), REFUSED),
        (
            KILLED,
            taken_back(
                injected=(
                    *injected(Fault.CANDIDATE_KILLED, 12.0),
                    *injected(Fault.CONTROL_HANGS, 12.5, 4.0),
                )
            ),
            "",
        ),
        (KILLED, taken_back(injected=injected(Fault.INSTANCE_KILLED, 18.0)), REFUSED),
        (
            KILLED,
            taken_back(
                rollout="", code="health.never-passed", injected=injected(Fault.CANDIDATE_KILLED, 18.0)
            ),
            f"{REFUSED}: health.never-passed",
        ),
        # A full disk stops a deploy from then on, in message that say so, and never by a verdict.
        (FULL, taken_back(rollout="", code="build.disk-full", injected=injected(Fault.DISK_FULL, 3.0)), ""),
        (
            FULL,
            taken_back(rollout="", code="build.disk-full", ended_s=2.0, injected=injected(Fault.DISK_FULL, 3.0)),
            f"{REFUSED}: build.disk-full",
        ),
        (FULL, taken_back(rollout="", code="build.disk-full"), f"{REFUSED}: build.disk-full"),
        (
            FULL,
            taken_back(rollout="", code="build.failed", injected=injected(Fault.DISK_FULL, 3.0)),
            f"{REFUSED}: build.failed",
        ),
        (FULL, taken_back(injected=injected(Fault.DISK_FULL, 3.0)), f"{REFUSED}: rollout.failed"),
        (FULL, taken_back(injected=injected(Fault.DISK_FULL, 20.5)), f"{REFUSED}: rollout.failed"),
    ],
)  # fmt: skip
def test_a_good_candidate_is_refused_for_what_was_done_to_it_before_and_for_nothing_else(
    schedule: Schedule, observed: ObservedDrill, message: str
) -> None:
    result = judge(schedule, observed)
    assert result.wrong_verdict is bool(message)
    assert [violation.startswith(message) for violation in result.violations] == (
        [True] if message else []
    )


@pytest.mark.parametrize(
    ("candidate", "observed", "message"),
    [
        (CandidateKind.SLOW, gone_live(), "a candidate that is slow went live"),
        (
            CandidateKind.WRONG,
            taken_back(rollout="passed", code="switch.timeout"),
            "a candidate that is wrong passed its rollout",
        ),
        (
            CandidateKind.LEAKING,
            taken_back(
                stages=(
                    StageOutcome(5, outcome="pass"),
                    StageOutcome(50, done=False, outcome="fail"),
                )
            ),
            "the verdict of stage 1 was pass, of a candidate that is leaking",
        ),
        (
            CandidateKind.WRONG,
            taken_back(
                stages=(StageOutcome(5, outcome="inconclusive"), StageOutcome(50, done=False))
            ),
            "",
        ),
        (
            CandidateKind.NEVER_HEALTHY,
            taken_back(),
            "a rollout was begun with a candidate that was never healthy",
        ),
        (
            CandidateKind.NEVER_HEALTHY,
            taken_back(rollout="", stages=(), code="health.never-passed"),
            "",
        ),
    ],
)
def test_a_bad_candidate_is_never_called_good(
    candidate: CandidateKind, observed: ObservedDrill, message: str
) -> None:
    result = judge(replace(WRONG, candidate=candidate), observed)
    assert result.wrong_verdict is bool(message)
    assert result.violations[:1] == ((message,) if message else ())


@pytest.mark.parametrize("schedule", [GOOD, WRONG])
@pytest.mark.parametrize(
    ("percent", "got", "held"),
    [(5, 5, True), (5, 7, True), (5, 15, False), (50, 50, True), (50, 90, False), (0, 3, False)],
)
def test_no_candidate_gets_more_than_its_stage_allows(
    schedule: Schedule, percent: float, got: int, held: bool
) -> None:
    slots, shares = story(percent=percent, new_in_stage=got)
    hit = injected(Fault.CANDIDATE_KILLED, 19.0)
    observed = taken_back(
        answers=slots, shares=shares, stages=(StageOutcome(percent, done=False),), injected=hit
    )
    result = judge(schedule, observed)
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
BLIND = tuple(share for share in gone_live().shares if not 5.0 <= share.at_s < 13.0)


@pytest.mark.parametrize(
    ("observed", "message"),
    [
        (gone_live(answers=(), stages=()), "the drill saw nothing of visitors"),
        (gone_live(requests=0), "the drill saw nothing of visitors"),
        (gone_live(histories=gone_live().histories[:-1]), "the drill saw nothing of old pages"),
        (
            gone_live(histories=gone_live().histories[-1:], stages=()),
            "the drill saw nothing of regulars",
        ),
        (
            gone_live(histories=(*gone_live().histories, page((-2.0, "old"), of=""))),
            "the drill saw nothing of the release of a page",
        ),
        (
            gone_live(
                histories=tuple(replace(history, cookie=False) for history in gone_live().histories)
            ),
            "the drill saw nothing of cookies",
        ),
        (gone_live(cache_hits=0), "the drill saw nothing of the edge's cache"),
        (gone_live(orders=()), "the drill saw nothing of orders"),
        (gone_live(runs=()), "the drill saw nothing of instances"),
        (
            gone_live(stages=(StageOutcome(0, mirror=True), StageOutcome(5))),
            "the drill saw nothing of copies",
        ),
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
            "it went live without a rollout that passed: that is not there",
        ),
        (
            gone_live(rollout="failed"),
            "it went live without a rollout that passed: that is failed",
        ),
        (
            gone_live(stages=(StageOutcome(5), StageOutcome(50))),
            "the drill saw nothing of the stage of 50 %",
        ),
    ],
)
def test_what_was_not_seen_has_not_held(observed: ObservedDrill, message: str) -> None:
    assert judge(GOOD, observed).violations == (message,)


def test_a_mirror_that_was_asked_for_is_seen() -> None:
    mirrored, copies = replace(GOOD, mirror=True), (Copies("new", "GET", 300),)
    observed = gone_live(stages=(StageOutcome(0, mirror=True), StageOutcome(5)), copies=copies)
    assert judge(mirrored, observed).violations == ()
    assert judge(mirrored, gone_live()).violations == ("the drill saw nothing of the mirror",)


def test_nobody_speaks_for_a_control_plane_that_is_kept_from_it() -> None:
    for fault in (Fault.CONTROL_KILLED, Fault.CONTROL_HANGS, Fault.SYSTEM_DATABASE_KILLED):
        observed = gone_live(shares=BLIND, injected=injected(fault, 5.0, 4.0))
        assert judge(GOOD, observed).violations == ()
    observed = gone_live(shares=BLIND, injected=injected(Fault.DATA_DATABASE_KILLED, 5.0, 4.0))
    assert judge(GOOD, observed).violations != ()


@pytest.mark.parametrize(
    ("outage", "injections", "message"),
    [
        (EdgeOutage(2.0, 4.4), (), ""),
        (EdgeOutage(2.0, 4.6), (), "the edge did not answer for 2.6 s"),
        (EdgeOutage(2.0, 5.4, hung_s=1.0), injected(Fault.EDGE_HANGS, 2.0, 1.0), ""),
        (EdgeOutage(2.0, 5.6, hung_s=1.0), injected(Fault.EDGE_HANGS, 2.0, 1.0), "the edge did not answer for 3.6 s"),
        # It was killed, and made to hang as it came back.
        (EdgeOutage(2.0, 5.4), injected(Fault.EDGE_HANGS, 2.2, 1.0), ""),
        (EdgeOutage(2.0, 5.4), injected(Fault.EDGE_HANGS, 5.0, 1.0), "the edge did not answer for 3.4 s"),
        (EdgeOutage(2.0, 5.4), injected(Fault.EDGE_HANGS, 2.2, 1.0, hit=False), "the edge did not answer for 3.4 s"),
    ],
)  # fmt: skip
def test_the_edge_is_back_at_once(
    outage: EdgeOutage, injections: tuple[InjectedFault, ...], message: str
) -> None:
    result = judge(GOOD, gone_live(outages=(outage,), injected=injections))
    assert result.violations == ((message,) if message else ())


@pytest.mark.parametrize(
    ("failure", "outage", "is_excused"),
    [
        (Failure(3.0, "connect: ConnectionRefusedError"), EdgeOutage(2.0, 4.0), True),
        (Failure(4.4, "ConnectionResetError"), EdgeOutage(2.0, 4.0), True),
        (Failure(4.6, "ConnectionResetError"), EdgeOutage(2.0, 4.0), False),
        (Failure(3.0, "status 503", "edge"), EdgeOutage(2.0, 4.0), True),
        (Failure(3.0, "status 500", "old"), EdgeOutage(2.0, 4.0), False),
        (Failure(3.0, "status 500", "new"), EdgeOutage(2.0, 4.0), False),
        # While it only hangs, visitors wait.
        (Failure(3.0, "ConnectionResetError"), EdgeOutage(2.0, 4.0, hung_s=1.0), False),
    ],
)
def test_a_killed_edge_excuses_what_it_did_not_answer(
    failure: Failure, outage: EdgeOutage, is_excused: bool
) -> None:
    injections = injected(Fault.EDGE_HANGS, 2.0, outage.hung_s) if outage.hung_s else ()
    result = judge(GOOD, gone_live(outages=(outage,), failures=(failure,), injected=injections))
    assert (result.violations == ()) is is_excused


LOST = Failure(12.1, "status 503", "edge", began_s=12.0, order="7-40")
LEAKING = Schedule(5, CandidateKind.LEAKING, (ScheduledFault(Fault.CONTROL_KILLED, 2.0, 1.0),))
KILLED_AT_12 = injected(Fault.CANDIDATE_KILLED, 12.05)
# Its memory was full: it said nothing any more.
OUT_OF_MEMORY = (*RUNS[:2], replace(RUNS[2], last_s=12.0), RUNS[3])


def had_by(run: str, at_s: float = 12.01) -> tuple[Order, ...]:
    """The order of `LOST` as it arrived."""
    return (*gone_live().orders, Order("7-40", at_s, run))


@pytest.mark.parametrize(
    ("schedule", "changes", "is_excused"),
    [
        # The instance that had it was killed while it had it.
        (WRONG, {"orders": had_by("new-1"), "injected": KILLED_AT_12}, True),
        # Another instance had it; it had none; nobody was killed; one was killed before, or afterwards.
        (WRONG, {"orders": had_by("new-2"), "injected": KILLED_AT_12}, False),
        (WRONG, {"orders": had_by("old-1"), "injected": KILLED_AT_12}, False),
        (WRONG, {"orders": had_by("new-1")}, False),
        (
            WRONG,
            {"orders": had_by("new-1"), "injected": injected(Fault.CANDIDATE_KILLED, 11.9)},
            False,
        ),
        (
            WRONG,
            {"orders": had_by("new-1"), "injected": injected(Fault.CANDIDATE_KILLED, 12.2)},
            False,
        ),
        (
            WRONG,
            {
                "orders": had_by("new-1"),
                "injected": injected(Fault.CANDIDATE_KILLED, 12.05, hit=False),
            },
            False,
        ),
        # It was sent to one that had just been killed and could not take it any more; a second later nobody sends there.
        (WRONG, {"injected": KILLED_AT_12}, True),
        (WRONG, {"injected": injected(Fault.CANDIDATE_KILLED, 11.6)}, True),
        (WRONG, {"injected": injected(Fault.CANDIDATE_KILLED, 11.0)}, False),
        (WRONG, {"injected": injected(Fault.INSTANCE_KILLED, 12.05, port=4001)}, True),
        (WRONG, {"injected": injected(Fault.INSTANCE_HANGS, 12.0, 4.0, port=4001)}, False),
        (WRONG, {}, False),
        # Of a leaking candidate the kernel kills instances; nobody says when.
        (LEAKING, {"orders": had_by("new-1"), "runs": OUT_OF_MEMORY}, True),
        (LEAKING, {"orders": had_by("new-2"), "runs": OUT_OF_MEMORY}, False),
        (LEAKING, {"orders": had_by("new-1")}, False),
        (WRONG, {"orders": had_by("new-1"), "runs": OUT_OF_MEMORY}, False),
        # Told to end, an instance ends what it has begun.
        (
            LEAKING,
            {
                "orders": had_by("new-1"),
                "runs": (*RUNS[:2], replace(RUNS[2], last_s=12.0, told_to_end_s=11.0), RUNS[3]),
            },
            False,
        ),
        # What an instance answered, it was alive to answer.
        (
            WRONG,
            {"failures": (replace(LOST, release="old"),), "injected": KILLED_AT_12},
            False,
        ),
        # A GET can be sent a second time.
        (
            WRONG,
            {"failures": (replace(LOST, order=""),), "injected": KILLED_AT_12},
            False,
        ),
    ],
)
def test_an_order_is_lost_with_the_instance_that_had_it_and_not_otherwise(
    schedule: Schedule, changes: dict[str, object], is_excused: bool
) -> None:
    observed = taken_back(**{"failures": (LOST,), **changes})
    assert judge(schedule, observed).failed == (0 if is_excused else 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"copies": (Copies("new", "GET", 300), Copies("new", "HEAD", 1))}, ""),
        (
            {"copies": (Copies("new", "POST", 2),)},
            "2 copies of POST requests arrived at new",
        ),
        (
            {"copies": (Copies("old", "GET", 3),)},
            "3 copies arrived at old, which is not the candidate",
        ),
        # A copy that does not say so, or a second try of what could not be tried twice.
        (
            {"orders": (*had_by("old-1"), *had_by("new-1")[-1:])},
            "1 order arrived more than once: 7-40",
        ),
    ],
)
def test_what_has_effects_arrives_once_and_is_never_copied(
    changes: dict[str, object], message: str
) -> None:
    assert judge(WRONG, taken_back(**changes)).violations == ((message,) if message else ())


def with_regulars(*histories: VisitorHistory, count: int = 20, **changes: object) -> ObservedDrill:
    """A good candidate went live; these visitors among others who came when everybody did."""
    others = (regular((-2.0, "old"), (10.0, "new")) for _ in range(count - len(histories)))
    observed = gone_live(histories=(*histories, *others, page((-2.0, "old"))))
    return replace(observed, **changes)  # type: ignore[arg-type]


SENT_BACK = regular((-2.0, "old"), (4.0, "new"), (6.0, "old"), (10.0, "new"))
SENT_BACK_MESSAGE = "1 time a visitor who keeps their cookie was sent back from the candidate; the first after 6.0 s, to old"


@pytest.mark.parametrize(
    ("schedule", "observed", "message"),
    [
        (GOOD, with_regulars(regular((-2.0, "old"), (4.0, "new"))), ""),
        (GOOD, with_regulars(SENT_BACK), SENT_BACK_MESSAGE),
        # Also between the last step and the moment at which it goes live.
        (
            GOOD,
            with_regulars(regular((-2.0, "old"), (4.0, "new"), (10.1, "old"), (10.5, "new"))),
            SENT_BACK_MESSAGE.replace("6.0", "10.1"),
        ),
        # Its instance was killed: until it is back, a request may be tried on the previous release.
        (GOOD, with_regulars(SENT_BACK, injected=injected(Fault.CANDIDATE_KILLED, 5.9)), ""),
        (GOOD, with_regulars(SENT_BACK, injected=injected(Fault.CANDIDATE_KILLED, 6.2)), ""),
        (GOOD, with_regulars(SENT_BACK, injected=injected(Fault.CANDIDATE_KILLED, 7.5)), SENT_BACK_MESSAGE),
        (GOOD, with_regulars(SENT_BACK, injected=injected(Fault.CANDIDATE_KILLED, 5.9, hit=False)), SENT_BACK_MESSAGE),
        (GOOD, with_regulars(SENT_BACK, injected=injected(Fault.INSTANCE_KILLED, 5.9, port=4001)), SENT_BACK_MESSAGE),
        # It died and nobody had done it.
        (
            GOOD,
            with_regulars(
                SENT_BACK,
                runs=(*RUNS[:2], replace(RUNS[2], last_s=5.9), RUNS[3]),
            ),
            SENT_BACK_MESSAGE,
        ),
        # It was taken back, a little before that was said, or much before, where nobody could ask.
        (WRONG, taken_back(), ""),
        (
            WRONG,
            taken_back(
                histories=(
                    *taken_back().histories,
                    regular((-2.0, "old"), (11.0, "new"), (18.7, "old")),
                )
            ),
            "",
        ),
        (
            WRONG,
            taken_back(
                histories=(
                    *taken_back().histories,
                    regular((-2.0, "old"), (11.0, "new"), (17.0, "old")),
                )
            ),
            SENT_BACK_MESSAGE.replace("6.0", "17.0"),
        ),
        (
            WRONG,
            taken_back(
                histories=(
                    *taken_back().histories,
                    regular((-2.0, "old"), (11.0, "new"), (17.0, "old")),
                ),
                shares=tuple(
                    share for share in taken_back().shares if not 16.5 <= share.at_s < 20
                ),
            ),
            "",
        ),
        # A leaking candidate cannot answer when its memory was full.
        (
            LEAKING,
            taken_back(
                histories=(
                    *taken_back().histories,
                    regular((-2.0, "old"), (11.0, "new"), (12.3, "old"), (14.0, "new"), (20.0, "old")),
                ),
                runs=OUT_OF_MEMORY,
            ),
            "",
        ),
    ],
)  # fmt: skip
def test_who_keeps_their_cookie_stays_with_the_candidate_until_it_is_taken_back(
    schedule: Schedule, observed: ObservedDrill, message: str
) -> None:
    assert judge(schedule, observed).violations == ((message,) if message else ())


@pytest.mark.parametrize(
    ("came", "at_s", "message"),
    [
        (3, 5.0, ""),
        (12, 5.0, "12 of 20 visitors with a kept cookie got the candidate at 5 %"),
        (20, 10.0, ""),
    ],
)
def test_no_more_regulars_come_to_the_candidate_than_were_drawn(
    came: int, at_s: float, message: str
) -> None:
    observed = with_regulars(*(regular((-2.0, "old"), (at_s, "new")) for _ in range(came)))
    assert judge(GOOD, observed).violations == ((message,) if message else ())


@pytest.mark.parametrize(
    ("history", "message"),
    [
        (page((-2.0, "old")), ""),
        (page((-2.0, "old"), (11.0, "new")), "a page of old was answered by new after 11.0 s"),
        (page((5.0, "new"), of="new"), ""),
        (
            page((-2.0, "older"), of="older"),
            "visitors got ['older'], which is neither the candidate nor the previous release",
        ),
    ],
)
def test_an_old_page_is_answered_by_the_release_that_it_was_loaded_from(
    history: VisitorHistory, message: str
) -> None:
    observed = gone_live(histories=(*gone_live().histories, history))
    assert judge(GOOD, observed).violations == ((message,) if message else ())


def test_nobody_is_answered_by_a_release_that_has_no_part_in_it() -> None:
    slots = answers((15.0, 0, 90))[0]
    odd = replace(slots, at_s=9.0, by_release={"older": 3})
    observed = gone_live(answers=(*gone_live().answers, odd, slots))
    assert judge(GOOD, observed).violations == (
        "visitors got ['older'], which is neither the candidate nor the previous release",
    )


OUT_OF_TURN = "1 visitor with a kept cookie came to the candidate while its share did not rise; the first after {} s"


@pytest.mark.parametrize(
    ("at_s", "changes", "message"),
    [
        # The share rises at 3.0 s, and at 10.0 s when it goes live.
        (2.0, {}, ""),
        (5.9, {}, ""),
        (6.5, {}, OUT_OF_TURN.format(6.5)),
        (9.0, {}, ""),
        (6.5, {"injected": injected(Fault.CONTROL_HANGS, 3.1, 2.0)}, ""),
        (6.5, {"outages": (EdgeOutage(4.0, 5.0),)}, ""),
        # It was drawn before, and the candidate could not answer then.
        (6.5, {"injected": injected(Fault.CANDIDATE_KILLED, 3.5)}, ""),
        (
            6.5,
            {"injected": injected(Fault.INSTANCE_KILLED, 3.5, port=4001)},
            OUT_OF_TURN.format(6.5),
        ),
    ],
)
def test_who_keeps_their_cookie_comes_to_the_candidate_when_its_share_rises(
    at_s: float, changes: dict[str, object], message: str
) -> None:
    observed = replace(with_regulars(regular((-2.0, "old"), (at_s, "new"))), **changes)  # type: ignore[arg-type]
    assert judge(GOOD, observed).violations == ((message,) if message else ())
