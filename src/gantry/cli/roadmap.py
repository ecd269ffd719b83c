"""Writes docs/roadmap.md from the list of capabilities: `python -m gantry.cli.roadmap docs/roadmap.md`."""

import sys
from collections.abc import Iterator
from pathlib import Path

from gantry.features.platform.capabilities import Maturity, by_maturity

_INTRODUCTION = """\
# Roadmap

What Gantry can do, and how far you may rely on it. Made from the source by `scripts/generate-docs`; do not edit.
`gantry version --features`, the console and the API show the same list of the version that you run.
"""


def roadmap() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *_sections()])


def _sections() -> Iterator[str]:
    for maturity, capabilities in by_maturity():
        yield f"## {maturity.capitalize()}\n\n{maturity.meaning}\n"
        planned = maturity is Maturity.PLANNED
        yield (
            "| capability | what it would do |"
            if planned
            else "| capability | since | what it does |"
        )
        yield "|---|---|" if planned else "|---|---|---|"
        for capability in capabilities:
            since = "" if planned else f" {capability.since} |"
            yield f"| {capability.name} |{since} {capability.sentence} |"
        yield ""


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(roadmap(), encoding="utf-8")
