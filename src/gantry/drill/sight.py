"""From what happened in a drill to what the judge is told."""

from dataclasses import dataclass
from typing import Any

from gantry.drill.hands import Hands
from gantry.drill.standing import live, reached
from gantry.drill.tally import TICKS_PER_S
from gantry.drill.watching import ENDED, Watch
from gantry.features.deploys.bodies import DeployBody
from gantry.features.drills.seen import Seen, Stage
from gantry.features.drills.visitors import (
    Answers,
    Copies,
    Failure,
    Habit,
    Life,
    Order,
    Trail,
    Turn,
)
from gantry.features.platform.bodies import EnvironmentBody
from gantry.features.rollouts.bodies import RolloutBody, StageBody


@dataclass(frozen=True, slots=True)
class Happened:
    """What became of one drill.

    Attributes:
        t0_s: when the deploy was asked for, on the machine's monotonic clock; everything else counts from it.
        after: the environment in the end.
    """

    t0_s: float
    deploy: DeployBody
    rollout: RolloutBody | None
    after: EnvironmentBody
    watch: Watch
    hands: Hands


def seen(before: str, happened: Happened, tally: dict[str, Any], took_s: float) -> Seen:
    """Everything that was observed.

    Parameters:
        before: the release that was live.
        tally: of the crowd and the witness.
    """
    ended, after, t0_s = happened.deploy, happened.after, happened.t0_s
    rollout, watch = happened.rollout, happened.watch
    return Seen(
        before=before,
        candidate=ended.release or "",
        deploy=ended.state,
        deploy_ended=ended.state in ENDED,
        # Nobody saw it end: it has by now.
        ended_s=watch.ended_s if watch.ended_s is not None else watch.now_s(),
        code=ended.error.code if ended.error else "",
        reason=ended.error.message if ended.error else "",
        rollout=rollout.state if rollout is not None else "",
        live=live(after),
        reached=reached(after),
        requests=tally["requests"],
        failures=tuple(
            Failure(at_s - t0_s, why, who, began_s - t0_s, order)
            for at_s, why, who, began_s, order in tally["failed"]
        ),
        answers=_answers(tally, t0_s),
        shares=tuple(watch.shares),
        stages=_stages(rollout) if rollout is not None else (),
        away=tuple(happened.hands.away),
        trails=tuple(_trail(one, t0_s) for one in tally["trails"]),
        lives=tuple(_life(one, t0_s) for one in tally["lives"]),
        orders=tuple(Order(number, at_s - t0_s, life) for number, at_s, life in tally["orders"]),
        copies=tuple(Copies(*one) for one in tally["copies"]),
        kept=tally["kept"],
        slowest_s=tally["slowest_s"],
        took_s=took_s,
        done=tuple(sorted(happened.hands.done, key=lambda deed: deed.at_s)),
    )


def _stages(rollout: RolloutBody) -> tuple[Stage, ...]:
    begun = [stage.state != "waiting" for stage in rollout.stages]
    followed = [*begun[1:], rollout.state == "passed"]
    return tuple(
        _stage(stage, done=done) for stage, done in zip(rollout.stages, followed, strict=True)
    )


def _stage(stage: StageBody, *, done: bool) -> Stage:
    return Stage(
        percent=float(stage.percent),
        mirror=stage.kind == "mirror",
        done=done,
        outcome=stage.verdict.outcome if stage.verdict is not None else "",
    )


def _answers(tally: dict[str, Any], t0_s: float) -> tuple[Answers, ...]:
    story = sorted((int(tick), by_release) for tick, by_release in tally["story"].items())
    return tuple(Answers(tick / TICKS_PER_S - t0_s, by) for tick, by in story)


def _trail(told: list[Any], t0_s: float) -> Trail:
    habit, turns, page, cookie = told
    return Trail(Habit(habit), tuple(Turn(at_s - t0_s, who) for at_s, who in turns), page, cookie)


def _life(told: list[Any], t0_s: float) -> Life:
    life, release, port, first_s, last_s, told_s = told
    told_to_end_s = told_s - t0_s if told_s is not None else None
    return Life(life, release, port, first_s - t0_s, last_s - t0_s, told_to_end_s)
