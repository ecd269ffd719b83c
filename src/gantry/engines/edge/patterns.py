"""Path patterns as Next.js and Vercel write them (path-to-regexp 6), translated for Envoy's RE2. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gantry.kernel.errors import UserError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MODIFIERS = frozenset("*+?")
_LOOK_AROUND = re.compile(r"\(\?(?!:)")
# RE2 fills in \1 to \9.
_MOST_GROUPS = 9


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern.

    Attributes:
        regex: matches the whole path, without the query.
        names: what each parameter is called; unnamed groups are `0`, `1`, ...
        groups: the number of each parameter's group in `regex`.
        slashed: parameter -> number of the group that holds it together with the slash before it; both are empty
            where an optional parameter is absent.
    """

    regex: str
    names: tuple[str, ...]
    groups: tuple[int, ...]
    slashed: Mapping[str, int]

    def substitution(self, destination: str) -> str:
        """`destination` with `:name` and `$1` replaced by references to the groups, RE2 style (`\\1`).

        Raises:
            UserError: `route.unknown-parameter`.
        """
        return "".join(self._substituted(destination))

    def _substituted(self, destination: str) -> list[str]:
        out: list[str] = []
        position = 0
        while position < len(destination):
            here = destination[position]
            match = _NAME.match(destination, position + 1) if here == ":" else None
            if match is not None:
                if out and out[-1] == "/" and match[0] in self.slashed:
                    out[-1] = f"\\{self.slashed[match[0]]}"  # `/old` becomes `/new`, not `/new/`
                else:
                    out.append(self._reference(match[0]))
                position = _after_modifier(destination, match.end())
            elif here == "$" and destination[position + 1 : position + 2].isdigit():
                out.append(self._reference(str(int(destination[position + 1]) - 1)))
                position += 2
            else:
                out.append("\\\\" if here == "\\" else here)
                position += 1
        return out

    def _reference(self, name: str) -> str:
        if name not in self.names:
            raise UserError(
                "route.unknown-parameter",
                f"the destination uses :{name}, which the source does not have",
                hint="give it the same name in source and destination, such as /old/:slug",
            )
        return f"\\{self.groups[self.names.index(name)]}"


def compile_pattern(source: str) -> Pattern:
    """Translate a source.

    `:name` is one segment; `:name*`, `:name+`, `:name?` any number, at least one, at most one; `:name(re)` and
    `(re)` are regular expressions of their own.

    Raises:
        UserError: `route.bad-pattern`.
    """
    if not source.startswith("/"):
        raise _bad(source, "it must begin with /")
    reader = _Reader(source)
    regex = reader.read()
    try:
        compiled = re.compile(regex)
    except re.error as error:
        raise _bad(source, str(error)) from error
    if _LOOK_AROUND.search(regex):
        raise _bad(source, "the edge knows no look-around and no named group")
    if compiled.groups != reader.group_count:
        raise _bad(source, "write groups inside a group as (?:...)")
    return Pattern(regex, tuple(reader.names), tuple(reader.groups), reader.slashed)


class _Reader:
    """One pass over a source."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._position = 0
        self.names: list[str] = []
        self.groups: list[int] = []
        self.slashed: dict[str, int] = {}
        self.group_count = 0

    def read(self) -> str:
        out: list[str] = []
        while self._position < len(self._source):
            here = self._source[self._position]
            if here in ":(":
                self._group(here, out)
            elif here == "\\" and self._position + 1 < len(self._source):
                out.append(re.escape(self._source[self._position + 1]))
                self._position += 2
            else:
                out.append(re.escape(here))
                self._position += 1
        # A trailing slash makes no difference, as in Next.js.
        return "".join(out) + ("" if out and out[-1].endswith("/") else "/?")

    def _group(self, here: str, out: list[str]) -> None:
        name = str(sum(known.isdigit() for known in self.names))
        inner = "[^/]+?"
        if here == ":":
            match = _NAME.match(self._source, self._position + 1)
            if match is None:
                raise _bad(self._source, "a colon needs a name, such as :slug")
            name, self._position = match[0], match.end()
        if self._position < len(self._source) and self._source[self._position] == "(":
            inner = self._parentheses()
        modifier = self._modifier()
        prefix = out.pop() if modifier and out and out[-1] == "/" else ""
        # A group around the slash too, while there are numbers left for the parameters that follow.
        optional = bool(prefix) and modifier in "*?"
        whole = optional and self.group_count + 2 + self._parameters_left() <= _MOST_GROUPS
        if whole:
            self.group_count += 1
            self.slashed[name] = self.group_count
        self.group_count += 1
        self.names.append(name)
        self.groups.append(self.group_count)
        out.append(_quantified(prefix, inner, modifier, whole=whole))

    def _parameters_left(self) -> int:
        """At most so many: each begins with one of these characters."""
        rest = self._source[self._position :]
        return rest.count(":") + rest.count("(")

    def _modifier(self) -> str:
        if self._position < len(self._source) and self._source[self._position] in _MODIFIERS:
            self._position += 1
            return self._source[self._position - 1]
        return ""

    def _parentheses(self) -> str:
        depth, start = 0, self._position
        while self._position < len(self._source):
            here = self._source[self._position]
            self._position += 2 if here == "\\" else 1
            depth += {"(": 1, ")": -1}.get(here, 0)
            if depth == 0:
                return self._source[start + 1 : self._position - 1]
        raise _bad(self._source, "a parenthesis is not closed")


def _after_modifier(destination: str, position: int) -> int:
    """Where a destination goes on after a parameter; a `?` begins the query unless nothing follows it."""
    rest = destination[position:]
    return position + (rest == "?" or rest[:1] in ("*", "+"))


def _quantified(prefix: str, inner: str, modifier: str, *, whole: bool) -> str:
    group = "(" if whole else "(?:"
    match modifier:
        case "":
            return f"{prefix}({inner})"
        case "?":
            return f"{group}{prefix}({inner}))?"
        case _:
            many = f"({inner}(?:{prefix or '/'}{inner})*)"
            return f"{group}{prefix}{many})" + ("?" if modifier == "*" else "")


def _bad(source: str, why: str) -> UserError:
    return UserError(
        "route.bad-pattern",
        f"{source!r} is not a path pattern: {why}",
        hint="patterns look like /old/:slug, /docs/:path* or /(.*)",
    )
