"""Paths with parameters, as Vercel and Next.js write them (path-to-regexp 6): `/old/:slug*`, `/blog/:id(\\d+)`.

A pattern is made of text, named parameters `:name` with an optional group `(regular expression)`, unnamed groups
`(.*)`, and a modifier `? * +` after a parameter or group; `\\` takes one character as it is. The edge matches with
RE2, so look-around and back-references cannot work, and it does not know `{…}`; they are refused here.
"""

import math
import re
import warnings
from dataclasses import dataclass

_TOKEN = re.compile(
    r"(?P<escape>\\.)|:(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<other>[\s\S])",
)
_LOOK_AROUND = re.compile(r"\(\?(?:<?[=!]|P?<[^=!]|[^:])")
_BACK_REFERENCE = re.compile(r"\\[1-9]")
_ESCAPED_BACKSLASH = re.compile(r"\\\\")
_OTHER_DIALECT = re.compile(r"\\(?![dDwWsSbB])[A-Za-z0]|[*+?}]\+|\*\*")
_COUNT = re.compile(r"\{(\d{1,6})(?:,(\d{0,6}))?\}")
_MOST_REPETITIONS = 1000
_REFERENCE = re.compile(r":([A-Za-z_][A-Za-z0-9_]*)|\$([0-9])")
_MOST_PARAMETERS = 9  # RE2 fills in \1 to \9
_LONGEST_PATTERN = 2048
_IMPOSSIBLE = {
    ")": "has a ) without its (",
    ":": "has a : without a name; write \\: for the character itself",
    " ": "has a space, which is not possible in a path",
    "#": "has a #, which never reaches a server",
    "\\": "ends with a \\ that takes no character",
}


class NotSupportedError(ValueError):
    """A pattern that is right, and that the edge cannot match."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern that was understood.

    Attributes:
        parameters: named ones in their order, unnamed groups as `0`, `1`, …
    """

    text: str
    parameters: tuple[str, ...]


def parse_pattern(text: str) -> Pattern:
    """Understand `text`.

    Raises:
        ValueError: with what is wrong, as the end of a sentence that begins with the key.
    """
    if not text.startswith("/"):
        raise ValueError("must start with /")
    if len(text) > _LONGEST_PATTERN:
        raise ValueError(f"has {len(text)} characters; at most {_LONGEST_PATTERN} are possible")
    parameters = _Reader(text).read()
    if len(parameters) > _MOST_PARAMETERS:
        raise NotSupportedError(f"has more than {_MOST_PARAMETERS} parameters and groups")
    return Pattern(text, tuple(parameters))


def unknown_parameters(destination: str, source: Pattern) -> tuple[str, ...]:
    """References in `destination` (`:name`, or `$1` for the first unnamed group) that `source` cannot fill."""
    return tuple(
        match[0]
        for match in _REFERENCE.finditer(destination)
        if (match[1] or str(int(match[2]) - 1)) not in source.parameters
    )


class _Reader:
    """One pass over a pattern."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._parameters: list[str] = []
        self._groups = 0

    def read(self) -> list[str]:
        can_repeat = False
        while match := _TOKEN.match(self._text, self._position):
            self._position = match.end()
            if match["name"] is not None:
                self._named(match["name"])
                can_repeat = True
            elif match["other"] is not None:
                can_repeat = self._other(match["other"], can_repeat=can_repeat)
            else:
                can_repeat = False
        return self._parameters

    def _named(self, name: str) -> None:
        if name in self._parameters:
            raise ValueError(f"uses :{name} twice")
        self._parameters.append(name)
        if self._text.startswith("(", self._position):
            self._position += 1
            self._group()

    def _other(self, char: str, *, can_repeat: bool) -> bool:
        """Handle one character; tells whether a modifier may follow it."""
        if char == "(":
            self._group()
            self._parameters.append(str(self._groups))
            self._groups += 1
            return True
        if char in "{}":
            raise NotSupportedError("groups text in { }, which the edge cannot match")
        if char in "?*+" and not can_repeat:
            raise ValueError(
                f"has a {char} that follows no parameter or group; write \\{char} for the character itself"
            )
        if char in _IMPOSSIBLE:
            raise ValueError(_IMPOSSIBLE[char])
        return False

    def _group(self) -> None:
        """Read a regular expression up to the `)` that ends it, as path-to-regexp does: `[)]` ends it too."""
        start, depth = self._position, 1
        if self._text.startswith("?", start):
            raise ValueError("has a group that begins with ?; write ((?:a|b)) instead of (?:a|b)")
        while depth:
            if self._position >= len(self._text):
                raise ValueError("has a ( without its )")
            char = self._text[self._position]
            if char == "(" and not self._text.startswith("(?", self._position):
                raise ValueError("has a group inside of a group; write (?:…) for the inner one")
            depth += {"(": 1, ")": -1}.get(char, 0)
            self._position += 2 if char == "\\" else 1
        _check_expression(self._text[start : self._position - 1])


def _check_expression(expression: str) -> None:
    """Be stricter than RE2: the edge refuses its whole configuration for one expression that it cannot read."""
    if not expression:
        raise ValueError("has an empty ( )")
    if _LOOK_AROUND.search("(" + expression) or _BACK_REFERENCE.search(expression):
        raise NotSupportedError(
            f"uses a look-around, a named group or a back-reference in ({expression}), which the edge cannot match"
        )
    if _OTHER_DIALECT.search(_ESCAPED_BACKSLASH.sub("", expression)):
        raise NotSupportedError(
            f"uses an escape or a repetition in ({expression}) that the edge does not know"
        )
    counts = [max(1, *(int(count or 0) for count in pair)) for pair in _COUNT.findall(expression)]
    if math.prod(counts) > _MOST_REPETITIONS:
        raise NotSupportedError(f"repeats more than {_MOST_REPETITIONS} times in ({expression})")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # such as a set inside of a set
            re.compile(expression)
    except (re.error, FutureWarning, RecursionError, OverflowError) as error:
        raise ValueError(
            f"has a regular expression that is wrong: ({expression}): {error}"
        ) from None
