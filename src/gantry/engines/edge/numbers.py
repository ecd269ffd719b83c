"""What became of the requests of each backend, from Envoy's own counters. Pure.

Requests that go to a candidate with the current release behind it are counted by Envoy at the cluster that joins the
two; only the counters of the instances tell which of the two answered. Times are not counted for each instance, so
those of the joined cluster are the candidate's: others are among them only while the candidate cannot answer at all.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from gantry.engines.edge.protocol import TIMES_MS, BackendNumbers
from gantry.kernel.edge_names import members

_RETRIES, _EJECTIONS = "upstream_rq_retry", "outlier_detection.ejections_enforced_total"
# The name of a release has no dot.
PATTERN = rf"^cluster\.[^.]+\.({_RETRIES}|{_EJECTIONS}|upstream_rq_time)$"


def read(
    stats: Mapping[str, Any], clusters: Mapping[str, Any], names: Iterable[str]
) -> Mapping[str, BackendNumbers]:
    """The numbers of `names`; what Envoy has not counted yet is zero.

    Parameters:
        stats: its answer about the counters that match `PATTERN`.
        clusters: its answer about clusters and their instances.
    """
    counted, times = _counters(stats)
    hosts = {one["name"]: _hosts(one) for one in clusters.get("cluster_statuses", [])}
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


_NOTHING = Counter[str]()
# Each attempt was a success, an error (5xx or cut), or never got a connection.
_ENDED = ("rq_success", "rq_error", "cx_connect_fail")


def _counters(
    stats: Mapping[str, Any],
) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, float]]]:
    counted, times = Counter[tuple[str, str]](), Counter[tuple[str, float]]()
    for one in stats.get("stats", []):
        if "value" in one:
            _, cluster, counter = one["name"].split(".", 2)
            counted[members(cluster)[0], counter] += int(one["value"])
        for histogram in one.get("histograms", ()):
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
