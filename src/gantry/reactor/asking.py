"""Act: requests of Gantry's own during a rollout. They never hold up a look: a candidate may take long to answer."""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle, islice

from gantry.engines.database.protocol import State
from gantry.engines.edge.protocol import TIMES_MS
from gantry.features.probes.public import PublicProbe
from gantry.features.projects import store as projects
from gantry.features.releases.model import Release
from gantry.features.releases.reading import manifest_of
from gantry.features.rollouts.model import Rollout
from gantry.features.rollouts.verdict.histogram import Histogram
from gantry.features.rollouts.verdict.model import Numbers, Pair
from gantry.kernel.clock import Clock
from gantry.kernel.tasks import TaskSet

_log = logging.getLogger(__name__)

SMOKE_EVERY_S = 5.0
# Luck must not fail a smoke check, nor an instance that is being started again: a path fails when it does so in this many
# looks in a row. At one error in a hundred that is one check in a million.
_SMOKE_TRIES = 3
_MORE_PER_LOOK = 4
# Who has not answered by then has failed.
_PATIENCE_S = 10.0
_SERVER_ERROR = 500


@dataclass(slots=True)
class Asking:
    """Asks the smoke paths of both releases: to check them, and for numbers where visitors ask too little.

    One round is under way for each rollout at a time. Releases are asked at their own addresses, which the edge counts
    apart from visitors.

    Attributes:
        failed: release -> smoke checks that failed since this control plane began to ask.
        asked: release -> what came of the requests for numbers.
    """

    state: State
    outside: PublicProbe
    tasks: TaskSet
    clock: Clock
    failed: dict[str, int] = field(default_factory=dict)
    asked: dict[str, Numbers] = field(default_factory=dict)
    _due_s: dict[str, float] = field(default_factory=dict)
    _suspects: dict[str, Counter[str]] = field(default_factory=dict)
    _asking: set[str] = field(default_factory=set)

    def look(self, rollout: Rollout, pair: tuple[Release, Release], *, more: bool) -> None:
        """Begin what is due; returns at once.

        Parameters:
            pair: the candidate and the current release.
            more: visitors ask too little to tell.
        """
        now_s = self.clock.monotonic_s()
        suspected = any(self._suspects.get(release.id) for release in pair)
        check = suspected or now_s >= self._due_s.get(rollout.id, 0.0)
        if rollout.id in self._asking or not (check or more):
            return
        if check:
            self._due_s[rollout.id] = now_s + SMOKE_EVERY_S
        self._asking.add(rollout.id)
        self.tasks.spawn(self._round(rollout, pair, check=check, more=more), name=rollout.id)

    def results(self, candidate: str, current: str) -> Pair:
        """What came of the requests for numbers so far."""
        nothing = Numbers()
        return Pair(self.asked.get(candidate, nothing), self.asked.get(current, nothing))

    def forget(self) -> None:
        """No rollout is open."""
        self.failed.clear()
        self.asked.clear()
        self._due_s.clear()
        self._suspects.clear()

    async def _round(
        self, rollout: Rollout, pair: tuple[Release, Release], *, check: bool, more: bool
    ) -> None:
        try:
            async with self.state.transaction() as session:
                environment = await projects.get_environment_by_id(session, rollout.environment)
            project = environment.project
            await asyncio.gather(
                *(self._check(project, release) for release in pair if check),
                *(self._more(project, release, _paths(pair[0])) for release in pair if more),
            )
        finally:
            self._asking.discard(rollout.id)

    async def _check(self, project: str, release: Release) -> None:
        smoke = await self.outside.smoke(project, release)
        failing = [failure.partition(": ")[0] for failure in smoke.failures]
        before = self._suspects.get(release.id, Counter())
        suspects = Counter({path: before[path] + 1 for path in failing})
        failed = [path for path, times in suspects.items() if times >= _SMOKE_TRIES]
        for path in failed:
            del suspects[path]
            words = next(one for one in smoke.failures if one.startswith(f"{path}: "))
            _log.warning(
                "%s: smoke check failed %d times in a row: %s", release.id, _SMOKE_TRIES, words
            )
        self._suspects[release.id] = suspects
        self.failed[release.id] = self.failed.get(release.id, 0) + len(failed)

    async def _more(self, project: str, release: Release, paths: tuple[str, ...]) -> None:
        asked = islice(cycle(paths), _MORE_PER_LOOK)
        answers = await asyncio.gather(
            *(self.outside.ask(project, release.id, path, timeout_s=_PATIENCE_S) for path in asked)
        )
        times_ms = [answer.elapsed_s * 1000 for answer in answers if answer.status]
        errors = sum(not answer.status or answer.status >= _SERVER_ERROR for answer in answers)
        latency = Histogram.of(times_ms, TIMES_MS)
        before = self.asked.get(release.id, Numbers())
        self.asked[release.id] = before + Numbers(len(answers), errors, latency)


def _paths(release: Release) -> tuple[str, ...]:
    web = manifest_of(release).web
    return (web.smoke if web is not None else ()) or ("/",)
