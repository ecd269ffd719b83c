"""Act: rollouts move by their numbers. One look a second while there is a rollout, nothing otherwise."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import assert_never

from gantry.config.sections import VerdictRules
from gantry.engines.database.protocol import State
from gantry.engines.edge.protocol import BackendNumbers, Edge
from gantry.features.instances import store as instances
from gantry.features.instances.model import Instance
from gantry.features.releases import store as releases
from gantry.features.releases.reading import manifest_of
from gantry.features.rollouts import rules as rollout_rules, store
from gantry.features.rollouts.model import Rollout, RolloutState
from gantry.features.rollouts.verdict.histogram import Histogram
from gantry.features.rollouts.verdict.model import Look, Numbers, Outcome, Pair, Verdict
from gantry.features.rollouts.verdict.own import judge_both
from gantry.features.rollouts.verdict.policy import Policy
from gantry.features.rollouts.window import Window
from gantry.kernel.clock import Clock
from gantry.reactor.asking import Asking
from gantry.reactor.evidence import EvidenceKeeper
from gantry.reactor.progress import EdgeProgress

_log = logging.getLogger(__name__)

EVERY_S = 1.0
# The edge adds what it has timed to its histograms once a second, later than it counts: until then the times in them are of
# requests before the stage, of a mirror perhaps, or of a share that is no more.
_TIMED_AFTER_S = 2.0
# With fewer requests to the candidate between two looks, Gantry asks itself.
_ENOUGH_PER_LOOK = 5


@dataclass(slots=True)
class _Watch:
    """What is remembered of a rollout's present stage.

    Attributes:
        since_s: monotonic time of the first look at the stage.
        visitors, own: `None` until the stage is in effect.
        looks: how often it was looked at in effect.
        ends: how often the stage's time had been over at the last of them.
    """

    stage: int
    since_s: float
    visitors: Window | None = None
    own: Window | None = None
    looks: int = 0
    ends: int = 0


@dataclass(slots=True)
class Rollouts:
    """Looks at every open rollout, and takes its next step.

    Attributes:
        wake: the edge or a deploy has something to do now.
    """

    state: State
    edge: Edge
    asking: Asking
    memory: EdgeProgress
    evidence: EvidenceKeeper
    clock: Clock
    wake: Callable[[], None]
    _watches: dict[str, _Watch] = field(default_factory=dict)

    async def once(self) -> None:
        """One look; where nothing moves, the database is not even asked."""
        await self._look_at_all()
        await self.evidence.once()

    async def _look_at_all(self) -> None:
        if not self.memory.has_rollouts:
            self._watches.clear()
            self.asking.forget()
            return
        async with self.state.transaction() as session:
            opened = await store.list_open(session)
            if not opened:
                return
            found = await instances.list_all(session)
        counted = await self.edge.numbers()
        for rollout in opened:
            await self._look(rollout, counted, found)

    async def _look(
        self,
        rollout: Rollout,
        counted: Mapping[str, BackendNumbers],
        found: tuple[Instance, ...],
    ) -> None:
        async with self.state.transaction() as session:
            candidate = await releases.get(session, rollout.candidate)
            current = await releases.get(session, rollout.current)
        rules = manifest_of(candidate).deploy.verdict
        watch = self._watch(rollout)
        in_effect = self.memory.stage_in_effect.get(rollout.id) == rollout.stage
        verdict: Verdict | None = None
        few = False
        if in_effect:
            visitors = self._visitors(rollout, counted, found)
            few = _grown(watch, visitors) < _ENOUGH_PER_LOOK
            rollout, verdict = await self._judge(rollout, watch, visitors, rules)
        seen = rollout_rules.Seen(
            now=self.clock.now(),
            outcome=verdict.outcome.value if verdict is not None else None,
            summary=verdict.summary if verdict is not None else "there are no numbers of it yet",
            in_effect=in_effect,
            when_inconclusive=rules.when_inconclusive,
            waits_s=self.clock.monotonic_s() - watch.since_s,
            obstacle=self._obstacle(),
        )
        action = rollout_rules.decide(rollout, seen)
        if action is not None:
            await self._act(rollout, action, found)
        elif verdict is not None:
            more = few and verdict.outcome is Outcome.INCONCLUSIVE
            self.asking.look(rollout, (candidate, current), more=more)

    def _obstacle(self) -> str:
        return self.memory.obstacle("edge")

    def _watch(self, rollout: Rollout) -> _Watch:
        watch = self._watches.get(rollout.id)
        if watch is None or watch.stage != rollout.stage:
            watch = _Watch(rollout.stage, self.clock.monotonic_s())
            self._watches[rollout.id] = watch
        return watch

    def _visitors(
        self,
        rollout: Rollout,
        counted: Mapping[str, BackendNumbers],
        found: tuple[Instance, ...],
    ) -> Pair:
        candidate, current = (
            replace(
                _numbers(counted.get(one), one, found),
                smoke_failures=self.asking.failed.get(one, 0),
            )
            for one in (rollout.candidate, rollout.current)
        )
        return Pair(candidate, current)

    async def _judge(
        self, rollout: Rollout, watch: _Watch, visitors: Pair, rules: VerdictRules
    ) -> tuple[Rollout, Verdict]:
        """The verdict on the present stage, and the rollout with it; another control plane may have begun the stage."""
        own = self.asking.results(rollout.candidate, rollout.current)
        if watch.visitors is None or watch.own is None:
            rollout = await self._open(rollout, watch, visitors, own)
        assert watch.visitors is not None and watch.own is not None, "opened above"
        watch.visitors, watch.own = watch.visitors.at(visitors), watch.own.at(own)
        watch.looks += 1
        age_s = rollout.stage_age(self.clock.now()).total_seconds()
        if age_s < _TIMED_AFTER_S:
            watch.visitors = watch.visitors.timed_from(visitors)
        # A pass is asked for once when the time is over, and once more when twice the time is: asking every second
        # until it comes would make it too easy.
        ends = int(age_s // rollout.stages[rollout.stage].time_s)
        look = Look(rollout.stage + 1, watch.looks, at_end=ends > watch.ends)
        watch.ends = ends
        verdict = judge_both(watch.visitors.seen, watch.own.seen, _policy(rules), look)
        said = _wire(verdict)
        async with self.state.transaction() as session:
            await store.record_look(session, rollout, said, _windows(watch.visitors, watch.own))
        return replace(rollout, verdict=said), verdict

    async def _open(self, rollout: Rollout, watch: _Watch, visitors: Pair, own: Pair) -> Rollout:
        opened = _windows(Window.begin(visitors), Window.begin(own))
        async with self.state.transaction() as session:
            stored = await store.begin_windows(session, rollout, opened, at=self.clock.now())
            rollout = await store.get(session, rollout.id)
        watch.visitors, watch.own = Window.parse(stored["visitors"]), Window.parse(stored["own"])
        return rollout

    async def _act(
        self, rollout: Rollout, action: rollout_rules.Action, found: tuple[Instance, ...]
    ) -> None:
        now = self.clock.now()
        async with self.state.transaction() as session:
            match action:
                case rollout_rules.BeginStage(number):
                    done = await store.begin_stage(session, rollout, number, at=now)
                case rollout_rules.Hold(state):
                    done = await store.hold(session, rollout, state, at=now)
                case rollout_rules.Resume():
                    done = await store.resume(session, rollout, at=now)
                case rollout_rules.End(state, reason):
                    done = await store.end(session, rollout, state, reason, at=now)
                    if done and state is RolloutState.FAILED:
                        await self.evidence.begin(session, rollout, found)
                case _:
                    assert_never(action)
        if not done:
            return  # somebody asked for something else meanwhile: the next look decides
        _log.info("%s: %s", rollout.id, action)
        self.wake()


def _policy(rules: VerdictRules) -> Policy:
    return Policy(
        error_margin=rules.error_margin,
        latency_ratio=rules.latency_ratio,
        latency_floor_ms=rules.latency_floor_s * 1000,
        restarts_allowed=rules.restarts,
        when_inconclusive=rules.when_inconclusive,
    )


def _grown(watch: _Watch, visitors: Pair) -> int:
    """How many requests of visitors, or copies of them, the candidate has answered since the last look."""
    before = watch.visitors.last.candidate.requests if watch.visitors is not None else 0
    return visitors.candidate.requests - before


def _windows(visitors: Window, own: Window) -> dict[str, object]:
    return {"visitors": visitors.as_dict(), "own": own.as_dict()}


def _numbers(counted: BackendNumbers | None, release: str, found: tuple[Instance, ...]) -> Numbers:
    counted = counted or BackendNumbers()
    own = [one for one in found if one.release == release]
    bounds = tuple(sorted(counted.within_ms))
    counts = tuple(counted.within_ms[bound] for bound in bounds)
    return Numbers(
        requests=counted.requests,
        errors=min(counted.requests, counted.errors + counted.unanswered),
        waiting=counted.active,
        latency=Histogram(bounds, counts, counts[-1]) if counts else Histogram(),
        restarts=sum(one.restarts for one in own),
        out_of_memory_kills=sum(one.out_of_memory_kills for one in own),
    )


def _wire(verdict: Verdict) -> dict[str, object]:
    return {
        "outcome": verdict.outcome.value,
        "summary": verdict.summary,
        "reasons": [
            {
                "check": reason.check.value,
                "outcome": reason.outcome.value,
                "sentence": reason.sentence,
                "candidate": reason.candidate,
                "current": reason.current,
                "numbers": asdict(reason.numbers),
            }
            for reason in verdict.reasons
        ],
    }
