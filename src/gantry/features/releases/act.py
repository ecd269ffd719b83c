"""Retires releases that nothing needs any more; their instances then stop because nobody wants them."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from gantry.engines.database.protocol import Database
from gantry.engines.edge.protocol import BackendStatus
from gantry.features.releases import store
from gantry.features.releases.model import Release
from gantry.features.releases.reading import patience_of
from gantry.features.releases.rules import to_retire
from gantry.kernel.clock import Clock

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ReleaseRetirer:
    """Retires what the rules say may stop, and remembers when each release was last asked."""

    database: Database
    clock: Clock
    _asked: dict[str, tuple[int, datetime]] = field(default_factory=dict)

    @property
    def asked_at(self) -> Mapping[str, datetime]:
        """Release -> when a request was last seen to go to it; those that nobody asked are missing."""
        return {name: at for name, (count, at) in self._asked.items() if count}

    async def retire(
        self,
        releases: Iterable[Release],
        *,
        live: Mapping[str, str | None],
        held: frozenset[str],
        backends: Mapping[str, BackendStatus],
        now: datetime,
    ) -> None:
        """Retire what nothing needs.

        Parameters:
            live: environment -> the release that visitors get.
            held: releases that an open deploy works on, or may return to.
            backends: release -> what the edge says of it.
        """
        self._note_requests({name: seen.requests for name, seen in backends.items()}, now)
        known = tuple(releases)
        done = to_retire(
            known,
            live=live,
            held=held,
            active_requests={name: seen.active_requests for name, seen in backends.items()},
            asked_at={name: self.clock.even(at) for name, (_, at) in self._asked.items()},
            patience={release.id: patience_of(release) for release in known},
            now=now,
        )
        for release in done:
            async with self.database.transaction() as session:
                # Asked anew: a switch may have been recorded, or taken back, after the look that this was decided on.
                retired = await store.retire(session, release.id, at=self.clock.now())
            if retired:
                _log.info("release %s (%s) is retired", release.number, release.id)

    def _note_requests(self, requests: Mapping[str, int], now: datetime) -> None:
        """Keep when each release was last asked; what is not there any more is forgotten."""
        before = self._asked
        self._asked = {
            name: before[name] if name in before and before[name][0] == count else (count, now)
            for name, count in requests.items()
        }
