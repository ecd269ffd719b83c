"""Act: what a bad candidate had done is kept on its rollout, before its traces go."""

import logging
from dataclasses import asdict, dataclass

from gantry.engines.edge.protocol import Edge
from gantry.engines.runtime.protocol import Runtime
from gantry.engines.state.protocol import State
from gantry.features.instances import queries as instances
from gantry.features.instances.launching import Launcher
from gantry.features.rollouts import queries
from gantry.features.rollouts.model import Rollout
from gantry.kernel.errors import GantryError
from gantry.kernel.redact import Redactor

_log = logging.getLogger(__name__)

_MOST_REQUESTS = 20
_LOG_BYTES = 8_000
_MOST_LINES = 30
_LONGEST_LINE = 500


@dataclass(frozen=True, slots=True)
class EvidenceKeeper:
    """Gathers requests that failed, and the last lines that the candidate printed."""

    state: State
    edge: Edge
    runtime: Runtime
    launcher: Launcher

    async def keep(self, rollout: Rollout) -> None:
        """Gather and store. Traffic has moved back already: a fault here costs the evidence and nothing else."""
        try:
            failed = await self.edge.failures(rollout.candidate, most=_MOST_REQUESTS)
            lines = await self._lines(rollout.candidate)
            async with self.state.transaction() as session:
                evidence = {"requests": [asdict(one) for one in failed], "lines": lines}
                await queries.set_evidence(session, rollout.id, evidence)
        except GantryError as error:
            _log.warning("evidence of %s: [%s] %s", rollout.id, error.code, error)

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
