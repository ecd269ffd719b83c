"""The edge's access log, read. Pure."""

import json
from collections.abc import Iterator

from gantry.engines.edge.protocol import CACHE, FailedRequest

_SERVER_ERROR = 500
_LONGEST = 300


def failed_requests(log: str, backend: str, most: int) -> tuple[FailedRequest, ...]:
    """The last requests that went to `backend` and failed, the newest last; lines that are none are left out.

    Queries are left out of paths: they may hold what only the visitor should know.
    """
    found = [one for one in _lines(log) if _answered_by(one) == backend and _failed(one)]
    return tuple(
        FailedRequest(
            at=str(one.get("at", "")),
            method=str(one.get("method", "")),
            path=str(one.get("path", "")).partition("?")[0][:_LONGEST],
            status=_number(one.get("status")),
            flags=str(one.get("flags") or ""),
            duration_ms=_number(one.get("duration_ms")),
            request_id=str(one.get("request_id") or ""),
        )
        for one in found[-most:]
    )


def _lines(log: str) -> Iterator[dict[str, object]]:
    for line in log.splitlines():
        if line.startswith("{"):
            try:
                read = json.loads(line)
            except ValueError:
                continue  # cut at the beginning, or by rotation
            if isinstance(read, dict):
                yield read


def _answered_by(line: dict[str, object]) -> object:
    """The release; of the cache, which is none, the one that its answer names."""
    release = line.get("release")
    return line.get("answered_by") if release == CACHE else release


def _failed(line: dict[str, object]) -> bool:
    status = _number(line.get("status"))
    return status == 0 or status >= _SERVER_ERROR


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
