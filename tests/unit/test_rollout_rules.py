"""How a rollout moves: tables, and a model that is driven through thousands of steps a second."""

from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gantry.config.sections import Deploy, RolloutStage
from gantry.features.rollouts import rules
from gantry.features.rollouts.model import (
    Rollout,
    RolloutCommand,
    RolloutState,
    Stage,
    StageKind,
    buckets_of,
)
from gantry.features.rollouts.verdict.model import Outcome
from tests.support.stories import T0, at

STAGES = (
    Stage(StageKind.MIRROR, 0, 30),
    Stage(StageKind.CANARY, 5, 60),
    Stage(StageKind.CANARY, 50, 60),
)
ROLLOUT = Rollout(
    id="ro-1",
    deploy="dep-1",
    environment="env-1",
    candidate="r-2",
    current="r-1",
    stages=STAGES,
    stage=1,
    state=RolloutState.RUNNING,
    approval=False,
    cookie_key="k",
    started_at=T0,
    stage_started_at=T0,
)


def observation(
    after_s: float,
    outcome: Outcome | None = Outcome.PASS,
    policy: Literal["promote", "abort"] = "promote",
    *,
    in_effect: bool = True,
) -> rules.ObservedRollout:
    return rules.ObservedRollout(at(after_s), outcome, "said so", in_effect, policy)


@pytest.mark.parametrize(
    ("rollout", "observed", "action"),
    [
        (ROLLOUT, observation(59), None),
        (ROLLOUT, observation(60), rules.BeginStage(2)),
        (ROLLOUT, observation(60, in_effect=False), None),
        (ROLLOUT, observation(1, Outcome.FAIL), rules.End(RolloutState.FAILED, "said so")),
        (ROLLOUT, observation(60, Outcome.INCONCLUSIVE), None),
        (ROLLOUT, observation(119, Outcome.INCONCLUSIVE, "abort"), None),
        (ROLLOUT, observation(120, Outcome.INCONCLUSIVE), rules.BeginStage(2)),
        (
            ROLLOUT,
            observation(120, Outcome.INCONCLUSIVE, "abort"),
            rules.End(RolloutState.FAILED, "too little is known of it: said so"),
        ),
        (ROLLOUT, observation(60, None), None),
        (
            replace(ROLLOUT, stage=2),
            observation(60),
            rules.End(RolloutState.PASSED, "3 stages went well"),
        ),
        (replace(ROLLOUT, approval=True), observation(60), rules.Hold(RolloutState.WAITING)),
        (
            replace(ROLLOUT, requested=RolloutCommand.PROMOTE),
            observation(1, None),
            rules.BeginStage(2),
        ),
        (
            replace(ROLLOUT, requested=RolloutCommand.PAUSE),
            observation(60),
            rules.Hold(RolloutState.PAUSED),
        ),
        (
            replace(ROLLOUT, requested=RolloutCommand.ABORT),
            observation(60),
            rules.End(RolloutState.ABORTED, "it was aborted"),
        ),
        (
            replace(ROLLOUT, requested=RolloutCommand.RESUME, state=RolloutState.PAUSED),
            observation(1),
            rules.Resume(),
        ),
        (replace(ROLLOUT, state=RolloutState.PAUSED, paused_at=at(9)), observation(999), None),
        (
            replace(ROLLOUT, state=RolloutState.PAUSED, paused_at=at(9)),
            observation(999, Outcome.FAIL),
            rules.End(RolloutState.FAILED, "said so"),
        ),
        (replace(ROLLOUT, state=RolloutState.FAILED), observation(999), None),
        (replace(ROLLOUT, state=RolloutState.PASSED), observation(999, Outcome.FAIL), None),
        (
            replace(ROLLOUT, approval=True),
            observation(120, Outcome.INCONCLUSIVE),
            rules.Hold(RolloutState.WAITING),
        ),
        (replace(ROLLOUT, approval=True), observation(119, Outcome.INCONCLUSIVE), None),
        (
            replace(ROLLOUT, requested=RolloutCommand.ABORT, state=RolloutState.WAITING),
            observation(1, Outcome.FAIL),
            rules.End(RolloutState.ABORTED, "it was aborted"),
        ),
        (
            replace(ROLLOUT, requested=RolloutCommand.PROMOTE, state=RolloutState.WAITING, stage=2),
            observation(1, None),
            rules.End(RolloutState.PASSED, "3 stages went well"),
        ),
        # A command that says what is already so changes nothing.
        (
            replace(ROLLOUT, requested=RolloutCommand.PAUSE, state=RolloutState.WAITING),
            observation(999),
            None,
        ),
        (replace(ROLLOUT, requested=RolloutCommand.RESUME), observation(60), rules.BeginStage(2)),
        (replace(ROLLOUT, requested=RolloutCommand.RESUME), observation(59), None),
        # The stage's time counts without its pauses.
        (replace(ROLLOUT, stage_started_at=at(30)), observation(89), None),
        (replace(ROLLOUT, stage_started_at=at(30)), observation(90), rules.BeginStage(2)),
        # An edge that does not take the shares ends it, and is given time for it.
        (ROLLOUT, replace(observation(999, None, in_effect=False), waits_s=120.0), None),
        (
            ROLLOUT,
            replace(observation(1, None, in_effect=False), waits_s=120.1),
            rules.End(RolloutState.FAILED, "the edge did not take its share of the traffic"),
        ),
        (
            ROLLOUT,
            replace(observation(1, None, in_effect=False), waits_s=121.0, obstacle="it is away"),
            rules.End(
                RolloutState.FAILED,
                "the edge did not take its share of the traffic: it is away",
            ),
        ),
        (ROLLOUT, replace(observation(1), waits_s=500.0), None),
    ],
)
def test_the_next_action(
    rollout: Rollout, observed: rules.ObservedRollout, action: rules.Action | None
) -> None:
    assert rules.decide(rollout, observed) == action


def test_stages_follow_the_manifest() -> None:
    assert rules.stages_of(Deploy()) == ()
    canary = Deploy(strategy="canary", mirror_s=30, steps=(RolloutStage(percent=10, time_s=5),))
    assert rules.stages_of(canary) == (
        Stage(StageKind.MIRROR, 0, 30),
        Stage(StageKind.CANARY, 10, 5),
    )
    assert rules.stages_of(canary.model_copy(update={"mirror_s": 0})) == (
        Stage(StageKind.CANARY, 10, 5),
    )


@pytest.mark.parametrize(
    ("percents", "buckets"), [((5, 25, 50), 20), ((1,), 100), ((50,), 2), ((10, 25), 20), ((), 1)]
)
def test_the_fewest_buckets(percents: tuple[int, ...], buckets: int) -> None:
    stages = tuple(Stage(StageKind.CANARY, percent, 1) for percent in percents)
    assert buckets_of(stages) == buckets
    assert all(percent * buckets % 100 == 0 for percent in percents)


class RolloutModel(RuleBasedStateMachine):
    """People, time and verdicts in any order; the rules move the rollout as the reactor would."""

    @initialize(
        count=st.integers(1, 5),
        approval=st.booleans(),
        policy=st.sampled_from(["promote", "abort"]),
    )
    def begin(self, count: int, approval: bool, policy: Literal["promote", "abort"]) -> None:
        stages = tuple(Stage(StageKind.CANARY, 10 * (number + 1), 60) for number in range(count))
        self.rollout = replace(ROLLOUT, stages=stages, stage=0, approval=approval)
        self.policy = policy
        self.now = T0
        self.in_effect = False
        self.outcome: Outcome | None = None
        self.failed_at: tuple[int, RolloutState] | None = None
        self.waited = timedelta()
        self.highest = 0

    @rule(seconds=st.sampled_from([1, 5, 30, 61, 121]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        if self.rollout.state is RolloutState.RUNNING and self.in_effect:
            self.waited += timedelta(seconds=seconds)
        self.step()

    @rule()
    def the_edge_acknowledges(self) -> None:
        self.in_effect = True
        self.step()

    @rule(outcome=st.sampled_from(Outcome))
    def a_verdict(self, outcome: Outcome) -> None:
        if not self.in_effect:
            return
        self.outcome = outcome
        self.step()

    @precondition(lambda self: not self.rollout.state.ended)
    @rule(command=st.sampled_from(list(RolloutCommand)))
    def a_command(self, command: RolloutCommand) -> None:
        self.rollout = replace(self.rollout, requested=command)
        self.step()

    def step(self) -> None:
        before = self.rollout
        observed = rules.ObservedRollout(self.now, self.outcome, "so", self.in_effect, self.policy)
        action = rules.decide(before, observed)
        if before.state.ended:
            assert action is None
        if self.outcome is Outcome.FAIL and not before.state.ended:
            assert isinstance(action, rules.End)
            assert action.state in (RolloutState.FAILED, RolloutState.ABORTED)
        self.rollout = self.acted(action)

    def acted(self, action: rules.Action | None) -> Rollout:
        match action:
            case None:
                return self.rollout
            case rules.BeginStage(number):
                assert number == self.rollout.stage + 1, "no stage is left out"
                self.in_effect, self.outcome, self.waited = False, None, timedelta()
                return replace(
                    self.rollout, stage=number, state=RolloutState.RUNNING, requested=None,
                    paused_at=None, stage_started_at=self.now,
                )  # fmt: skip
            case rules.Hold(state):
                paused_at = self.rollout.paused_at or self.now
                self.waited = (
                    timedelta()
                )  # somebody is asked; who resumes it lets it wait once more
                return replace(self.rollout, state=state, requested=None, paused_at=paused_at)
            case rules.Resume():
                gone = self.now - (self.rollout.paused_at or self.now)
                return replace(
                    self.rollout, state=RolloutState.RUNNING, requested=None, paused_at=None,
                    stage_started_at=self.rollout.stage_started_at + gone,
                )  # fmt: skip
            case rules.End(state, reason):
                assert reason
                return replace(self.rollout, state=state, requested=None, ended_at=self.now)

    @invariant()
    def a_share_never_falls_while_it_goes_on(self) -> None:
        stage = self.rollout.present
        if stage is not None:
            assert stage.percent >= self.highest
            self.highest = stage.percent

    @invariant()
    def nothing_is_stuck(self) -> None:
        if self.rollout.state is RolloutState.RUNNING and self.in_effect:
            assert self.waited < timedelta(seconds=60 * (1 + rules.EXTENSION) + 121)


TestRolloutModel = RolloutModel.TestCase
TestRolloutModel.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
