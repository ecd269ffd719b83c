"""Paths with parameters, as Vercel and Next.js write them (path-to-regexp 6): `/old/:slug*`, `/blog/:id(\\d+)`.

A pattern is made of text, named parameters `:name` with an optional group `(regular expression)`, unnamed groups
`(.*)`, and a modifier `? * +` after a parameter or group; `\\` takes one character as it is. The edge matches with
RE2, so look-around and back-references cannot work, and it does not know `{…}`; they are refused here. What is not
refused the edge can translate.
"""

import math
import re
import warnings
from dataclasses import dataclass

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_TOKEN = re.compile(rf"\\(?P<escaped>.)|:(?P<name>{_NAME})|(?P<other>[\s\S])")
_LOOK_AROUND = re.compile(r"\(\?(?:<?[=!]|P?<[^=!]|[^:])")
_BACK_REFERENCE = re.compile(r"\\[1-9]")
_ESCAPED_BACKSLASH = re.compile(r"\\\\")
_OTHER_DIALECT = re.compile(r"\\(?![dDwWsSbB])[A-Za-z0]|[*+?}]\+|\*\*")
_COUNT = re.compile(r"\{(\d{1,6})(?:,(\d{0,6}))?\}")
# A `?` after a name begins the query, unless nothing follows it.
_REFERENCE = re.compile(rf"(?::(?P<name>{_NAME})(?:[*+]|\?\Z)?)|\$(?P<number>[0-9])")
# Scheme, host, port, and all that follows.
WHOLE_URL = re.compile(r"(https?)://([A-Za-z0-9.-]+)(?::([0-9]{1,5}))?((?:[/?].*)?)", re.DOTALL)
_SEGMENT = "[^/]+?"
_MODIFIERS = frozenset("?*+")
_MAX_REPETITIONS = 1000
MAX_PARAMETERS = 9  # RE2 fills in \1 to \9
_MAX_LENGTH = 2048
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
class Parameter:
    """A part of a path that a pattern leaves open.

    Attributes:
        name: of an unnamed group its number among them: `0`, `1`, …
        expression: regular expression of one occurrence; it has no groups of its own.
        modifier: `?` at most one, `*` any number, `+` at least one; empty: exactly one.
    """

    name: str
    expression: str = _SEGMENT
    modifier: str = ""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern that was understood.

    Attributes:
        parts: text as it stands in the path, and parameters.
    """

    text: str
    parts: tuple[str | Parameter, ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names in their order, unnamed groups as `0`, `1`, …"""
        return tuple(part.name for part in self.parts if isinstance(part, Parameter))


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a destination repeats what a parameter of its source took.

    Attributes:
        name: of the parameter.
        written: `:name`, or `$1` for the first unnamed group.
    """

    name: str
    written: str


def parse_pattern(text: str) -> Pattern:
    """Understand `text`.

    Raises:
        ValueError: with what is wrong, as the end of a sentence that begins with the key.
    """
    if not text.startswith("/"):
        raise ValueError("must start with /")
    if len(text) > _MAX_LENGTH:
        raise ValueError(f"has {len(text)} characters; the limit is {_MAX_LENGTH}")
    pattern = Pattern(text, _Reader(text).read())
    if len(pattern.parameters) > MAX_PARAMETERS:
        raise NotSupportedError(f"has more than {MAX_PARAMETERS} parameters and groups")
    return pattern


def parse_destination(text: str) -> tuple[str | Reference, ...]:
    """The text of a destination, and the references in it; a modifier behind one says nothing more."""
    parts: list[str | Reference] = []
    end = 0
    for match in _REFERENCE.finditer(text):
        if match.start() > end:
            parts.append(text[end : match.start()])
        if match["name"] is not None:
            parts.append(Reference(match["name"], f":{match['name']}"))
        else:
            parts.append(Reference(str(int(match["number"]) - 1), match[0]))
        end = match.end()
    return (*parts, text[end:]) if end < len(text) else tuple(parts)


def unknown_parameters(destination: str, source: Pattern) -> tuple[str, ...]:
    """References in `destination`, as they are written, that `source` cannot fill."""
    return tuple(
        part.written
        for part in parse_destination(destination)
        if isinstance(part, Reference) and part.name not in source.parameters
    )


class _Reader:
    """One pass over a pattern."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._parts: list[str | Parameter] = []
        self._names: set[str] = set()
        self._groups = 0

    def read(self) -> tuple[str | Parameter, ...]:
        while match := _TOKEN.match(self._text, self._position):
            self._position = match.end()
            if match["name"] is not None:
                self._named(match["name"])
            elif match["escaped"] is not None:
                self._literal(match["escaped"])
            elif match["other"] == "(":
                self._parameter(str(self._groups), self._group())
                self._groups += 1
            else:
                self._check_character(match["other"])
                self._literal(match["other"])
        return tuple(self._parts)

    def _named(self, name: str) -> None:
        if name in self._names:
            raise ValueError(f"uses :{name} twice")
        self._names.add(name)
        expression = _SEGMENT
        if self._text.startswith("(", self._position):
            self._position += 1
            expression = self._group()
        self._parameter(name, expression)

    def _parameter(self, name: str, expression: str) -> None:
        modifier = self._text[self._position : self._position + 1]
        if modifier not in _MODIFIERS:
            modifier = ""
        self._position += len(modifier)
        self._parts.append(Parameter(name, expression, modifier))

    def _literal(self, char: str) -> None:
        if self._parts and isinstance(self._parts[-1], str):
            self._parts[-1] += char
        else:
            self._parts.append(char)

    def _check_character(self, char: str) -> None:
        if char in "{}":
            raise NotSupportedError("groups text in { }, which the edge cannot match")
        if char in _MODIFIERS:
            raise ValueError(
                f"has a {char} that follows no parameter or group; write \\{char} for the character itself"
            )
        if char in _IMPOSSIBLE:
            raise ValueError(_IMPOSSIBLE[char])

    def _group(self) -> str:
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
        expression = self._text[start : self._position - 1]
        _check_expression(expression)
        return expression


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
    if math.prod(counts) > _MAX_REPETITIONS:
        raise NotSupportedError(f"repeats more than {_MAX_REPETITIONS} times in ({expression})")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # such as a set inside of a set
            re.compile(expression)
    except (re.error, FutureWarning, RecursionError, OverflowError) as error:
        raise ValueError(
            f"has a regular expression that is wrong: ({expression}): {error}"
        ) from None
