"""Requests that Gantry makes itself during a rollout: smoke checks, and more where visitors ask too little.

They never hold up the rollout: a candidate may take long to answer.
"""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle, islice

from gantry.engines.database.protocol import Database
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

INTERVAL_SMOKE_S = 5.0
# Luck must not fail a smoke check, nor an instance that is being started again: a path fails when it does so in this many
# rounds in a row. At one error in a hundred that is one check in a million.
_SMOKE_TRIES = 3
_MORE_PER_ROUND = 4
# Who has not answered by then has failed.
_TIMEOUT_S = 10.0
_SERVER_ERROR = 500


@dataclass(slots=True)
class SyntheticTraffic:
    """Requests for the smoke paths of both releases: to check them, and for numbers where visitors ask too little.

    One round is under way for each rollout at a time. Releases are asked at their own addresses, which the edge counts
    apart from visitors.

    Attributes:
        smoke_failures: release -> smoke checks that failed since this control plane began to ask.
        numbers: release -> numbers of the requests made for numbers.
    """

    database: Database
    probe: PublicProbe
    tasks: TaskSet
    clock: Clock
    smoke_failures: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, Numbers] = field(default_factory=dict)
    _due_s: dict[str, float] = field(default_factory=dict)
    _suspects: dict[str, Counter[str]] = field(default_factory=dict)
    _under_way: set[str] = field(default_factory=set)

    def begin_round(self, rollout: Rollout, pair: tuple[Release, Release], *, more: bool) -> None:
        """Begin what is due; returns at once.

        Parameters:
            pair: the candidate and the current release.
            more: visitors ask too little to tell.
        """
        now_s = self.clock.monotonic_s()
        suspected = any(self._suspects.get(release.id) for release in pair)
        check = suspected or now_s >= self._due_s.get(rollout.id, 0.0)
        if rollout.id in self._under_way or not (check or more):
            return
        if check:
            self._due_s[rollout.id] = now_s + INTERVAL_SMOKE_S
        self._under_way.add(rollout.id)
        self.tasks.spawn(self._round(rollout, pair, check=check, more=more), name=rollout.id)

    def results(self, candidate: str, current: str) -> Pair:
        """Numbers of both releases from the requests made for numbers."""
        nothing = Numbers()
        return Pair(self.numbers.get(candidate, nothing), self.numbers.get(current, nothing))

    def forget(self) -> None:
        """No rollout is open."""
        self.smoke_failures.clear()
        self.numbers.clear()
        self._due_s.clear()
        self._suspects.clear()

    async def _round(
        self, rollout: Rollout, pair: tuple[Release, Release], *, check: bool, more: bool
    ) -> None:
        try:
            async with self.database.transaction() as session:
                environment = await projects.get_environment_by_id(session, rollout.environment)
            project = environment.project
            await asyncio.gather(
                *(self._check(project, release) for release in pair if check),
                *(self._more(project, release, _paths(pair[0])) for release in pair if more),
            )
        finally:
            self._under_way.discard(rollout.id)

    async def _check(self, project: str, release: Release) -> None:
        smoke = await self.probe.smoke(project, release)
        failing = [failure.partition(": ")[0] for failure in smoke.failures]
        before = self._suspects.get(release.id, Counter())
        suspects = Counter({path: before[path] + 1 for path in failing})
        failed = [path for path, times in suspects.items() if times >= _SMOKE_TRIES]
        for path in failed:
            del suspects[path]
            failure = next(text for text in smoke.failures if text.startswith(f"{path}: "))
            _log.warning(
                "%s: smoke check failed %d times in a row: %s", release.id, _SMOKE_TRIES, failure
            )
        self._suspects[release.id] = suspects
        self.smoke_failures[release.id] = self.smoke_failures.get(release.id, 0) + len(failed)

    async def _more(self, project: str, release: Release, paths: tuple[str, ...]) -> None:
        asked = islice(cycle(paths), _MORE_PER_ROUND)
        answers = await asyncio.gather(
            *(self.probe.ask(project, release.id, path, timeout_s=_TIMEOUT_S) for path in asked)
        )
        times_ms = [answer.elapsed_s * 1000 for answer in answers if answer.status]
        errors = sum(not answer.status or answer.status >= _SERVER_ERROR for answer in answers)
        latency = Histogram.of(times_ms, TIMES_MS)
        before = self.numbers.get(release.id, Numbers())
        self.numbers[release.id] = before + Numbers(len(answers), errors, latency)


def _paths(release: Release) -> tuple[str, ...]:
    web = manifest_of(release).web
    return (web.smoke if web is not None else ()) or ("/",)
