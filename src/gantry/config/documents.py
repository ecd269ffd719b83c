"""Files as plain data with lines: TOML and JSON, bounded in size and depth."""

import ast
import json
import re
import tomllib
from typing import Any

from gantry.config.faults import SYNTAX, TOO_LARGE, Fault, ManifestError, Source
from gantry.config.json_lines import json_lines
from gantry.config.toml_lines import key_lines

MAX_BYTES = 256 * 1024
DEEPEST = 12
MAX_KEY_PARTS = 64
# `tomllib` needs time in the square of a dotted key's parts: 120 KB of "a.a.a…" take a minute and a half.
_LONG_KEY = re.compile(
    r"""(?:^|[\[{,])[ \t]*+(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+)"""
    rf"{{{MAX_KEY_PARTS}}}",
    re.MULTILINE,
)
_CLEARER = {
    "Cannot overwrite a value": "a key or table of this name is there already",
    "Invalid statement": "neither a table, nor key = value, nor a comment",
    "Invalid value": "is not a value; texts stand in quotes",
}
_ABOUT_A_TABLE = {
    r"Cannot declare (\(.+\)) twice": "[{}] is there already; keep one of the two",
    r"Cannot mutate immutable namespace (\(.+\))": "{} is written as a whole already; add to it there",
    r"Cannot redefine namespace (\(.+\))": "{} is there already",
}
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def text_of(content: str | bytes, file: str) -> str:
    """`content` as text.

    Raises:
        ManifestError: it is too large or not UTF-8.
    """
    size = len(content) if isinstance(content, bytes) else len(content.encode(errors="replace"))
    if size > MAX_BYTES:
        message = f"has {size} bytes; the limit is {MAX_BYTES}"
        raise ManifestError([Fault(file, 0, "", message, code=TOO_LARGE)])
    if isinstance(content, str):
        return content.removeprefix("\ufeff")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _syntax(file, line, "is not UTF-8 text") from None


def read_toml(content: str | bytes, file: str) -> tuple[dict[str, Any], Source]:
    """The data of a TOML document and where its keys stand.

    Raises:
        ManifestError: syntax, size, depth.
    """
    text = text_of(content, file)
    if long_key := _LONG_KEY.search(text):
        line = text.count("\n", 0, long_key.start()) + 1
        raise _syntax(file, line, f"has a key of more than {MAX_KEY_PARTS} parts")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _toml_fault(file, text, str(error)) from None
    except RecursionError:
        raise _too_deep(file) from None
    except ValueError:  # the only one left: Python reads no number of more than 4300 digits
        raise _syntax(file, 0, "has a number with thousands of digits") from None
    if depth_exceeds(data, DEEPEST):
        raise _too_deep(file)
    return data, Source(file, key_lines(text))


def read_json(content: str | bytes, file: str) -> tuple[Any, Source]:
    """The data of a JSON document and where its keys stand.

    Raises:
        ManifestError: syntax, size, depth.
    """
    text = text_of(content, file)
    try:
        data = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise _syntax(file, error.lineno, error.msg[:1].lower() + error.msg[1:]) from None
    except RecursionError:
        raise _too_deep(file) from None
    except ValueError as error:
        raise _syntax(file, 0, str(error).partition(";")[0]) from None
    if depth_exceeds(data, DEEPEST):
        raise _too_deep(file)
    if "\\u" in text and has_surrogate(data):
        raise _syntax(file, 0, "has half of a surrogate pair in a text")
    return data, Source(file, json_lines(text))


def depth_exceeds(data: object, limit: int) -> bool:
    """Whether tables and lists in `data` are nested deeper than `limit`."""
    level: list[object] = [data]
    for _ in range(limit):
        level = [item for outer in level for item in _children(outer)]
        if not level:
            return False
    return any(isinstance(item, dict | list) for item in level)


def has_surrogate(data: object) -> bool:
    """Whether any text in `data` cannot be written as UTF-8."""
    return re.search("[\ud800-\udfff]", json.dumps(data, ensure_ascii=False)) is not None


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _toml_fault(file: str, text: str, message: str) -> ManifestError:
    place = _TOML_PLACE.search(message)
    line = int(place[1]) if place and place[1] else text.rstrip("\n").count("\n") + 1
    reason = message[: place.start()] if place else message
    reason = _CLEARER.get(reason, reason)
    for words, clearer in _ABOUT_A_TABLE.items():
        if about := re.fullmatch(words, reason):
            # Python's parser names a table by the tuple of its keys.
            reason = clearer.format(".".join(ast.literal_eval(about[1])))
    return _syntax(file, line, reason[:1].lower() + reason[1:])


def _syntax(file: str, line: int, message: str) -> ManifestError:
    return ManifestError([Fault(file, line, "", message, code=SYNTAX)])


def _too_deep(file: str) -> ManifestError:
    return _syntax(file, 0, f"has tables or lists inside each other more than {DEEPEST} deep")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
