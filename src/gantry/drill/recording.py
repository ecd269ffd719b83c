"""What is recorded while a drill goes on, and what of it the judge is told."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gantry.drill.control import ControlClient, live, served_by
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
from gantry.drill.visitors import TICKS_PER_S
from gantry.features.deploys.bodies import DeployBody
from gantry.features.instances.bodies import InstanceBody
from gantry.features.platform.bodies import EnvironmentBody
from gantry.features.rollouts.bodies import RolloutBody, StageBody

_INTERVAL_S = 0.25
# Instances are asked for with every so many observations; they cost the control plane more.
_INSTANCES_EVERY = 4


@dataclass
class Watch:
    """Asks the control plane about one deploy until it is cancelled.

    Attributes:
        now_s: the clock of the load.
        shares: what the candidate might get, one for each observation.
        candidate: the deploy's release, once it has one.
        instances: as they were when the control plane said so last.
        ended_s: when the deploy was first observed to have ended; `None` before.
    """

    control: ControlClient
    deploy: str
    now_s: Callable[[], float]
    shares: list[CandidateShare] = field(default_factory=list)
    candidate: str = ""
    instances: tuple[InstanceBody, ...] = ()
    ended_s: float | None = None

    async def run(self) -> None:
        """Observe again and again."""
        count = 0
        while True:
            await self.observe()
            if count % _INSTANCES_EVERY == 0:
                await self.observe_instances()
            count += 1
            await asyncio.sleep(_INTERVAL_S)

    async def observe_instances(self) -> None:
        """Ask for them now; where nobody answers, those known last remain."""
        environment = await self.control.environment()
        if environment is not None:
            self.instances = environment.instances

    async def observe(self) -> None:
        """Ask for the rollout and the deploy now; what nobody answers is not recorded."""
        rollouts = await self.control.rollout_of(self.deploy)
        if rollouts is not None:
            self.shares.append(_share(self.now_s(), rollouts))
        deploy = await self.control.deploy(self.deploy)
        if deploy is None:
            return
        self.candidate = deploy.release or ""
        if deploy.ended and self.ended_s is None:
            self.ended_s = self.now_s()


def _share(at_s: float, rollouts: tuple[RolloutBody, ...]) -> CandidateShare:
    if not rollouts:
        return CandidateShare(at_s, 0.0)
    (rollout,) = rollouts
    match rollout.state:
        case "passed":
            return CandidateShare(at_s, 100.0)
        case "failed" | "aborted":
            return CandidateShare(at_s, 0.0, taken_back=True)
        case _:
            return CandidateShare(at_s, float(rollout.stages[rollout.stage].percent))


@dataclass(frozen=True, slots=True)
class Recording:
    """Raw records of one deploy under faults.

    Attributes:
        t0_s: when the deploy was requested, on the machine's monotonic clock; everything else counts from it.
        ended_s: when the deploy was observed to have ended.
        previous: identity of the release that was live.
        deploy, rollout, after: as they were in the end; `after` is the environment.
    """

    t0_s: float
    ended_s: float
    previous: str
    deploy: DeployBody
    rollout: RolloutBody | None
    after: EnvironmentBody
    shares: tuple[CandidateShare, ...]
    outages: tuple[EdgeOutage, ...]
    injected: tuple[InjectedFault, ...]

    def observed(self, load: dict[str, Any], took_s: float) -> ObservedDrill:
        """What the judge is told.

        Parameters:
            load: of visitors and the product's instances, in monotonic seconds; see `visitors.run_load`.
            took_s: the whole drill.
        """
        deploy, rollout, t0_s = self.deploy, self.rollout, self.t0_s
        return ObservedDrill(
            previous=self.previous,
            candidate=deploy.release or "",
            deploy=deploy.state,
            deploy_ended=deploy.ended,
            ended_s=self.ended_s,
            code=deploy.error.code if deploy.error else "",
            reason=deploy.error.message if deploy.error else "",
            rollout=rollout.state if rollout is not None else "",
            live=live(self.after),
            served_by=served_by(self.after),
            requests=load["requests"],
            failures=tuple(
                Failure(at_s - t0_s, reason, release, began_s - t0_s, order)
                for at_s, reason, release, began_s, order in load["failed"]
            ),
            answers=_answers(load["timeline"], t0_s),
            shares=self.shares,
            stages=_stages(rollout) if rollout is not None else (),
            outages=self.outages,
            histories=tuple(_history(entry, t0_s) for entry in load["histories"]),
            runs=tuple(_run(entry, t0_s) for entry in load["runs"]),
            orders=tuple(Order(number, at_s - t0_s, run) for number, at_s, run in load["orders"]),
            copies=tuple(Copies(*entry) for entry in load["copies"]),
            cache_hits=load["cache_hits"],
            slowest_s=load["slowest_s"],
            took_s=took_s,
            injected=tuple(sorted(self.injected, key=lambda injected: injected.at_s)),
        )


def _stages(rollout: RolloutBody) -> tuple[StageOutcome, ...]:
    begun = [stage.state != "waiting" for stage in rollout.stages]
    followed = [*begun[1:], rollout.state == "passed"]
    return tuple(
        _stage(stage, done=done) for stage, done in zip(rollout.stages, followed, strict=True)
    )


def _stage(stage: StageBody, *, done: bool) -> StageOutcome:
    return StageOutcome(
        percent=float(stage.percent),
        mirror=stage.kind == "mirror",
        done=done,
        outcome=stage.verdict.outcome if stage.verdict is not None else "",
    )


def _answers(timeline: dict[str, dict[str, int]], t0_s: float) -> tuple[Answers, ...]:
    ticks = sorted((int(tick), by_release) for tick, by_release in timeline.items())
    return tuple(Answers(tick / TICKS_PER_S - t0_s, by_release) for tick, by_release in ticks)


def _history(entry: list[Any], t0_s: float) -> VisitorHistory:
    kind, switches, page, cookie = entry
    relative = tuple(Switch(at_s - t0_s, release) for at_s, release in switches)
    return VisitorHistory(VisitorKind(kind), relative, page, cookie)


def _run(entry: list[Any], t0_s: float) -> ProcessRun:
    run, release, port, first_s, last_s, told_s = entry
    told_to_end_s = told_s - t0_s if told_s is not None else None
    return ProcessRun(run, release, port, first_s - t0_s, last_s - t0_s, told_to_end_s)
