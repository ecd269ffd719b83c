"""Act: rollouts move by their numbers. One look a second while there is a rollout, nothing otherwise."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, assert_never

from gantry.config.sections import VerdictRules
from gantry.engines.edge.protocol import BackendNumbers, Edge
from gantry.engines.state.protocol import State
from gantry.features.instances import queries as instances
from gantry.features.instances.model import Instance
from gantry.features.releases import queries as releases
from gantry.features.releases.reading import manifest_of
from gantry.features.rollouts import decide, queries
from gantry.features.rollouts.model import Rollout, RolloutState, StageKind
from gantry.features.rollouts.verdict.decide import judge
from gantry.features.rollouts.verdict.histogram import Histogram
from gantry.features.rollouts.verdict.model import Look, Numbers, Outcome, Verdict
from gantry.features.rollouts.verdict.policy import Policy
from gantry.kernel.clock import Clock
from gantry.reactor.asking import Asking
from gantry.reactor.evidence import EvidenceKeeper
from gantry.reactor.memory import Memory

_log = logging.getLogger(__name__)

EVERY_S = 1.0
# With fewer requests to the candidate between two looks, Gantry asks itself.
_ENOUGH_PER_LOOK = 5


@dataclass(slots=True)
class _Window:
    """What had been counted when a stage came into effect, and what was asked since.

    Attributes:
        looks: how often it was looked at.
        ends: how often the stage's time has been over at the last of them.
        requests: of the candidate, at the last of them.
    """

    stage: int
    candidate: Numbers
    current: Numbers
    looks: int = 0
    ends: int = 0
    requests: int = 0


@dataclass(slots=True)
class Rollouts:
    """Looks at every open rollout, and takes its next step.

    Attributes:
        wake: the edge or a deploy has something to do now.
    """

    state: State
    edge: Edge
    asking: Asking
    memory: Memory
    evidence: EvidenceKeeper
    clock: Clock
    wake: Callable[[], None]
    _windows: dict[str, _Window] = field(default_factory=dict)

    async def once(self) -> None:
        """One look; where nothing moves, the database is not even asked."""
        await self._look_at_all()
        await self.evidence.once()

    async def _look_at_all(self) -> None:
        if not self.memory.has_rollouts:
            self._windows.clear()
            self.asking.forget()
            return
        async with self.state.transaction() as session:
            opened = await queries.list_open(session)
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
        in_effect = self.memory.stage_in_effect.get(rollout.id) == rollout.stage
        verdict = await self._judge(rollout, rules, counted, found) if in_effect else None
        if verdict is not None:
            async with self.state.transaction() as session:
                await queries.set_verdict(session, rollout.id, _wire(verdict))
        seen = decide.Seen(
            now=self.clock.now(),
            outcome=verdict.outcome.value if verdict is not None else None,
            summary=verdict.summary if verdict is not None else "there are no numbers of it yet",
            in_effect=in_effect,
            when_inconclusive=rules.when_inconclusive,
        )
        action = decide.decide(rollout, seen)
        if action is not None:
            await self._act(rollout, action)
        elif in_effect and verdict is not None:
            more = verdict.outcome is Outcome.INCONCLUSIVE and self._few_ask(rollout, counted)
            self.asking.look(rollout, (candidate, current), more=more)

    async def _judge(
        self,
        rollout: Rollout,
        rules: VerdictRules,
        counted: Mapping[str, BackendNumbers],
        found: tuple[Instance, ...],
    ) -> Verdict:
        candidate, current = (
            replace(
                _numbers(counted.get(one), one, found),
                smoke_failures=self.asking.failed.get(one, 0),
            )
            for one in (rollout.candidate, rollout.current)
        )
        window = await self._window(rollout, candidate, current)
        window.looks += 1
        # A pass is asked for once when the time is over, and once more when twice the time is: asking every second
        # until it comes would make it too easy.
        age_s = rollout.stage_age(self.clock.now()).total_seconds()
        ends = int(age_s // rollout.stages[rollout.stage].time_s)
        look = Look(rollout.stage + 1, window.looks, at_end=ends > window.ends)
        window.ends = ends
        policy = Policy(
            error_margin=rules.error_margin,
            latency_ratio=rules.latency_ratio,
            latency_floor_ms=rules.latency_floor_s * 1000,
            restarts_allowed=rules.restarts,
            when_inconclusive=rules.when_inconclusive,
        )
        return judge(candidate - window.candidate, current - window.current, policy, look)

    async def _window(self, rollout: Rollout, candidate: Numbers, current: Numbers) -> _Window:
        """The present stage's; another control plane may have begun it."""
        window = self._windows.get(rollout.id)
        if window is None or window.stage != rollout.stage:
            now = {"candidate": asdict(candidate), "current": asdict(current)}
            async with self.state.transaction() as session:
                began = await queries.baseline(session, rollout, now)
            window = _Window(rollout.stage, _read(began["candidate"]), _read(began["current"]))
            self._windows[rollout.id] = window
        return window

    async def _act(self, rollout: Rollout, action: decide.Action) -> None:
        now = self.clock.now()
        failed = isinstance(action, decide.End) and action.state is RolloutState.FAILED
        evidence = await self.evidence.begin(rollout) if failed else None
        async with self.state.transaction() as session:
            match action:
                case decide.BeginStage(number):
                    await queries.begin_stage(session, rollout, number, at=now)
                case decide.Hold(state):
                    await queries.hold(session, rollout, state, at=now)
                case decide.Resume():
                    await queries.resume(session, rollout, at=now)
                case decide.End(state, reason):
                    await queries.end(session, rollout, state, reason, at=now)
                    if evidence is not None:
                        await queries.set_evidence(session, rollout.id, evidence)
                case _:
                    assert_never(action)
        _log.info("%s: %s", rollout.id, action)
        self.wake()

    def _few_ask(self, rollout: Rollout, counted: Mapping[str, BackendNumbers]) -> bool:
        """Whether visitors, or what they are copied to, have asked the candidate too little since the last look."""
        window = self._windows[rollout.id]
        total = counted.get(rollout.candidate, BackendNumbers()).requests
        enough, window.requests = total - window.requests >= _ENOUGH_PER_LOOK, total
        return not enough and rollout.stages[rollout.stage].kind is not StageKind.MIRROR


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


def _read(stored: Mapping[str, Any]) -> Numbers:
    times = stored["latency"]
    latency = Histogram(tuple(times["bounds_ms"]), tuple(times["counts"]), times["total"])
    return Numbers(**{**stored, "latency": latency})


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
