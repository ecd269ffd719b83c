"""Carries rollouts out: once a second while one is open it reads the numbers, judges, decides and acts."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from gantry.config.sections import VerdictRules
from gantry.engines.database.protocol import Database
from gantry.engines.edge.protocol import BackendNumbers, Edge
from gantry.features.instances import store as instances
from gantry.features.instances.model import Instance
from gantry.features.releases import store as releases
from gantry.features.releases.reading import manifest_of
from gantry.features.rollouts import rules, store
from gantry.features.rollouts.evidence import EvidenceCollector
from gantry.features.rollouts.model import Rollout, RolloutState
from gantry.features.rollouts.progress import EdgeProgress
from gantry.features.rollouts.traffic import SyntheticTraffic
from gantry.features.rollouts.verdict.histogram import Histogram
from gantry.features.rollouts.verdict.judge import judge_both
from gantry.features.rollouts.verdict.model import (
    Analysis,
    Numbers,
    Outcome,
    Pair,
    Verdict,
)
from gantry.features.rollouts.window import StageWindows
from gantry.kernel.clock import Clock
from gantry.kernel.timeline import with_even_times

_log = logging.getLogger(__name__)

INTERVAL_S = 1.0
# The edge adds what it has timed to its histograms once a second, later than it counts: until then the times in them are of
# requests before the stage, of a mirror perhaps, or of a share that is no more.
_TIMED_AFTER_S = 2.0
# With fewer requests to the candidate in a round, Gantry asks itself.
_ENOUGH_PER_ROUND = 5


@dataclass(slots=True)
class _StageWatch:
    """Memory of a rollout's present stage, which the next control plane makes anew.

    Attributes:
        since_s: monotonic time of the first round in this stage.
        windows: `None` until the stage is in effect.
        analyses: how often it was analysed in effect.
        ends: how often the stage's time had been over at the last of them.
    """

    stage: int
    since_s: float
    windows: StageWindows | None = None
    analyses: int = 0
    ends: int = 0


@dataclass(slots=True)
class RolloutLoop:
    """Judges every open rollout, and carries out its next action.

    Attributes:
        wake: called when the edge or a deploy has something to do.
    """

    database: Database
    edge: Edge
    traffic: SyntheticTraffic
    progress: EdgeProgress
    evidence: EvidenceCollector
    clock: Clock
    wake: Callable[[], None]
    _watches: dict[str, _StageWatch] = field(default_factory=dict)

    async def once(self) -> None:
        """One round; where nothing moves, the database is not even asked."""
        await self._advance_all()
        await self.evidence.once()

    async def _advance_all(self) -> None:
        if not self.progress.has_rollouts:
            self._watches.clear()
            self.traffic.forget()
            return
        async with self.database.transaction() as session:
            opened = tuple(
                with_even_times(rollout, self.clock) for rollout in await store.list_open(session)
            )
            if not opened:
                return
            found = await instances.list_all(session)
        counted = await self.edge.numbers()
        for rollout in opened:
            await self._advance(rollout, counted, found)

    async def _advance(
        self,
        rollout: Rollout,
        counted: Mapping[str, BackendNumbers],
        found: tuple[Instance, ...],
    ) -> None:
        async with self.database.transaction() as session:
            candidate = await releases.get(session, rollout.candidate)
            current = await releases.get(session, rollout.current)
        settings = manifest_of(candidate).deploy.verdict
        watch = self._watch(rollout)
        in_effect = self.progress.stage_in_effect.get(rollout.id) == rollout.stage
        verdict: Verdict | None = None
        few = False
        if in_effect:
            visitors = self._visitors(rollout, counted, found)
            few = _grown(watch, visitors) < _ENOUGH_PER_ROUND
            rollout, verdict = await self._judge(rollout, watch, visitors, settings)
        observed = rules.ObservedRollout(
            now=self.clock.now(),
            outcome=verdict.outcome if verdict is not None else None,
            summary=verdict.summary if verdict is not None else "there are no numbers of it yet",
            in_effect=in_effect,
            when_inconclusive=settings.when_inconclusive,
            waits_s=self.clock.monotonic_s() - watch.since_s,
            obstacle=self.progress.obstacle,
        )
        action = rules.decide(rollout, observed)
        if action is not None:
            await self._act(rollout, action, found)
        elif verdict is not None:
            more = few and verdict.outcome is Outcome.INCONCLUSIVE
            self.traffic.begin_round(rollout, (candidate, current), more=more)

    def _watch(self, rollout: Rollout) -> _StageWatch:
        watch = self._watches.get(rollout.id)
        if watch is None or watch.stage != rollout.stage:
            watch = _StageWatch(rollout.stage, self.clock.monotonic_s())
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
                _numbers(counted.get(release), release, found),
                smoke_failures=self.traffic.smoke_failures.get(release, 0),
            )
            for release in (rollout.candidate, rollout.current)
        )
        return Pair(candidate, current)

    async def _judge(
        self, rollout: Rollout, watch: _StageWatch, visitors: Pair, settings: VerdictRules
    ) -> tuple[Rollout, Verdict]:
        """The verdict on the present stage, and the rollout with it; another control plane may have begun the stage."""
        own = self.traffic.results(rollout.candidate, rollout.current)
        windows = watch.windows
        if windows is None:
            rollout, windows = await self._open(rollout, StageWindows.begin(visitors, own))
        windows = windows.at(visitors, own)
        watch.analyses += 1
        age_s = rollout.stage_age(self.clock.now()).total_seconds()
        if age_s < _TIMED_AFTER_S:
            windows = replace(windows, visitors=windows.visitors.timed_from(visitors))
        watch.windows = windows
        # A pass is asked for once when the time is over, and once more when twice the time is: asking every second
        # until it comes would make it too easy.
        ends = int(age_s // rollout.stages[rollout.stage].time_s)
        analysis = Analysis(rollout.stage + 1, watch.analyses, at_end=ends > watch.ends)
        watch.ends = ends
        verdict = judge_both(
            windows.visitors.total, windows.own.total, rules.policy_of(settings), analysis
        )
        async with self.database.transaction() as session:
            await store.record_verdict(session, rollout, verdict, windows)
        return replace(rollout, verdict=verdict), verdict

    async def _open(self, rollout: Rollout, opened: StageWindows) -> tuple[Rollout, StageWindows]:
        async with self.database.transaction() as session:
            windows = await store.begin_windows(session, rollout, opened, at=self.clock.now())
            return await store.get(session, rollout.id), windows

    async def _act(
        self, rollout: Rollout, action: rules.Action, found: tuple[Instance, ...]
    ) -> None:
        now = self.clock.now()
        async with self.database.transaction() as session:
            match action:
                case rules.BeginStage(number):
                    done = await store.begin_stage(session, rollout, number, at=now)
                case rules.Hold(state):
                    done = await store.hold(session, rollout, state, at=now)
                case rules.Resume():
                    done = await store.resume(session, rollout, at=now)
                case rules.End(state, reason):
                    done = await store.end(session, rollout, state, reason, at=now)
                    if done and state is RolloutState.FAILED:
                        await self.evidence.begin(session, rollout, found)
                case _:
                    assert_never(action)
        if not done:
            return  # somebody asked for something else meanwhile: the next round decides
        _log.info("%s: %s", rollout.id, action)
        self.wake()


def _grown(watch: _StageWatch, visitors: Pair) -> int:
    """How many requests of visitors, or copies of them, the candidate has answered since the last round."""
    before = watch.windows.visitors.last.candidate.requests if watch.windows is not None else 0
    return visitors.candidate.requests - before


def _numbers(counted: BackendNumbers | None, release: str, found: tuple[Instance, ...]) -> Numbers:
    counted = counted or BackendNumbers()
    own = [instance for instance in found if instance.release == release]
    bounds = tuple(sorted(counted.within_ms))
    counts = tuple(counted.within_ms[bound] for bound in bounds)
    return Numbers(
        requests=counted.requests,
        errors=min(counted.requests, counted.errors + counted.unanswered),
        waiting=counted.active,
        latency=Histogram(bounds, counts, counts[-1]) if counts else Histogram(),
        restarts=sum(instance.restarts for instance in own),
        out_of_memory_kills=sum(instance.out_of_memory_kills for instance in own),
    )
