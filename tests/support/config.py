"""Golden files: what was printed once, read by a person, and must not change by accident."""

import os
from pathlib import Path

GOLDEN = Path(__file__).parent.parent / "golden" / "config"


def assert_golden(path: Path, text: str) -> None:
    """`text` is what `path` holds; `GANTRY_GOLDEN=write` writes it instead."""
    if os.environ.get("GANTRY_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text
