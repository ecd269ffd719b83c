"""What became of the requests of each backend, read from Envoy's counters and its access log. Pure.

Requests that go to a candidate with the current release behind it are counted by Envoy at the cluster that joins the
two; only the counters of the instances tell which of the two answered. Times are not counted for each instance, so
those of the joined cluster are the candidate's: others are among them only while the candidate cannot answer at all.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from gantry.engines.edge.headers import ANSWERED_BY_EDGE
from gantry.engines.edge.protocol import (
    CACHE,
    TIMES_MS,
    BackendNumbers,
    FailedRequest,
    LoggedRequest,
)
from gantry.engines.edge.script import MARK
from gantry.kernel.edge_names import bridged, members

_RETRIES, _EJECTIONS = "upstream_rq_retry", "outlier_detection.ejections_enforced_total"
# The name of a release has no dot.
COUNTED = rf"^cluster\.[^.]+\.({_RETRIES}|{_EJECTIONS}|upstream_rq_time)$"
# Each attempt was a success, an error (5xx or cut), or never got a connection.
_ENDED = ("rq_success", "rq_error", "cx_connect_fail")
_NOTHING = Counter[str]()
_SERVER_ERROR = 500
_MAX_PATH_LENGTH = 300


def read_numbers(
    stats: Mapping[str, Any], clusters: Mapping[str, Any], names: Iterable[str]
) -> Mapping[str, BackendNumbers]:
    """The numbers of `names`; what Envoy has not counted yet is zero.

    Parameters:
        stats: its answer about the counters that match `COUNTED`.
        clusters: its answer about clusters and their instances.
    """
    counted, times = _counters(stats)
    hosts: dict[str, Counter[str]] = {}
    for cluster in clusters.get("cluster_statuses", []):
        name = bridged(cluster["name"]) or cluster["name"]
        hosts[name] = hosts.get(name, _NOTHING) + _hosts(cluster)
    return {
        name: BackendNumbers(
            requests=sum(hosts.get(name, _NOTHING)[kind] for kind in _ENDED),
            errors=hosts.get(name, _NOTHING)["rq_error"],
            unanswered=hosts.get(name, _NOTHING)["cx_connect_fail"],
            retries=counted[name, _RETRIES],
            ejections=counted[name, _EJECTIONS],
            active=hosts.get(name, _NOTHING)["rq_active"],
            within_ms={bound: times[name, bound] for bound in TIMES_MS},
        )
        for name in names
    }


def _counters(
    stats: Mapping[str, Any],
) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, float]]]:
    counted, times = Counter[tuple[str, str]](), Counter[tuple[str, float]]()
    for stat in stats.get("stats", []):
        if "value" in stat:
            _, cluster, counter = stat["name"].split(".", 2)
            counted[members(cluster)[0], counter] += int(stat["value"])
        for histogram in stat.get("histograms", ()):
            cluster = members(histogram["name"].split(".", 2)[1])[0]
            for bucket in histogram["buckets"]:
                times[cluster, float(bucket["upper_bound"])] += int(bucket["cumulative"])
    return counted, times


def _hosts(cluster: Mapping[str, Any]) -> Counter[str]:
    """Attempts of all its instances."""
    found = Counter[str]()
    for host in cluster.get("host_statuses", []):
        for stat in host.get("stats", []):
            if stat["name"] in (*_ENDED, "rq_active"):
                found[stat["name"]] += int(stat.get("value", 0))
    return found


def failed_requests(log: str, backend: str, most: int) -> tuple[FailedRequest, ...]:
    """The last requests that went to `backend` and failed, the newest last; lines that are none are left out.

    Queries are left out of paths: they may hold what only the visitor should know.
    """
    failed = [line for line in _lines(log) if _answered_by(line) == backend and _failed(line)]
    return tuple(
        FailedRequest(
            at=str(line.get("at", "")),
            method=str(line.get("method", "")),
            path=str(line.get("path", "")).partition("?")[0].partition(MARK)[0][:_MAX_PATH_LENGTH],
            status=_number(line.get("status")),
            flags=str(line.get("flags") or ""),
            duration_ms=_number(line.get("duration_ms")),
            request_id=str(line.get("request_id") or ""),
        )
        for line in failed[-most:]
    )


def logged_requests(log: str) -> tuple[LoggedRequest, ...]:
    """Every request in a part of the access log, as it stands there; lines that are none are left out."""
    return tuple(filter(None, map(_logged, _lines(log))))


def _logged(line: dict[str, object]) -> LoggedRequest | None:
    try:
        at = datetime.fromisoformat(str(line.get("at")))
    except ValueError:
        return None
    return LoggedRequest(
        at=at,
        host=_name(str(line.get("host") or "")),
        method=str(line.get("method") or ""),
        path=str(line.get("path") or "").partition("?")[0].partition(MARK)[0][:_MAX_PATH_LENGTH],
        status=_number(line.get("status")),
        flags=str(line.get("flags") or "").strip("-"),
        details=str(line.get("details") or "").strip("-"),
        duration_ms=_number(line.get("duration_ms")),
        size_bytes=_number(line.get("bytes")),
        release=str(_answered_by(line) or line.get("answered_by") or "").strip("-"),
        cache=str(line.get("cache") or ""),
        attempts=_number(line.get("attempts")),
        request_id=str(line.get("request_id") or ""),
        # A product may write what it likes there.
        reason=str(line.get("reason") or "") if line.get("answered_by") == ANSWERED_BY_EDGE else "",
    )


def _name(authority: str) -> str:
    """The host of `host:port`."""
    name, colon, port = authority.rpartition(":")
    return (name if colon and port.isdecimal() else authority).lower()


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
