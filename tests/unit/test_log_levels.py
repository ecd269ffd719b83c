"""Levels of lines, as loggers write them."""

from typing import get_args

import pytest

from gantry.features.instances.bodies import LevelName, LogBody, line_levels, merged
from gantry.features.instances.levels import Level, LevelReader, level_of


@pytest.mark.parametrize(
    ("line", "level"),
    [
        # pino and bunyan
        ('{"level":30,"time":1,"msg":"ready"}', "info"),
        ('{"level":40,"time":1,"msg":"slow"}', "warn"),
        ('{"level":60,"time":1,"msg":"gone"}', "fatal"),
        ('{"name":"shop","hostname":"a","pid":1,"level":50,"msg":"no","v":0}', "error"),
        ('{"level":35,"msg":"a level of its own"}', "info"),
        # winston, zap, Google's, Elastic's, Python's, Serilog's
        ('{"message":"slow","level":"warn"}', "warn"),
        ('{"severity":"WARNING","message":"slow"}', "warn"),
        ('{"@timestamp":"x","log.level":"error"}', "error"),
        ('{"levelname": "CRITICAL", "message": "gone"}', "fatal"),
        ('{"@t":"x","@l":"Warning"}', "warn"),
        ('{"level":"verbose"}', "debug"),
        ('{"user":{"level":60},"msg":"of a game"}', None),
        ('{"level":true}', None),
        ('{"level":null}', None),
        ('{"level":"chief"}', None),
        ("{not json, ERROR", None),
        ("[" * 100_000, None),
        ('{"a":' * 50_000, None),
        ('{"level":50,"msg":"' + "x" * 70_000 + '"}', None),
        # words
        ("warn: slow", "warn"),
        ("warn  - slow", "warn"),
        ("WARNING:root:slow", "warn"),
        ("INFO:     127.0.0.1:5000 - GET / 200", "info"),
        ("[warn] slow", "warn"),
        ("2026/01/31 09:30:00 [error] 12#0: upstream", "error"),
        ("[Sat Jan 31 09:30:00 2026] [proxy:warn] [pid 1] slow", None),
        ("[2026-01-31 09:30:00 +0000] [12] [CRITICAL] worker timeout", "fatal"),
        ("[09:30:00.000] \x1b[33mWARN\x1b[39m (12): slow", "warn"),
        ("2026-01-31 09:30:00,000 ERROR main failed", "error"),
        ("W, [2026-01-31T09:30:00 #12]  WARN -- : slow", "warn"),
        ("[Nest] 12  - 01/31/2026, 9:30:00 AM   ERROR [Mail] no", "error"),
        ('time=2026-01-31T09:30:00Z level=WARN msg="slow"', "warn"),
        (" \u2a2f Error: no", "error"),
        (" \u26a0 slow", "warn"),
        ("npm ERR! missing script", "error"),
        # an error that nobody caught
        ("Traceback (most recent call last):", "error"),
        ("TypeError: x is not a function", "error"),
        ("java.lang.NullPointerException: no", "error"),
        ("Uncaught Error: no", "error"),
        # nothing of the kind
        ("", None),
        ("ready on :3000", None),
        ("no error was found", None),
        ("https://shop.test/", None),
        ("GET /ERROR/1 HTTP/1.1", None),
        ("/var/log/WARN.txt was read", None),
        ("x" * 200 + " ERROR", None),
    ],
)
def test_a_level_is_recognised_as_loggers_write_it(line: str, level: str | None) -> None:
    assert level_of(line) == level


def test_levels_are_ordered() -> None:
    ordered = sorted(Level, key=lambda level: level.rank)
    assert tuple(level.value for level in ordered) == get_args(LevelName)


def test_what_continues_a_line_has_its_level() -> None:
    reader = LevelReader()
    text = (
        "TypeError: x is not a function\n    at f (/app/a.js:1:2)\n  code: 'E'\n}\nready\n  indented\n"
        'Traceback (most recent call last):\n  File "a.py", line 1\nerrors.UndefinedTable: no\nready\n'
    )
    assert reader.read(text) == ["error"] * 4 + [None] * 2 + ["error"] * 3 + [None]


def test_a_line_that_comes_in_parts_has_the_level_of_its_begin() -> None:
    reader = LevelReader()
    assert reader.read("ready\nWARN half of") == [None, "warn"]
    assert reader.read("") == []
    assert reader.read(" ERROR a line\nready\n") == ["warn", None]


def test_merged_lines_keep_their_levels() -> None:
    first = LogBody(source="a", text="1\n2\n", next_offset=0, levels=line_levels([None, "warn"]))
    second = LogBody(source="b", text="3\n", next_offset=0, levels=line_levels(["error"]))
    found = [(line.text, line.level) for body in merged([first, second]) for line in body.lines()]
    assert found == [("1", None), ("2", "warn"), ("3", "error")]
