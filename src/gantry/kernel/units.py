"""Sizes, shares, durations and moments as people write them: `512 MB`, `1.5 GB`, `30s`, `10m`, `5 min ago`."""

import re
from datetime import datetime
from decimal import Decimal
from typing import Literal

_SIZES = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4,
          "KIB": 1024, "MIB": 1024**2, "GIB": 1024**3, "TIB": 1024**4}  # fmt: skip
_DURATIONS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?i?B)", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


def parse_size(text: str) -> int:
    """Bytes in `text`, such as `512 MB` (10^6) or `512 MiB` (2^20).

    Raises:
        ValueError: with a sentence that says what is accepted.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size; write it like '512 MB' or '1.5 GB'")
    return int(Decimal(match[1]) * _SIZES[match[2].upper()])


def parse_duration(text: str) -> float:
    """Seconds in `text`, such as `500ms`, `30s`, `10m`, `2h` or `1d`.

    Raises:
        ValueError: with a sentence that says what is accepted.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write it like '30s', '10m' or '2h'")
    return float(match[1]) * _DURATIONS[match[2]]


def format_size(size_bytes: float) -> str:
    """`size_bytes` for people, in powers of 1000."""
    for unit in ("B", "KB", "MB", "GB"):
        if abs(size_bytes) < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def format_percent(share: float) -> str:
    """`share` in whole percents, rounded down: `100 %` is all, not nearly all."""
    return f"{int(share * 100 + 1e-9)} %"


def format_duration(seconds: float) -> str:
    """`seconds` for people: `0.4 s`, `12.3 s`, `2 min`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def format_elapsed(seconds: float | None) -> str:
    """`format_duration` of a time that may not be known (yet): empty then."""
    return "" if seconds is None else format_duration(seconds)


def format_ago(then: datetime, now: datetime) -> str:
    """How long ago: `just now`, `40 s ago`, `5 min ago`, `3 h ago`, `2 days ago`. A moment to come is `just now`."""
    seconds = (now - then).total_seconds()
    return "just now" if seconds < 2 else f"{_rough(seconds)} ago"


def format_until(then: datetime, now: datetime) -> str:
    """How long until an expiry: `in 15 min`, `in 89 days`, `expired`."""
    seconds = (then - now).total_seconds()
    return "expired" if seconds <= 0 else f"in {_rough(seconds)}"


def _rough(seconds: float) -> str:
    """In one unit, without a fraction: what is far away needs no seconds."""
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return counted(round(seconds / 86_400), "day")


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 request`, `1,240 requests`: a number with its noun; `plural` where that is more than an `s`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def format_measure(value: float | None, unit: Literal["share", "ms", "count"]) -> str:
    """A measured value: `1.25 %`, `1,240 ms`, `37`.

    Parameters:
        value: a share from 0 to 1, milliseconds, or a count; `None` for a time beyond the longest that is measured.
    """
    if value is None:
        return "over a minute"
    if unit == "share":
        return f"{value * 100:.2f} %"
    return f"{value:,.0f} ms" if unit == "ms" else f"{value:,.0f}"


def first_line(text: str) -> str:
    """The first line that is not blank, for where there is room for one; empty when there is none."""
    return next(iter(text.strip().splitlines()), "")
