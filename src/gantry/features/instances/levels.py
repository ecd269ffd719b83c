"""How urgent a line of a log is, as far as the line says so itself.

Standard output and errors of a program are one log, in the order in which it wrote them: where a line comes from says
nothing. What is recognised is what loggers write by themselves; the table in docs/rooms/instances.md shows it.
"""

import json
import re
from dataclasses import dataclass, field
from enum import StrEnum


class Level(StrEnum):
    """Levels, from the least urgent to the most; each takes in those after it."""

    TRACE = "trace"
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"
    FATAL = "fatal"

    @property
    def rank(self) -> int:
        """Higher is more urgent."""
        return _RANKS[self]


_RANKS = {level: rank for rank, level in enumerate(Level)}
# A name that loggers use -> level.
_NAMES = {
    **{level.value: level for level in Level},
    "silly": Level.TRACE, "finest": Level.TRACE,
    "dbg": Level.DEBUG, "verbose": Level.DEBUG,
    "information": Level.INFO, "log": Level.INFO, "notice": Level.INFO, "http": Level.INFO,
    "warning": Level.WARN,
    "err": Level.ERROR, "severe": Level.ERROR,
    "critical": Level.FATAL, "crit": Level.FATAL, "alert": Level.FATAL, "emerg": Level.FATAL,
    "emergency": Level.FATAL, "panic": Level.FATAL,
}  # fmt: skip
_KEYS = ("level", "severity", "log.level", "levelname", "lvl", "loglevel", "log_level", "@l")
# Levels of pino and bunyan are numbers: 10, 20 ... 60.
_NUMBERS = (
    (60, Level.FATAL), (50, Level.ERROR), (40, Level.WARN), (30, Level.INFO), (20, Level.DEBUG), (0, Level.TRACE),
)  # fmt: skip
# What is longer is no line of a logger that tells its level; of texts only the head does.
_MAX_JSON_CHARACTERS = 65_536
_HEAD_CHARACTERS = 160
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_WORDS = "|".join(sorted(_NAMES, key=len, reverse=True))
_SYMBOLS = {"⨯": Level.ERROR, "✖": Level.ERROR, "⚠": Level.WARN}  # of Next.js and its kin
_AT_THE_HEAD = re.compile(
    rf"(?i:level=\"?(?P<pair>{_WORDS})\b)"  # logfmt, slog
    rf"|(?i:\[\s*(?P<bracket>{_WORDS})\s*[\]:])"  # [warn]; [warn:proxy]
    rf"|^\s*(?i:(?P<first>{_WORDS})\s*(?::(?!//)|\s-\s))"  # winston, uvicorn, Python: `warn: `, `WARNING:root:`
    rf"|(?<![\w./=\"'-])(?P<capitals>{_WORDS.upper()})(?![\w./=\"'-])"  # 2026-01-31 09:30 WARN main
)
_TRACE = "Traceback (most recent call last)"
# What a runtime prints of an error that nobody caught.
_UNCAUGHT = re.compile(
    r"^(?:Uncaught |Unhandled )?(?:Traceback \(most recent call last\)|[\w.$]*(?:Error|Exception)\b(?: \[\w+\])?:)"
    r"|^npm ERR!|^panic: "
)
# Of an error's trace, or of what was printed as several lines: it goes with the line before.
_CONTINUES = re.compile(r"^(?:\s+\S|[)\]}]+[,;]?\s*$|Caused by: |\[cause\]: )")


def level_of(line: str) -> Level | None:
    """The level that a line tells; `None` where it tells none."""
    text = _COLOUR.sub("", line[:_MAX_JSON_CHARACTERS])
    if text.startswith("{"):
        return _of_json(text) if len(line) <= _MAX_JSON_CHARACTERS else None
    head = text[:_HEAD_CHARACTERS]
    if (first := head.lstrip()[:1]) in _SYMBOLS:
        return _SYMBOLS[first]
    if _UNCAUGHT.match(head):
        return Level.ERROR
    found = _AT_THE_HEAD.search(head)
    return _NAMES[found[found.lastgroup or 0].lower()] if found is not None else None


def _of_json(text: str) -> Level | None:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    for key in _KEYS:
        value = record.get(key)
        if isinstance(value, str):
            return _NAMES.get(value.strip().lower())
        if isinstance(value, int | float) and not isinstance(value, bool):
            return next((level for least, level in _NUMBERS if value >= least), None)
    return None


@dataclass(slots=True)
class LevelReader:
    """Levels of the lines of a log, read on from part to part."""

    _last: Level | None = field(default=None, init=False)
    _is_open: bool = field(default=False, init=False)
    _in_trace: bool = field(default=False, init=False)

    def read(self, text: str) -> list[Level | None]:
        """A level for each line of the log's next part; one for what goes on a line that had begun."""
        found: list[Level | None] = []
        for line in text.removesuffix("\n").split("\n") if text else ():
            if not self._goes_on(line):
                self._last = level_of(line)
            found.append(self._last)
        if text:
            self._is_open = not text.endswith("\n")
        return found

    def _goes_on(self, line: str) -> bool:
        """Whether it has the level of the line before."""
        was_open, self._is_open = self._is_open, False
        if was_open or (self._last is not None and _CONTINUES.match(line)):
            return True
        # The error itself stands below its trace.
        was_trace, self._in_trace = self._in_trace, line.startswith(_TRACE)
        return was_trace and not self._in_trace
