"""What is read out of the edge's access log."""

import json
from typing import Any

from gantry.engines.edge.observed import failed_requests


def line(**changes: Any) -> str:
    values = {
        "at": "2026-11-23T10:00:00.123Z",
        "method": "GET",
        "path": "/shop?token=secret",
        "status": 500,
        "flags": None,
        "duration_ms": 12,
        "request_id": "id-1",
        "release": "r-2",
    }
    return json.dumps({**values, **changes})


def test_only_what_the_backend_failed() -> None:
    log = "\n".join(
        (
            'ut off in the middle", "release": "r-2", "status": 500}',
            "[warning] Envoy's own words",
            "{not json",
            "[1, 2]",
            line(status=200),
            line(release="r-1"),
            line(status=503, flags="UC", path="/first"),
            line(status=404),
            line(status=0, flags="DC"),
        )
    )
    found = failed_requests(log, "r-2", most=10)
    assert [(one.path, one.status, one.flags) for one in found] == [
        ("/first", 503, "UC"),
        ("/shop", 0, "DC"),
    ]
    assert failed_requests(log, "r-2", most=1) == found[-1:]
    assert failed_requests("", "r-2", most=1) == ()


def test_behind_the_cache_the_answer_names_the_release() -> None:
    log = "\n".join(
        (
            line(release="cache", answered_by="r-2", path="/cached"),
            line(release="cache", answered_by="r-1"),
            line(release="cache", answered_by="edge"),
            line(release="r-1", answered_by="r-2"),
            line(release="cache", answered_by=None),
            line(release=None, answered_by="r-2"),
        )
    )
    found = failed_requests(log, "r-2", most=10)
    assert [one.path for one in found] == ["/cached"]
    assert failed_requests(log, "", most=10) == ()


def test_nothing_in_a_line_is_trusted() -> None:
    odd = line(status="500", path=None, duration_ms=None, request_id=7, method=["x"])
    assert failed_requests(odd, "r-2", most=5)[0].status == 0
    (long,) = failed_requests(line(path="/" + "x" * 5000), "r-2", most=5)
    assert len(long.path) == 300
