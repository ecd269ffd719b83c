"""Path patterns of the manifest, translated for Envoy's RE2. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gantry.config.patterns import (
    MAX_PARAMETERS,
    Parameter,
    Reference,
    parse_destination,
    parse_pattern,
)
from gantry.kernel.errors import UserError


@dataclass(frozen=True, slots=True)
class PathRegex:
    """A pattern as a regular expression.

    Attributes:
        regex: matches the whole path, without the query.
        groups: parameter -> number of its group in `regex`.
        slashed: parameter -> number of the group that holds it together with the slash before it; both are empty
            where an optional parameter is absent.
    """

    regex: str
    groups: Mapping[str, int]
    slashed: Mapping[str, int]

    @property
    def last_group(self) -> int:
        """Number of the last group in `regex`; 0 without any."""
        return len(self.groups) + len(self.slashed)

    def substitution(self, destination: str) -> str:
        """`destination` with `:name` and `$1` replaced by references to the groups, RE2 style (`\\1`).

        Raises:
            UserError: `route.unknown-parameter`.
        """
        out = ""
        for part in parse_destination(destination):
            if isinstance(part, str):
                out += part.replace("\\", "\\\\")
            elif part.name not in self.groups:
                raise _unknown(part)
            elif out.endswith("/") and part.name in self.slashed:
                # `/old` becomes `/new`, not `/new/`.
                out = f"{out.removesuffix('/')}\\{self.slashed[part.name]}"
            else:
                out += f"\\{self.groups[part.name]}"
        return out


def compile_pattern(source: str, *, spare: bool = False) -> PathRegex:
    """Translate a source: `parse_pattern` says what there is.

    Parameters:
        spare: leave a number for another group behind the pattern's own.

    Raises:
        UserError: `route.bad-pattern`.
    """
    try:
        pattern = parse_pattern(source)
    except ValueError as error:
        raise UserError(
            "route.bad-pattern",
            f"{source!r} is not a path pattern: it {error}",
            hint="patterns look like /old/:slug, /docs/:path* or /(.*)",
        ) from error
    return _translated(pattern.parts, len(pattern.parameters), MAX_PARAMETERS - spare)


def _translated(parts: Iterable[str | Parameter], parameters: int, limit: int) -> PathRegex:
    regex, text = "", ""
    groups: dict[str, int] = {}
    slashed: dict[str, int] = {}
    for part in parts:
        if isinstance(part, str):
            regex, text = regex + re.escape(part), part
            continue
        prefix = "/" if part.modifier and text.endswith("/") else ""
        regex, text = regex.removesuffix(prefix), ""
        # A group around the slash too, while there are numbers left for this parameter and those that follow.
        used, waiting = len(groups) + len(slashed), parameters - len(groups)
        whole = bool(prefix) and part.modifier in "*?" and used + 1 + waiting <= limit
        if whole:
            slashed[part.name] = used + 1
        groups[part.name] = used + whole + 1
        regex += _quantified(prefix, part, whole=whole)
    # A trailing slash makes no difference, as in Next.js.
    return PathRegex(regex if text.endswith("/") else f"{regex}/?", groups, slashed)


def _quantified(prefix: str, parameter: Parameter, *, whole: bool) -> str:
    group, inner = "(" if whole else "(?:", parameter.expression
    match parameter.modifier:
        case "":
            return f"({inner})"
        case "?":
            return f"{group}{prefix}({inner}))?"
        case modifier:
            inner = f"(?:{inner})" if "|" in inner else inner
            many = f"({inner}(?:{prefix or '/'}{inner})*)"
            return f"{group}{prefix}{many})" + ("?" if modifier == "*" else "")


def _unknown(reference: Reference) -> UserError:
    return UserError(
        "route.unknown-parameter",
        f"the destination uses {reference.written}, which the source does not have",
        hint="give it the same name in source and destination, such as /old/:slug",
    )
