"""On which line each key of a JSON document stands; `json` does not tell."""

import json
import re

from gantry.config.toml_lines import KeyPath

_TOKEN = re.compile(r'\n|[{}\[\],:]|"(?:\\.|[^"\\])*"|[^\s{}\[\],:"]++')


def json_lines(text: str) -> dict[KeyPath, int]:
    """Path of every key and list item -> the line it stands on, from 1.

    Parameters:
        text: a valid document; of a key that is there twice the last one counts, as in its data.
    """
    lines: dict[KeyPath, int] = {}
    path: list[str | int] = []  # the key or position that is read in each table or list around
    line, wants_key = 1, False
    for match in _TOKEN.finditer(text):
        mark = match[0]
        if mark == "\n":
            line += 1
            continue
        if wants_key and mark[0] == '"':
            path[-1] = json.loads(mark)
            lines[tuple(path)] = line
            wants_key = False
            continue
        if mark in "]}":
            path.pop()
            wants_key = False
            continue
        if mark == ",":
            wants_key = _next_item(path)
            continue
        if mark == ":":
            continue
        if path and isinstance(path[-1], int):
            lines[tuple(path)] = line
        if mark in "[{":
            path.append("" if mark == "{" else 0)
            wants_key = mark == "{"
    return lines


def _next_item(path: list[str | int]) -> bool:
    """Go on behind a comma; tells whether a key comes next."""
    last = path[-1]
    if isinstance(last, int):
        path[-1] = last + 1
        return False
    return True
