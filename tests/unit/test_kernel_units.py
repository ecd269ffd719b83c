"""Sizes, durations and redaction as people write them."""

import pytest
from hypothesis import given, strategies as st

from gantry.kernel.redact import MASK, Redactor
from gantry.kernel.units import (
    format_duration,
    format_percent,
    format_size,
    parse_duration,
    parse_size,
)


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


@given(st.text(min_size=6).filter(lambda text: len(text.strip()) >= 6 and "\n" not in text))
def test_a_secret_never_survives_redaction(secret: str) -> None:
    line = Redactor([secret])(f"DATABASE_URL={secret.strip()} done")
    assert secret.strip() not in line.replace(MASK, "")


def test_longer_secrets_are_masked_before_those_they_contain() -> None:
    redact = Redactor(["hunter2", "hunter2-and-more"])
    assert redact("a hunter2-and-more b hunter2 c") == f"a {MASK} b {MASK} c"
