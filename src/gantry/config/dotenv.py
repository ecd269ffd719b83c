"""`.env` files: `NAME=value`, `export NAME=value`, quotes over several lines, comments.

Values are taken as they are: `$OTHER` and commands in a value are not expanded.
"""

import re
from dataclasses import dataclass, field

from gantry.kernel.errors import UserError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_START = re.compile(r"[ \t]*(?:export[ \t]+)?([^=\n#]*?)[ \t]*=[ \t]*")
_QUOTED = {
    '"': re.compile(r'"((?:\\[\s\S]|[^"\\])*)"'),
    "'": re.compile(r"'([^']*+)'"),
    "`": re.compile(r"`([^`]*+)`"),
}
_UNQUOTED = re.compile(r"[^\n]*")
_REST = re.compile(r"[ \t]*(?:#[ \t]*([^\n]*))?(?=\n|$)")
_ESCAPE = re.compile(r"\\([\s\S])")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$", "\n": ""}
_MAX_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One variable of a file.

    Attributes:
        line: where its name stands, from 1.
        comment: what the line says behind `#`.
        above: the comment lines directly above it, without `#`.
        written: its lines as they stand in the file, with the last line break.
    """

    name: str
    value: str = field(repr=False)
    line: int
    comment: str = ""
    above: tuple[str, ...] = ()
    written: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is none of: variable, comment, empty."""

    line: int
    message: str


def parse_dotenv(text: str, where: str = ".env") -> tuple[Entry, ...]:
    """Every variable of `text`, in order.

    Parameters:
        where: how errors call the file.

    Raises:
        UserError: `dotenv.invalid` with every bad line.
    """
    entries, bad = scan_dotenv(text)
    if bad:
        lines = [f"{where}:{item.line}: {item.message}" for item in bad[:_MAX_FAULTS]]
        more = len(bad) - len(lines)
        raise UserError(
            "dotenv.invalid",
            "\n".join([*lines, f"and {more} more"] if more else lines),
            hint="write each line as NAME=value, and put values with spaces or # in quotes",
            where=f"{where}:{bad[0].line}",
        )
    return entries


def scan_dotenv(text: str) -> tuple[tuple[Entry, ...], tuple[BadLine, ...]]:
    """Variables and bad lines of `text`. Never raises."""
    reader = _Reader(text.removeprefix("\ufeff").replace("\r\n", "\n"))
    reader.read()
    return tuple(reader.entries), tuple(reader.bad)


class _Reader:
    """One pass over a file."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._line = 1
        self._above: list[str] = []
        self._seen: dict[str, int] = {}
        self.entries: list[Entry] = []
        self.bad: list[BadLine] = []

    def read(self) -> None:
        while self._position < len(self._text):
            end = self._line_end()
            content = self._text[self._position : end].strip()
            if not content:
                self._above.clear()
                self._go_to(end)
            elif content.startswith("#"):
                self._above.append(content.lstrip("#").strip())
                self._go_to(end)
            else:
                self._variable()
                self._above.clear()

    def _variable(self) -> None:
        start = _START.match(self._text, self._position)
        line, begin = self._line, self._position
        if start is None or not _NAME.fullmatch(start[1]):
            self._reject("is not NAME=value")
            return
        self._position = start.end()
        found = self._value()
        if found is None:
            self._reject(f"{start[1]}: the value's quotes do not end, or something follows them")
            return
        if start[1] in self._seen:
            self.bad.append(
                BadLine(line, f"{start[1]} is set on line {self._seen[start[1]]} already")
            )
            return
        self._seen[start[1]] = line
        value, comment = found
        written = self._text[begin : self._position].rstrip("\n") + "\n"
        self.entries.append(Entry(start[1], value, line, comment, tuple(self._above), written))

    def _value(self) -> tuple[str, str] | None:
        """The value and the comment behind it; moves to the next line unless the value is bad."""
        mark = self._text[self._position : self._position + 1]
        if mark not in _QUOTED:
            return self._unquoted()
        quoted = _QUOTED[mark].match(self._text, self._position)
        rest = _REST.match(self._text, quoted.end()) if quoted else None
        if quoted is None or rest is None:
            return None
        self._line += quoted[0].count("\n")
        self._go_to(rest.end())
        value = quoted[1] if mark != '"' else _ESCAPE.sub(_unescaped, quoted[1])
        return value, (rest[1] or "").strip()

    def _unquoted(self) -> tuple[str, str]:
        match = _UNQUOTED.match(self._text, self._position)
        assert match is not None, "matches the empty text too"
        self._go_to(match.end())
        line = match[0]
        if line.startswith("#"):
            return "", line.lstrip("#").strip()
        value, _, comment = re.sub(r"[ \t]#", "\0", line, count=1).partition("\0")
        return value.strip(), comment.strip()

    def _reject(self, message: str) -> None:
        self.bad.append(BadLine(self._line, message))
        self._go_to(self._line_end())

    def _line_end(self) -> int:
        end = self._text.find("\n", self._position)
        return len(self._text) if end < 0 else end

    def _go_to(self, line_end: int) -> None:
        """Behind the line break at `line_end`."""
        self._position = line_end + 1
        self._line += 1


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPED.get(match[1], match[0])
