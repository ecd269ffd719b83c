"""Sizes, shares and durations as people write them: `512 MB`, `1.5 GB`, `30s`, `10m`, `2h`."""

import re
from decimal import Decimal

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
