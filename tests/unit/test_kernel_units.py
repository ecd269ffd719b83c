"""Sizes, durations, moments and redaction as people write them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from gantry.kernel.redact import MASK, Redactor
from gantry.kernel.units import (
    first_line,
    format_ago,
    format_duration,
    format_elapsed,
    format_measure,
    format_percent,
    format_size,
    format_until,
    parse_duration,
    parse_size,
)

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("512 MB", 512_000_000),
        ("1.5GB", 1_500_000_000),
        ("64 MiB", 67_108_864),
        ("7 B", 7),
        ("2159894594.7 KB", 2_159_894_594_700),
    ],
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "512", "-1 MB", "1e3 MB", "MB", "1 XB"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("1.5m", 90), ("2h", 7200), ("1d", 86400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "1 week"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        parse_duration(text)


def test_formats() -> None:
    assert format_size(999) == "999 B"
    assert format_size(41_300_000) == "41.3 MB"
    assert [format_percent(share) for share in (0, 0.29, 0.999, 1)] == [
        "0 %",
        "29 %",
        "99 %",
        "100 %",
    ]
    assert format_duration(0.42) == "0.4 s"
    assert format_duration(200) == "3 min 20 s"
    assert format_duration(120) == "2 min"
    assert format_duration(7_200) == "2 h"
    assert format_duration(7_500) == "2 h 5 min"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (-5, "just now"),
        (40, "40 s ago"),
        (300, "5 min ago"),
        (10_000, "3 h ago"),
        (200_000, "2 days ago"),
        (125, "2 min ago"),
        (90_000, "25 h ago"),
        (900_000, "10 days ago"),
    ],
)
def test_ago(seconds: float, text: str) -> None:
    assert format_ago(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "expired"), (30, "in 30 s"), (900, "in 15 min"), (90 * 86_400, "in 90 days")],
)
def test_until(seconds: float, text: str) -> None:
    assert format_until(NOW + timedelta(seconds=seconds), NOW) == text


def test_a_duration_that_is_not_known_yet_is_empty() -> None:
    assert (format_elapsed(None), format_elapsed(0.42)) == ("", "0.4 s")


def test_measures() -> None:
    assert format_measure(0.0125, "share") == "1.25 %"
    assert format_measure(1240.4, "ms") == "1,240 ms"
    assert format_measure(37, "count") == "37"
    assert format_measure(None, "ms") == "over a minute"


@pytest.mark.parametrize(
    ("text", "line"), [("", ""), ("one", "one"), ("\n  two \nthree", "two "), (" \n\t", "")]
)
def test_the_first_line(text: str, line: str) -> None:
    assert first_line(text) == line


@given(st.text(min_size=6).filter(lambda text: len(text.strip()) >= 6 and "\n" not in text))
def test_a_secret_never_survives_redaction(secret: str) -> None:
    line = Redactor([secret])(f"DATABASE_URL={secret.strip()} done")
    assert secret.strip() not in line.replace(MASK, "")


def test_longer_secrets_are_masked_before_those_they_contain() -> None:
    redact = Redactor(["hunter2", "hunter2-and-more"])
    assert redact("a hunter2-and-more b hunter2 c") == f"a {MASK} b {MASK} c"
