"""Rows below headers: whole in a pipe, and within the width of any terminal."""

import io
from collections import Counter

import pytest
from hypothesis import given, strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from gantry.cli.listing import Listing
from gantry.cli.session import Session
from tests.fakes.platform import FakePlatform

ADDRESS = "https://r-4jk6vmz4v4--a-shop-with-a-long-name.apps.example.com:8443/"


def drawn(rows: Listing, width: int | None) -> list[str]:
    """Lines in a terminal of that width without its blanks behind them, or exactly what a pipe gets."""
    out = io.StringIO()
    console = Console(
        file=out,
        width=width or 10_000,
        force_terminal=width is not None,
        color_system=None,
        markup=False,
        highlight=False,
        emoji=False,
    )
    Session(FakePlatform(), out=console).show(rows)
    lines = out.getvalue().splitlines()
    return lines if width is None else [line.rstrip() for line in lines]


def releases() -> Listing:
    rows = Listing(
        "release", "state", "commit", "address", numbers=("release",), flexible=("commit",)
    )
    rows.add_row("12", Text("live", style="green"), "3f2a91c Add announcements", ADDRESS)
    rows.add_row("3", "gantry rollback goes here", "", "https://r-3.localhost")
    return rows


def test_a_pipe_gets_whole_rows_and_no_blanks_behind_them() -> None:
    lines = drawn(releases(), None)
    assert lines == [
        "release  state                      commit                     address",
        f"     12  live                       3f2a91c Add announcements  {ADDRESS}",
        "      3  gantry rollback goes here                             https://r-3.localhost",
    ]


def test_a_value_of_any_length_stays_on_one_line_in_a_pipe() -> None:
    rows = Listing("variable", "from", flexible=("variable",))
    rows.add_row("word " * 100 + "end", "env set")
    assert [len(line) for line in drawn(rows, None)] == [503 + 2 + 4, 503 + 2 + 7]


def test_a_wide_terminal_gets_the_same_as_a_pipe() -> None:
    assert drawn(releases(), 160) == drawn(releases(), None)


def test_a_text_is_broken_between_words_where_the_rest_has_room() -> None:
    rows = Listing("name", "what", flexible=("what",))
    rows.add_row("mail", "every word of a sentence that is longer than the line")
    assert drawn(rows, 40) == [
        "name  what",
        "mail  every word of a sentence that is",
        "      longer than the line",
    ]


def test_a_row_becomes_a_paragraph_where_there_is_no_room() -> None:
    assert drawn(releases(), 80) == [
        "release 12",
        "  state live  commit 3f2a91c Add announcements",
        f"  address {ADDRESS}",
        "release 3",
        "  state gantry rollback goes here  address https://r-3.localhost",
    ]


def test_an_address_that_is_longer_than_the_terminal_stays_in_one_piece() -> None:
    assert f"  address {ADDRESS}" in drawn(releases(), 40)


def test_marks_stand_before_the_name() -> None:
    rows = Listing("", "url", "folders", flexible=("folders",))
    rows.add_row("*", "https://gantry.example.com", "/home/ada/src/shop, /home/ada/src/blog")
    assert drawn(rows, 40) == [
        "* https://gantry.example.com",
        "  folders /home/ada/src/shop,",
        "  /home/ada/src/blog",
    ]


@pytest.mark.parametrize(
    ("width", "header"),
    [
        (32, "process  state     pid  instance"),
        (31, "process  state     pid"),
        (16, "process  state"),
    ],
)
def test_what_is_for_programs_gives_way_first(width: int, header: str) -> None:
    rows = Listing(
        "process", "state", "pid", "instance", numbers=("pid",), spare=("pid", "instance")
    )
    rows.add_row("web.0", "healthy", "4711", "i-123456")
    assert drawn(rows, width)[0] == header


def test_a_line_break_in_a_value_does_not_break_the_rows() -> None:
    rows = Listing("name", "detail")
    rows.add_row("a", "one\ntwo")
    assert drawn(rows, None)[1] == "a     one two"


_WORDS = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=12)
_CELLS = st.lists(_WORDS, max_size=6).map(" ".join)


@given(
    st.lists(st.tuples(_CELLS, _CELLS, _CELLS, _CELLS), min_size=1, max_size=4),
    st.integers(20, 120),
)
def test_nothing_is_lost_at_any_width(cells: list[tuple[str, ...]], width: int) -> None:
    rows = Listing("name", "size", "what", "who", numbers=("size",), flexible=("what",))
    for row in cells:
        rows.add_row(*row)
    lines = drawn(rows, width)
    assert max(map(cell_len, lines)) <= width
    shown = Counter("".join(lines))
    assert shown >= Counter("".join(cell for row in cells for cell in row).replace(" ", ""))
    in_pipe = drawn(rows, None)
    for row, line in zip(cells, in_pipe[1:], strict=True):
        assert all(cell in line for cell in row)
        assert line == line.rstrip()
