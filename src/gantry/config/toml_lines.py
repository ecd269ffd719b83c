"""On which line each key of a TOML document stands; no library for Python tells.

The document has been read by `tomllib` before, so it is valid, and this reader only has to find where keys and
values begin and end. A path is a tuple of keys and, inside of lists, positions from 0.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator

KeyPath = tuple[str | int, ...]

# Groups are not repeated possessively: Python before 3.11.5 then misses matches (gh-106052).
_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*+")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]++")
_STRING = re.compile(
    r'"""(?:\\[\s\S]|[^"\\]|"(?!""))*"{3,5}'
    r"|'''(?:[^']|'(?!''))*'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*+'"
)
_SCALAR = re.compile(r"[^,\]}#\n]++")


def key_lines(text: str) -> dict[KeyPath, int]:
    """Path of every key, table and list item -> the line it stands on, from 1.

    Parameters:
        text: a valid document whose values are nested less than a hundred deep.
    """
    return _Document(text.replace("\r\n", "\n")).read()


class _Document:
    """One pass over a document."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._lines: dict[KeyPath, int] = {}
        self._tables: dict[KeyPath, int] = {}  # lists of tables -> how many there are

    def read(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._skip(_BLANK) < len(self._text):
            if self._at("["):
                table = self._header()
            else:
                self._assignment(table, _SPACE)
        return self._lines

    def _header(self) -> KeyPath:
        line, is_list = self._line(), self._at("[[")
        self._position += 2 if is_list else 1
        keys = list(self._keys())
        self._position += 2 if is_list else 1
        parent = self._note_parents((), keys, line)
        path = (*parent, keys[-1])
        if is_list:
            count = self._tables.get(path, 0)
            self._tables[path] = count + 1
            self._lines.setdefault(path, line)
            path = (*path, count)
        self._lines[path] = (
            line  # a table's own header says more than a child's that came before it
        )
        return path

    def _assignment(self, table: KeyPath, blank: re.Pattern[str]) -> None:
        line = self._line()
        keys = list(self._keys())
        path = (*self._note_parents(table, keys, line), keys[-1])
        self._lines[path] = line
        self._position += 1  # the =
        self._skip(blank)
        self._value(path)

    def _note_parents(self, path: KeyPath, keys: list[str], line: int) -> KeyPath:
        """Where the last of `keys` belongs: inside of a list of tables it is the newest one."""
        for key in keys[:-1]:
            path = (*path, key)
            self._lines.setdefault(path, line)
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
        return path

    def _keys(self) -> Iterator[str]:
        """The parts of a dotted key; ends before what follows it."""
        while True:
            self._skip(_SPACE)
            yield self._key()
            self._skip(_SPACE)
            if not self._at("."):
                return
            self._position += 1

    def _key(self) -> str:
        if match := _BARE_KEY.match(self._text, self._position):
            self._position = match.end()
            return match[0]
        start = self._position
        quoted = self._text[start : self._skip(_STRING)]
        return str(tomllib.loads(f"key = {quoted}")["key"])

    def _value(self, path: KeyPath) -> None:
        if self._at("["):
            self._list(path)
        elif self._at("{"):
            self._inline_table(path)
        elif self._at('"') or self._at("'"):
            self._skip(_STRING)
        else:
            self._skip(_SCALAR)

    def _list(self, path: KeyPath) -> None:
        self._position += 1
        index = 0
        while self._more("]"):
            self._lines[(*path, index)] = self._line()
            self._value((*path, index))
            index += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._position += 1
        while self._more("}"):
            self._assignment(path, _SPACE)

    def _more(self, end: str) -> bool:
        """Go to the next item of a list or inline table; `False` at its end."""
        self._skip(_BLANK)
        if self._at(","):
            self._position += 1
            self._skip(_BLANK)
        if self._at(end):
            self._position += 1
            return False
        return True

    def _at(self, token: str) -> bool:
        return self._text.startswith(token, self._position)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._position)
        assert match is not None, "only called where tomllib has found such a token"
        self._position = match.end()
        return self._position

    def _line(self) -> int:
        return bisect_right(self._line_ends, self._position - 1) + 1
