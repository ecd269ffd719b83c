"""Act: what a bad candidate had done is kept on its rollout, before its traces go."""

import logging
from collections.abc import Awaitable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from gantry.engines.database.protocol import Session, State
from gantry.engines.edge.protocol import Edge
from gantry.engines.runtime.protocol import Runtime
from gantry.features.instances.masking import secrets_of
from gantry.features.instances.model import Instance
from gantry.features.rollouts import store
from gantry.features.rollouts.model import Rollout
from gantry.features.variables.service import VariableService
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError
from gantry.kernel.redact import Redactor

_log = logging.getLogger(__name__)

# As it is stored: `instances` of the candidate, the last `lines` that they printed, and the `requests` that failed; `None`
# until they are known.
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
    """Gathers the last lines that the candidate printed, and the requests that failed, when they are logged.

    Attributes:
        due: some rollout may wait for its requests; true until the first look has said otherwise.
    """

    state: State
    edge: Edge
    runtime: Runtime
    variables: VariableService
    clock: Clock
    due: bool = True

    async def begin(self, session: Session, rollout: Rollout, found: tuple[Instance, ...]) -> None:
        """Note whose lines are to be read, in the transaction that ends the rollout: nothing is read before that."""
        self.due = True
        own = [one.id for one in found if one.release == rollout.candidate]
        waiting: Evidence = {"instances": own, "lines": None, "requests": None}
        await store.set_evidence(session, rollout.id, waiting)

    async def once(self) -> None:
        """Add the lines, and what has been logged by now; what cannot be read is tried again for a minute."""
        if not self.due:
            return
        async with self.state.transaction() as session:
            waiting = await store.list_without_evidence(session)
        for rollout in waiting:
            await self._add(rollout)
        self.due = bool(waiting)

    async def _add(self, rollout: Rollout) -> None:
        age = self.clock.now() - (rollout.ended_at or rollout.started_at)
        evidence = {**(rollout.evidence or {})}
        if evidence["lines"] is None:
            evidence["lines"] = await self._or_none(rollout, self._lines(rollout), age)
        if evidence["requests"] is None and age >= _LOGGED_AFTER:
            evidence["requests"] = await self._or_none(rollout, self._requests(rollout), age)
        if evidence != rollout.evidence:
            async with self.state.transaction() as session:
                await store.set_evidence(session, rollout.id, evidence)

    async def _or_none(
        self, rollout: Rollout, work: Awaitable[list[dict[str, Any]]], age: timedelta
    ) -> list[dict[str, Any]] | None:
        """What `work` finds; `None` where it is to be tried again, nothing when there was time enough."""
        try:
            return await work
        except GantryError as error:
            if age < _GIVEN_UP_AFTER:
                return None
            _log.warning("evidence of %s: [%s] %s", rollout.candidate, error.code, error)
            return []

    async def _requests(self, rollout: Rollout) -> list[dict[str, Any]]:
        failed = await self.edge.failures(rollout.candidate, most=_MOST_REQUESTS)
        return [asdict(one) for one in failed]

    async def _lines(self, rollout: Rollout) -> list[dict[str, Any]]:
        async with self.state.transaction() as session:
            mask = Redactor(
                await secrets_of(session, self.variables, rollout.environment, (rollout.candidate,))
            )
        own = (rollout.evidence or {})["instances"]
        share = max(1, _MOST_LINES // max(1, len(own)))
        kept = []
        for instance in own:
            tail = await self.runtime.read_log(instance, offset=-_LOG_BYTES)
            for line in mask(tail.text).splitlines()[-share:]:
                kept.append({"instance": instance, "text": line[:_LONGEST_LINE]})
        return kept
