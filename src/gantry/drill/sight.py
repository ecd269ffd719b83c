"""From what happened in a drill to what the judge is told."""

from dataclasses import dataclass
from typing import Any

from gantry.drill.hands import Hands
from gantry.drill.standing import live, reached
from gantry.drill.tally import TICKS_PER_S
from gantry.drill.watching import ENDED, Watch
from gantry.features.drills.seen import Answers, Failure, Seen, Stage
from gantry.wire.shapes import DeployBody, EnvironmentBody, RolloutBody, StageBody


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
        tally: of the visitors.
    """
    ended, after, t0_s = happened.deploy, happened.after, happened.t0_s
    rollout, watch = happened.rollout, happened.watch
    story = sorted((int(tick), by_release) for tick, by_release in tally["story"].items())
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
        failures=tuple(Failure(at_s - t0_s, why, who) for at_s, why, who in tally["failed"]),
        answers=tuple(Answers(tick / TICKS_PER_S - t0_s, by) for tick, by in story),
        shares=tuple(watch.shares),
        stages=_stages(rollout) if rollout is not None else (),
        away=tuple(happened.hands.away),
        slowest_s=tally["slowest_s"],
        took_s=took_s,
        done=tuple(happened.hands.done),
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
