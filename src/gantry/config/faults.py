"""What can be wrong with a project's files, and the one report that says all of it."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gantry.config.toml_lines import KeyPath
from gantry.kernel.errors import UserError

SYNTAX: Final = "manifest.syntax"
TOO_LARGE: Final = "manifest.too-large"
UNKNOWN_KEY: Final = "manifest.unknown-key"
MISSING_KEY: Final = "manifest.missing-key"
WRONG_TYPE: Final = "manifest.wrong-type"
BAD_VALUE: Final = "manifest.bad-value"
IMPOSSIBLE: Final = "manifest.impossible"
NOT_SUPPORTED: Final = "manifest.not-supported"

_MAX_SHOWN = 50
_MAX_KEY = 80
_MAX_GUESSED = 64
_CLOSE_ENOUGH = 0.6
_SHORTEST_BEGINNING = 3


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        line: from 1; 0 when the file as a whole is meant.
        key: as it is written in the file, dotted; empty when no key is meant.
        suggestion: what was probably meant; empty when there is no good guess.
    """

    file: str
    line: int
    key: str
    message: str
    suggestion: str = ""
    code: str = BAD_VALUE

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        # A table stands as it is written in the file.
        meant = self.suggestion if self.suggestion.startswith("[") else repr(self.suggestion)
        guess = f"; did you mean {meant}?" if self.suggestion else ""
        return ": ".join(part for part in (place, self.key, self.message + guess) if part)


class ManifestError(UserError):
    """The project's files cannot be used; `faults` holds everything that is wrong with them, in order."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(set(faults)))
        assert self.faults, "a report without a fault"
        first = self.faults[0]
        super().__init__(
            "manifest.invalid",
            "\n".join(self._sentences()),
            hint="fix the lines above, then check again with: gantry plan",
            where=f"{first.file}:{first.line}" if first.line else first.file,
        )

    def _sentences(self) -> list[str]:
        lines = [str(fault) for fault in self.faults[:_MAX_SHOWN]]
        more = len(self.faults) - len(lines)
        return [*lines, f"and {more} more"] if more else lines


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault that does not know its line yet. `path` is where it is in the data."""

    path: KeyPath
    message: str
    suggestion: str = ""
    code: str = IMPOSSIBLE


@dataclass(frozen=True, slots=True)
class Source:
    """A file that faults are found in, and where its keys stand."""

    file: str
    lines: dict[KeyPath, int] = field(repr=False)

    def fault(self, problem: Problem) -> Fault:
        """`problem` with the line of its key, or of the nearest table around it."""
        return Fault(
            self.file,
            self.line(problem.path),
            dotted(problem.path),
            problem.message,
            problem.suggestion,
            problem.code,
        )

    def line(self, path: KeyPath) -> int:
        """The line of `path` or of the nearest table around it; 1 when there is none."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 1


def dotted(path: KeyPath) -> str:
    """`processes.web.smoke[0]`; parts that are no bare keys stand in quotes."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        bare = bool(part) and all(
            char.isascii() and (char.isalnum() or char in "-_") for char in part
        )
        text += ("." if text else "") + (part if bare else _quoted(part))
    return text if len(text) <= _MAX_KEY else text[: _MAX_KEY - 1] + "…"


def nearest(word: str, words: Sequence[str]) -> str:
    """The one of `words` that `word` probably means; empty when none is close."""
    if len(word) > _MAX_GUESSED:
        return ""
    begun = [
        other for other in words if len(word) >= _SHORTEST_BEGINNING and other.startswith(word)
    ]
    if len(begun) == 1:
        return begun[0]  # "prod": too short for the measure of likeness
    found = difflib.get_close_matches(word, words, n=1, cutoff=_CLOSE_ENOUGH)
    return found[0] if found else ""


def listed(words: Sequence[Any]) -> str:
    """`'skip', 'queue' or 'allow'`."""
    texts = [repr(word) for word in words]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def _quoted(part: str) -> str:
    return '"' + part.encode("unicode_escape").decode().replace('"', '\\"') + '"'
