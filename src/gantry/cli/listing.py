"""Rows below headers, as commands print them: in a pipe, in a wide terminal, and in a narrow one."""

from collections.abc import Collection, Iterator

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_GAP = 2
_MIN_COLUMNS_FLEXIBLE = 24


class Listing:
    """Rows below headers, without lines, that fit where they are shown; no value is ever cut.

    A pipe gets every row on one line, its columns apart and nothing behind the last. A terminal that is wide enough gets
    the same. A narrower one does without the spare columns, then gets the flexible ones broken between words; where
    that does not do, a row becomes a paragraph: what it is called, and below it each value behind its header.

    Parameters:
        columns: headers, from the left. Those before the first that has a text are marks.
        numbers: those whose values are aligned at the right.
        flexible: those whose values are text that can be broken into lines.
        spare: the last ones, where they are for programs rather than for people.
        headers: whether they are shown.
    """

    def __init__(
        self,
        *columns: str,
        numbers: Collection[str] = (),
        flexible: Collection[str] = (),
        spare: Collection[str] = (),
        headers: bool = True,
    ) -> None:
        assert not spare or tuple(spare) == columns[-len(spare) :]
        self._columns = columns
        self._is_number = [name in numbers for name in columns]
        self._flexible = [at for at, name in enumerate(columns) if name in flexible]
        self._spare = len(spare)
        self._headers = headers
        self._rows: list[list[Text]] = []

    def add_row(self, *cells: str | Text) -> None:
        """One more row, with a cell for each column."""
        found = [cell if isinstance(cell, Text) else Text(cell) for cell in cells]
        assert len(found) == len(self._columns)
        self._rows.append([Text(" ").join(cell.split("\n")) for cell in found])

    def __rich_measure__(self, _console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, max(1, min(_total(self._widths()), options.max_width)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths, room = self._widths(), options.max_width
        if not console.is_terminal:
            yield from self._lines(widths)
            return
        for left_out in range(self._spare):
            if _total(widths[: len(widths) - left_out]) <= room:
                yield from self._lines(widths[: len(widths) - left_out])
                return
        narrowed = self._narrowed(widths[: len(widths) - self._spare], room)
        if narrowed:
            yield self._grid(narrowed)
            return
        for row in self._rows:
            yield from self._paragraph(row, room)

    def _shown(self) -> list[list[Text]]:
        header = [Text(name, style="dim") for name in self._columns]
        return [header, *self._rows] if self._headers else self._rows

    def _widths(self) -> list[int]:
        """Of each column the widest value."""
        return [
            max(cell.cell_len for cell in column) for column in zip(*self._shown(), strict=True)
        ]

    def _narrowed(self, widths: list[int], room: int) -> list[int]:
        """Widths with which all columns stand beside each other; empty where there is no room for that."""
        found = [
            min(width, room) if at in self._flexible else width for at, width in enumerate(widths)
        ]
        while _total(found) > room:
            widest = max(self._flexible, key=found.__getitem__, default=None)
            if widest is None or found[widest] <= _MIN_COLUMNS_FLEXIBLE:
                return []
            found[widest] -= 1
        return found

    def _lines(self, widths: list[int]) -> Iterator[Text]:
        """Each row on a line of its own; as many columns as there are widths."""
        for row in self._shown():
            line = Text(no_wrap=True, overflow="ignore")
            for cell, width, is_number in zip(row, widths, self._is_number, strict=False):
                blank = Text(" " * (width - cell.cell_len))
                parts = (blank, cell) if is_number else (cell, blank)
                line.append_text(Text.assemble(*parts, " " * _GAP))
            line.rstrip()
            yield line

    def _grid(self, widths: list[int]) -> Table:
        """The rows with some columns broken between words."""
        grid = Table.grid(padding=(0, _GAP, 0, 0))
        for width, is_number in zip(widths, self._is_number, strict=False):
            grid.add_column(width=width, justify="right" if is_number else "left", overflow="fold")
        for row in self._shown():
            grid.add_row(*row[: len(widths)])
        return grid

    def _paragraph(self, row: list[Text], room: int) -> Iterator[RenderableType]:
        """Marks and name, and below them pairs of header and value, as many on a line as have room."""
        name_at = next((at for at, name in enumerate(self._columns) if name), 0)
        values_at = name_at + 1
        # A number alone says nothing: `release 3`.
        label = f"{self._columns[name_at]} " if self._is_number[name_at] else ""
        name = Text.assemble(label, row[name_at], style="bold")
        yield Text(" ").join(cell for cell in (*row[:name_at], name) if cell)
        line = Text()
        for header, cell in zip(self._columns[values_at:], row[values_at:], strict=True):
            if not cell:
                continue
            label = f"{header} " if header and self._headers else ""
            pair = Text.assemble((label, "dim"), cell)
            if line and line.cell_len + _GAP + pair.cell_len > room - _GAP:
                yield _indented(line, room)
                line = Text()
            line = Text.assemble(line, " " * _GAP, pair) if line else pair
        if line:
            yield _indented(line, room)


def _total(widths: list[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _indented(line: Text, room: int) -> RenderableType:
    """Below the name; an address that is longer than the terminal stays in one piece, so that it can be copied."""
    if max(map(cell_len, line.plain.split())) <= room - _GAP:
        return Padding(line, (0, 0, 0, _GAP), expand=False)
    return Text.assemble(" " * _GAP, line, no_wrap=True, overflow="ignore")
