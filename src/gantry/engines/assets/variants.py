"""Compressed variants of a content. Pure."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass

import brotli
import zstandard

# A variant that saves less is not worth its file, nor the decompression.
_MAX_SHARE = 0.95
# A response below this fits into one packet either way.
_MIN_BYTES = 128


@dataclass(frozen=True, slots=True)
class Levels:
    """How hard to try; 1 MB takes about 1.1 s with the best levels and 0.2 s with the quick ones."""

    up_to_bytes: int
    brotli: int
    zstd: int
    gzip: int


# Beyond the last only the server's own time would be saved: nobody waits for 64 MB of text.
_LEVELS = (Levels(4_000_000, 11, 19, 9), Levels(64_000_000, 9, 12, 6))


def variants(content: bytes) -> Mapping[str, bytes]:
    """Name of the encoding -> compressed content, where that is at least 5 % smaller. The same input gives the same bytes."""
    levels = next((level for level in _LEVELS if len(content) <= level.up_to_bytes), None)
    if levels is None or len(content) < _MIN_BYTES:
        return {}
    made = {
        "br": brotli.compress(content, quality=levels.brotli),
        "zstd": zstandard.ZstdCompressor(level=levels.zstd).compress(content),
        "gzip": gzip.compress(content, levels.gzip, mtime=0),
    }
    limit = len(content) * _MAX_SHARE
    return {name: compressed for name, compressed in made.items() if len(compressed) <= limit}
