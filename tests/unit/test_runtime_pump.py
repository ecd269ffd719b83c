"""Masking by lines, however the output is cut into pieces."""

import itertools
import subprocess
import sys

from hypothesis import given, strategies as st

from gantry.engines.runtime.pump import LineMasker
from gantry.kernel.redact import MASK, Redactor

_SECRET = "top-secret-value"
_TEXT = f"one\nsays {_SECRET} twice {_SECRET}\n\nlast {_SECRET}"


def _masked(pieces: list[bytes]) -> bytes:
    written: list[bytes] = []
    masker = LineMasker(Redactor([_SECRET]), written.append)
    for piece in pieces:
        masker.feed(piece)
    masker.close()
    return b"".join(written)


@given(st.lists(st.integers(0, len(_TEXT)), max_size=20))
def test_no_cut_shows_a_secret(cuts: list[int]) -> None:
    data = _TEXT.encode()
    places = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    assert _masked(pieces) == _TEXT.replace(_SECRET, MASK).encode()


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_output_without_secrets_passes_unchanged(pieces: list[bytes]) -> None:
    assert _masked(pieces) == b"".join(pieces)


def test_a_line_without_end_is_left_out_whole() -> None:
    line = b"x" * 1_000_000 + _SECRET.encode()
    result = _masked([line[:1_000_005], line[1_000_005:] + b"more\n", b"next\n"])
    assert b"secret" not in result
    assert result.endswith(b"was left out]\nnext\n")


def test_the_status_is_the_tasks_and_what_it_leaves_behind_does_not_hold_it_up() -> None:
    script = "echo out; echo err >&2; sleep 30 & exit 5"
    code = (
        "import os; os.dup2(1, 3); os.dup2(1, 4)\n"
        "from gantry.engines.runtime.pump import LineMasker, run\n"
        "import sys\n"
        f"sys.exit(run(['sh', '-c', {script!r}], LineMasker(str, lambda data: os.write(1, data))))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert sorted(process.stdout.readline() for _ in range(2)) == [b"err\n", b"out\n"]
        assert process.wait(timeout=10) == 5
