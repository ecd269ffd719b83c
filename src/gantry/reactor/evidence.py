"""Act: what a bad candidate had done is kept on its rollout, before its traces go."""

import logging
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from gantry.engines.edge.protocol import Edge
from gantry.engines.runtime.protocol import Runtime
from gantry.engines.state.protocol import State
from gantry.features.instances import queries as instances
from gantry.features.instances.launching import Launcher
from gantry.features.rollouts import queries
from gantry.features.rollouts.model import Rollout
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError, TransientError
from gantry.kernel.redact import Redactor

_log = logging.getLogger(__name__)

# As it is stored: `requests`, `None` until they are logged, and `lines`.
Evidence = dict[str, Any]

_MOST_REQUESTS = 20
_LOG_BYTES = 8_000
_MOST_LINES = 30
_LONGEST_LINE = 500


# The edge writes its log once a second.
_LOGGED_AFTER = timedelta(seconds=1.5)
_GIVEN_UP_AFTER = timedelta(minutes=1)


@dataclass(slots=True)
class EvidenceKeeper:
    """Gathers the last lines that the candidate printed, at once, and the requests that failed, when they are logged.

    Attributes:
        due: some rollout may wait for its requests; true until the first look has said otherwise.
    """

    state: State
    edge: Edge
    runtime: Runtime
    launcher: Launcher
    clock: Clock
    due: bool = True

    async def begin(self, rollout: Rollout) -> Evidence:
        """What must be read before the candidate goes. A fault costs the lines and nothing else."""
        self.due = True
        try:
            return {"requests": None, "lines": await self._lines(rollout.candidate)}
        except GantryError as error:
            _log.warning("last lines of %s: [%s] %s", rollout.candidate, error.code, error)
            return {"requests": None, "lines": []}

    async def once(self) -> None:
        """Add what has been logged by now; a log that cannot be read is tried again for a minute."""
        if not self.due:
            return
        async with self.state.transaction() as session:
            waiting = await queries.list_without_requests(session)
        for rollout in waiting:
            age = self.clock.now() - (rollout.ended_at or rollout.started_at)
            if age >= _LOGGED_AFTER:
                await self._add_requests(rollout, last_try=age >= _GIVEN_UP_AFTER)
        self.due = bool(waiting)

    async def _add_requests(self, rollout: Rollout, *, last_try: bool) -> None:
        try:
            failed = await self.edge.failures(rollout.candidate, most=_MOST_REQUESTS)
        except TransientError as error:
            if not last_try:
                return
            _log.warning("failed requests of %s: [%s] %s", rollout.candidate, error.code, error)
            failed = ()
        evidence = {**(rollout.evidence or {}), "requests": [asdict(one) for one in failed]}
        async with self.state.transaction() as session:
            await queries.set_evidence(session, rollout.id, evidence)

    async def _lines(self, release: str) -> list[dict[str, str]]:
        launch = await self.launcher.prepare(release)
        mask = Redactor(launch.variables.values())
        async with self.state.transaction() as session:
            found = [one for one in await instances.list_all(session) if one.release == release]
        share = max(1, _MOST_LINES // max(1, len(found)))
        kept = []
        for one in found:
            tail = await self.runtime.read_log(one.id, offset=-_LOG_BYTES)
            for line in mask(tail.text).splitlines()[-share:]:
                kept.append({"instance": one.id, "text": line[:_LONGEST_LINE]})
        return kept
