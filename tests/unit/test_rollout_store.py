"""Verdicts, windows and evidence in the form in which the database keeps them."""

import json
from dataclasses import replace
from math import inf
from typing import Any

from hypothesis import given

from gantry.engines.edge.protocol import FailedRequest
from gantry.features.rollouts.model import Evidence, LogLine
from gantry.features.rollouts.verdict.judge import judge
from gantry.features.rollouts.verdict.model import (
    CheckName,
    Counts,
    Numbers,
    Outcome,
    Pair,
    Reason,
    Verdict,
)
from gantry.features.rollouts.window import StageWindows
from tests.support.verdict import POLICY, STORED_EVIDENCE, STORED_VERDICT, numbers

STORED_NUMBERS: dict[str, Any] = {
    "errors": 0,
    "latency": {"total": 8, "counts": [3, 8], "bounds_ms": [10.0, 60000.0]},
    "waiting": 0,
    "requests": 9,
    "restarts": 0,
    "smoke_failures": 0,
    "new_error_groups": 0,
    "out_of_memory_kills": 0,
}


def test_a_stored_verdict_is_read() -> None:
    smoke = "no failed smoke checks on the candidate, none on the current release"
    errors = "2.5 % of 800 requests failed on the candidate, 0 % of 800 on the current release"
    own = "of Gantry's own, 0 of 4 requests failed on the candidate, 0 of 4 on the current release"
    verdict = Verdict.parse(STORED_VERDICT)
    assert verdict == Verdict(
        Outcome.FAIL,
        (
            Reason(CheckName.SMOKE, Outcome.PASS, smoke, 0, 0, Counts(0, 0, 0, 0)),
            Reason(CheckName.ERRORS, Outcome.FAIL, errors, 0.025, 0.0, Counts(20, 800, 0, 800)),
            Reason(CheckName.OWN, Outcome.INCONCLUSIVE, own, 0.0, 0.0, Counts(0, 4, 0, 4)),
        ),
        f"{errors}.",
    )
    assert verdict.as_dict() == STORED_VERDICT, "and is written as it was"


@given(numbers(), numbers())
def test_any_verdict_is_read_as_it_was_written(candidate: Numbers, current: Numbers) -> None:
    verdict = judge(candidate, current, POLICY)
    stored = json.dumps(verdict.as_dict(), allow_nan=False)
    assert Verdict.parse(json.loads(stored)) == verdict


def test_a_latency_without_bound_is_stored_as_null() -> None:
    reason = Reason(CheckName.P99, Outcome.FAIL, "slow", inf, 20.0, Counts(1, 2, 0, 2))
    stored = reason.as_dict()
    assert (stored["candidate"], stored["current"]) == (None, 20.0)
    assert Reason.parse(stored) == reason
    stored = replace(reason, candidate=20.0, current=inf).as_dict()
    assert (stored["candidate"], stored["current"]) == (20.0, None)


def test_stored_windows_are_read_with_counts_that_are_no_longer_made() -> None:
    pair = {"candidate": STORED_NUMBERS, "current": {**STORED_NUMBERS, "restarts": 2}}
    window = {"base": pair, "last": pair, "carried": pair}
    windows = StageWindows.parse({"visitors": window, "own": window})
    candidate = windows.visitors.last.candidate
    assert (candidate.requests, candidate.latency.total, candidate.latency.counts) == (9, 8, (3, 8))
    assert windows.own.carried.current.restarts == 2


def test_windows_go_on_from_their_stored_form() -> None:
    windows = StageWindows.begin(Pair(Numbers(1), Numbers(20)), Pair(Numbers(3), Numbers(3)))
    windows = windows.at(Pair(Numbers(5, 1), Numbers(90)), Pair(Numbers(4), Numbers(4, 1)))
    assert StageWindows.parse(json.loads(json.dumps(windows.as_dict()))) == windows
    assert windows.visitors.total == Pair(Numbers(4, 1), Numbers(70))
    assert windows.own.total == Pair(Numbers(1), Numbers(1, 1))


def test_stored_evidence_is_read() -> None:
    evidence = Evidence.parse(STORED_EVIDENCE)
    assert evidence == Evidence(
        ("i-p3k9vxghs7",),
        (
            LogLine(
                "i-p3k9vxghs7",
                "TypeError: cannot read properties of undefined (reading 'pinned')"
                " at /app/server/chunks/announcements.js:214:33",
            ),
        ),
        (
            FailedRequest(
                "2026-11-23T11:58:00Z",
                "GET",
                "/communities/12/announcements",
                500,
                "",
                1204,
                "7f3c1f0a-33f7-4a0e-9a77-b7a4a1fd27b1",
            ),
        ),
    )
    assert json.loads(json.dumps(evidence.as_dict())) == STORED_EVIDENCE


def test_evidence_that_is_not_known_yet_is_stored_as_null() -> None:
    stored = json.loads('{"instances": ["i-1"], "lines": null, "requests": null}')
    assert Evidence.parse(stored) == Evidence(("i-1",))
    assert json.loads(json.dumps(Evidence(("i-1",)).as_dict())) == stored
    half = replace(Evidence(("i-1",)), requests=())
    assert Evidence.parse(json.loads(json.dumps(half.as_dict()))) == half
