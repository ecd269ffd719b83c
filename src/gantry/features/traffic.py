"""How many requests visitors sent in the last hour, by the minute. Counted from the edge's access log while somebody looks."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gantry.engines.edge.protocol import Edge, LoggedRequest
from gantry.kernel.clock import Clock

MINUTES = 60


@dataclass(frozen=True, slots=True)
class Traffic:
    """The last hour of some names.

    Attributes:
        requests: of each minute, the oldest first.
        failed: those of them that were answered with 500 or above.
    """

    requests: tuple[int, ...]
    failed: tuple[int, ...]

    @property
    def total(self) -> int:
        """All requests of the hour."""
        return sum(self.requests)

    @property
    def total_failed(self) -> int:
        """All failed requests of the hour."""
        return sum(self.failed)


@dataclass(slots=True)
class TrafficCounter:
    """Reads on in the access log from where it stopped, so that a look costs what has come since the last one.

    The log has the last 40,000 requests or so: of a platform with more of them within the hour the first minutes are
    missing after its control plane has started.
    """

    edge: Edge
    clock: Clock
    _cursor: str = ""
    _hosts: frozenset[str] = frozenset()
    # host -> minute -> requests, failed. Only of hosts that are asked for, and of one hour: both are bounded.
    _counts: dict[str, dict[int, list[int]]] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def look(self, hosts: Collection[str]) -> Mapping[str, Traffic]:
        """Host -> its last hour. A host that was not asked for before makes it read the log anew.

        Raises:
            TransientError: the log cannot be read.
        """
        async with self._turn:
            if not self._hosts.issuperset(hosts):
                self._hosts, self._cursor, self._counts = frozenset(hosts), "", {}
            log = await self.edge.requests(self._cursor)
            self._cursor = log.cursor
            newest = _minute(self.clock.now())
            for request in log.requests:
                self._count(request)
            self._forget(newest - MINUTES)
            return {host: self._of(host, newest) for host in hosts}

    def _count(self, request: LoggedRequest) -> None:
        if request.host in self._hosts:
            minute = self._counts.setdefault(request.host, {}).setdefault(
                _minute(request.at), [0, 0]
            )
            minute[0] += 1
            # Who went away before there was an answer has status 0: nobody's fault.
            minute[1] += request.status >= 500

    def _forget(self, until: int) -> None:
        for minutes in self._counts.values():
            for minute in [minute for minute in minutes if minute <= until]:
                del minutes[minute]

    def _of(self, host: str, newest: int) -> Traffic:
        minutes = self._counts.get(host, {})
        hour = [minutes.get(minute, (0, 0)) for minute in range(newest - MINUTES + 1, newest + 1)]
        return Traffic(tuple(item[0] for item in hour), tuple(item[1] for item in hour))


def joined(parts: Collection[Traffic]) -> Traffic:
    """The traffic of several names together."""
    if not parts:
        return Traffic((0,) * MINUTES, (0,) * MINUTES)
    return Traffic(
        tuple(map(sum, zip(*(part.requests for part in parts), strict=True))),
        tuple(map(sum, zip(*(part.failed for part in parts), strict=True))),
    )


def _minute(at: datetime) -> int:
    return int(at.timestamp() // timedelta(minutes=1).total_seconds())
