"""Numbers of releases, made for tests of the verdict."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

from hypothesis import strategies as st

from gantry.config.sections import VerdictRules
from gantry.features.rollouts.rules import policy_of
from gantry.features.rollouts.verdict.histogram import Histogram
from gantry.features.rollouts.verdict.model import Numbers

# What a manifest without settings of the verdict asks for.
POLICY = policy_of(VerdictRules())

# A verdict and its evidence as rows of the database have them, since version 0.1.
STORED_VERDICT: dict[str, Any] = {
    "outcome": "fail",
    "summary": "2.5 % of 800 requests failed on the candidate, 0 % of 800 on the current release.",
    "reasons": [
        {"check": "smoke checks", "outcome": "pass", "candidate": 0, "current": 0,
         "sentence": "no failed smoke checks on the candidate, none on the current release",
         "numbers": {"current": 0, "candidate": 0, "current_of": 0, "candidate_of": 0}},
        {"check": "errors", "outcome": "fail", "candidate": 0.025, "current": 0.0,
         "sentence": "2.5 % of 800 requests failed on the candidate, 0 % of 800 on the current release",
         "numbers": {"current": 0, "candidate": 20, "current_of": 800, "candidate_of": 800}},
        {"check": "own requests", "outcome": "inconclusive", "candidate": 0.0, "current": 0.0,
         "sentence": "of Gantry's own, 0 of 4 requests failed on the candidate, 0 of 4 on the current release",
         "numbers": {"current": 0, "candidate": 0, "current_of": 4, "candidate_of": 4}},
    ],
}  # fmt: skip
STORED_EVIDENCE: dict[str, Any] = {
    "lines": [{"text": "TypeError: cannot read properties of undefined (reading 'pinned') at /app/server/chunks/announcements.js:214:33",
               "instance": "i-p3k9vxghs7"}],
    "requests": [{"at": "2026-11-23T11:58:00Z", "path": "/communities/12/announcements", "flags": "", "method": "GET",
                  "status": 500, "request_id": "7f3c1f0a-33f7-4a0e-9a77-b7a4a1fd27b1", "duration_ms": 1204}],
    "instances": ["i-p3k9vxghs7"],
}  # fmt: skip

BOUNDS_MS = (5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 150.0, 250.0, 400.0, 600.0, 1000.0, 2500.0)


def timed(latencies_ms: Iterable[float]) -> Histogram:
    """A histogram of requests that took so long."""
    buckets = [0] * (len(BOUNDS_MS) + 1)
    for latency_ms in latencies_ms:
        buckets[bisect_left(BOUNDS_MS, latency_ms)] += 1
    return Histogram(BOUNDS_MS, tuple(accumulate(buckets[:-1])), sum(buckets))


def spread(requests: int, factor: float = 1.0) -> Histogram:
    """A histogram of `requests` spread over 20 to 200 ms, most of them fast, times `factor`."""
    return timed(
        factor * 20.0 * 10.0 ** (((place + 0.5) / requests) ** 2) for place in range(requests)
    )


def seen(requests: int, errors: int = 0, factor: float = 1.0, waiting: int = 0) -> Numbers:
    """Numbers of a release whose latency is `spread`."""
    return Numbers(requests, errors, spread(requests, factor), waiting)


@st.composite
def numbers(draw: st.DrawFn, most: int = 3000) -> Numbers:
    """Any numbers, of releases good and bad."""
    buckets = draw(st.lists(st.integers(0, most // 10), min_size=13, max_size=13))
    requests = draw(st.integers(0, most))
    return Numbers(
        requests,
        draw(st.integers(0, requests)),
        Histogram(BOUNDS_MS, tuple(accumulate(buckets[:-1])), sum(buckets)),
        draw(st.integers(0, 50)),
        draw(st.integers(0, 3)),
        draw(st.integers(0, 2)),
        draw(st.integers(0, 2)),
    )
