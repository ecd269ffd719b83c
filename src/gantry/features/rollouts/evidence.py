"""Evidence against a candidate that failed, kept on its rollout before the traces go."""

import logging
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from gantry.engines.database.protocol import Database, Session
from gantry.engines.edge.protocol import Edge, FailedRequest
from gantry.engines.runtime.protocol import Runtime
from gantry.features.instances.masking import secrets_of
from gantry.features.instances.model import Instance
from gantry.features.rollouts import store
from gantry.features.rollouts.model import Evidence, LogLine, Rollout
from gantry.features.variables.service import VariableService
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError
from gantry.kernel.redact import Redactor

_log = logging.getLogger(__name__)

_Found = TypeVar("_Found")

_MAX_REQUESTS = 20
_MAX_LOG_BYTES = 8_000
_MAX_LINES = 30
_MAX_LINE_LENGTH = 500

# The edge writes its log once a second.
_LOGGED_AFTER = timedelta(seconds=1.5)
_TIMEOUT = timedelta(minutes=1)


@dataclass(slots=True)
class EvidenceCollector:
    """Collects the last lines that a candidate printed, and the requests that it failed, once they are logged.

    Attributes:
        due: some rollout may lack evidence; true until the first round has said otherwise.
    """

    database: Database
    edge: Edge
    runtime: Runtime
    variables: VariableService
    clock: Clock
    due: bool = True

    async def begin(self, session: Session, rollout: Rollout, found: tuple[Instance, ...]) -> None:
        """Note whose lines are to be read, in the transaction that ends the rollout: nothing is read before that."""
        self.due = True
        own = tuple(instance.id for instance in found if instance.release == rollout.candidate)
        await store.set_evidence(session, rollout.id, Evidence(own))

    async def once(self) -> None:
        """Add the lines, and what has been logged by now; what cannot be read is tried again for a minute."""
        if not self.due:
            return
        async with self.database.transaction() as session:
            waiting = await store.list_without_evidence(session)
        for rollout in waiting:
            await self._add(rollout)
        self.due = bool(waiting)

    async def _add(self, rollout: Rollout) -> None:
        evidence = rollout.evidence
        assert evidence is not None, "listed because its evidence is not complete"
        age = self.clock.now() - (rollout.ended_at or rollout.started_at)
        if evidence.lines is None:
            lines = await self._or_none(rollout, self._lines(rollout, evidence.instances), age)
            evidence = replace(evidence, lines=lines)
        if evidence.requests is None and age >= _LOGGED_AFTER:
            requests = await self._or_none(rollout, self._requests(rollout), age)
            evidence = replace(evidence, requests=requests)
        if evidence != rollout.evidence:
            async with self.database.transaction() as session:
                await store.set_evidence(session, rollout.id, evidence)

    async def _or_none(
        self, rollout: Rollout, work: Awaitable[tuple[_Found, ...]], age: timedelta
    ) -> tuple[_Found, ...] | None:
        """What `work` finds; `None` where it is to be tried again, nothing when there was time enough."""
        try:
            return await work
        except GantryError as error:
            if age < _TIMEOUT:
                return None
            _log.warning("evidence of %s: [%s] %s", rollout.candidate, error.code, error)
            return ()

    async def _requests(self, rollout: Rollout) -> tuple[FailedRequest, ...]:
        return await self.edge.failures(rollout.candidate, most=_MAX_REQUESTS)

    async def _lines(self, rollout: Rollout, printed_by: tuple[str, ...]) -> tuple[LogLine, ...]:
        async with self.database.transaction() as session:
            mask = Redactor(
                await secrets_of(session, self.variables, rollout.environment, (rollout.candidate,))
            )
        share = max(1, _MAX_LINES // max(1, len(printed_by)))
        lines = []
        for instance in printed_by:
            tail = await self.runtime.read_log(instance, offset=-_MAX_LOG_BYTES)
            for line in mask(tail.text).splitlines()[-share:]:
                lines.append(LogLine(instance, line[:_MAX_LINE_LENGTH]))
        return tuple(lines)
