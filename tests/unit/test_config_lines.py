"""Where keys stand: the TOML and JSON line readers against documents whose lines are known."""

import json
import tomllib
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, strategies as st

from gantry.config.documents import read_toml
from gantry.config.faults import ManifestError
from gantry.config.json_lines import json_lines
from gantry.config.toml_lines import KeyPath, key_lines

TRAPS = [
    "'# no comment'",
    '"a = 1 # no comment \\" ] } ,"',
    "'''\nkey = 1\n[table]\n''''",
    '"""\nkey = 1\\\n  [[list]]\n\\""""""',
    '""',
    "''",
    '""""""',
    "1979-05-27 07:32:00",
    "1979-05-27T07:32:00Z",
    "-1_000.5e3",
    "inf",
    "true",
    "0xDEAD",
]
NAMES = ["a", "b-c", "d_1", "2", "key", '"x.y"', "'z]'", '"q # \\u00e9 \\" ="', "\"''\"", '""']


@dataclass
class Writer:
    """Writes a document, and notes beside it on which line each key was put."""

    text: str = ""
    lines: dict[KeyPath, int] = field(default_factory=dict)

    @property
    def line(self) -> int:
        return self.text.count("\n") + 1

    def put(self, text: str) -> None:
        self.text += text

    def note(self, path: KeyPath, *, own: bool = True) -> None:
        if own:
            self.lines[path] = self.line
        else:
            self.lines.setdefault(path, self.line)


def name_of(key: str) -> str:
    return str(tomllib.loads(f"k = {key}")["k"]) if key[0] in "\"'" else key


@st.composite
def documents(draw: st.DrawFn) -> Writer:
    """Any valid document, made of every construct that TOML has."""
    writer = Writer()
    for _ in range(draw(st.integers(0, 3))):
        draw_filler(draw, writer)
    used: set[str] = set()
    draw_assignments(draw, writer, (), used)
    for _ in range(draw(st.integers(0, 4))):
        key = draw(st.sampled_from(NAMES))
        if name_of(key) in used:
            continue
        used.add(name_of(key))
        if draw(st.booleans()):
            draw_list_of_tables(draw, writer, key)
        else:
            draw_table(draw, writer, key)
    return writer


def draw_filler(draw: st.DrawFn, writer: Writer) -> None:
    writer.put(draw(st.sampled_from(["\n", "# [not] = 'a table'\n", "  \t\n", "\r\n", "#\n"])))


def draw_end(draw: st.DrawFn, writer: Writer) -> None:
    writer.put(draw(st.sampled_from(["\n", "  # = [ { \" '''\n", "\t\r\n", "\n\n"])))


def draw_table(draw: st.DrawFn, writer: Writer, key: str) -> None:
    writer.put(draw(st.sampled_from(["", "  "])) + "[")
    path: KeyPath = (name_of(key),)
    writer.note(path, own=True)
    writer.put(key)
    if draw(st.booleans()):
        child = draw(st.sampled_from(NAMES))
        writer.put(draw(st.sampled_from([".", " . "])) + child)
        path = (*path, name_of(child))
        writer.note(path)
    writer.put("]")
    draw_end(draw, writer)
    draw_assignments(draw, writer, path, set())


def draw_list_of_tables(draw: st.DrawFn, writer: Writer, key: str) -> None:
    name = name_of(key)
    for index in range(draw(st.integers(1, 3))):
        writer.note((name,), own=index == 0)
        writer.note((name, index))
        writer.put(f"[[{key}]]")
        draw_end(draw, writer)
        used: set[str] = set()
        draw_assignments(draw, writer, (name, index), used)
        if "sub" not in used and draw(st.booleans()):
            writer.note((name, index, "sub"))
            writer.put(f"[{key}.sub]\n")
            draw_assignments(draw, writer, (name, index, "sub"), set())


def draw_assignments(draw: st.DrawFn, writer: Writer, table: KeyPath, used: set[str]) -> None:
    for _ in range(draw(st.integers(0, 3))):
        draw_filler(draw, writer)
        key = draw(st.sampled_from(NAMES))
        if name_of(key) not in used:
            used.add(name_of(key))
            writer.put(draw(st.sampled_from(["", "  ", "\t"])))
            draw_assignment(draw, writer, table, key, depth=3)
            draw_end(draw, writer)


def draw_assignment(
    draw: st.DrawFn, writer: Writer, table: KeyPath, key: str, *, depth: int
) -> None:
    path = (*table, name_of(key))
    writer.note(path)
    writer.put(key)
    if draw(st.booleans()):
        child = draw(st.sampled_from(NAMES))
        path = (*path, name_of(child))
        writer.note(path)
        writer.put(draw(st.sampled_from([".", " .\t"])) + child)
    writer.put(draw(st.sampled_from(["=", " = ", "\t=  "])))
    draw_value(draw, writer, path, depth=depth)


def draw_value(draw: st.DrawFn, writer: Writer, path: KeyPath, *, depth: int) -> None:
    kind = draw(st.sampled_from(["scalar", "list", "table"])) if depth else "scalar"
    if kind == "scalar":
        writer.put(draw(st.sampled_from(TRAPS)))
    elif kind == "list":
        draw_list(draw, writer, path, depth=depth)
    else:
        draw_inline_table(draw, writer, path, depth=depth)


def draw_list(draw: st.DrawFn, writer: Writer, path: KeyPath, *, depth: int) -> None:
    gap = st.sampled_from(["", " ", "\n", " # ] ,\n  "])
    count = draw(st.integers(0, 3))
    writer.put("[" + draw(gap))
    for index in range(count):
        writer.note((*path, index))
        draw_value(draw, writer, (*path, index), depth=depth - 1)
        last = index == count - 1
        writer.put(draw(gap) + ("" if last and draw(st.booleans()) else ",") + draw(gap))
    writer.put("]")


def draw_inline_table(draw: st.DrawFn, writer: Writer, path: KeyPath, *, depth: int) -> None:
    keys = draw(st.lists(st.sampled_from(NAMES), max_size=3, unique_by=name_of))
    writer.put("{ ")
    for index, key in enumerate(keys):
        writer.put(" , " if index else "")
        draw_assignment(draw, writer, path, key, depth=depth - 1)
    writer.put(" }")


def paths_of(data: Any, path: KeyPath = ()) -> set[KeyPath]:
    found = {path} if path else set()
    items = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if isinstance(data, list)
        else ()
    )
    for key, value in items:
        found |= paths_of(value, (*path, key))
    return found


@given(documents())
def test_every_key_of_a_toml_document_is_found_on_its_line(written: Writer) -> None:
    data = tomllib.loads(written.text)
    assert paths_of(data) == set(written.lines)
    assert key_lines(written.text) == written.lines


@given(st.text(alphabet="ab.=[]{}\"'#,\n \t1\\_-", max_size=60))
def test_whatever_tomllib_reads_is_read_with_the_same_keys(text: str) -> None:
    try:
        data, source = read_toml(text, "x.toml")
    except ManifestError:
        return
    assert set(source.lines) == paths_of(data)
    assert all(1 <= line <= text.count("\n") + 1 for line in source.lines.values())


def test_a_table_is_found_at_its_own_header() -> None:
    text = "[a.b]\nc.d = 1\n[a]\ne = [\n  { f = 1 },\n  2,\n]\n"
    assert key_lines(text) == {
        ("a",): 3,
        ("a", "b"): 1,
        ("a", "b", "c"): 2,
        ("a", "b", "c", "d"): 2,
        ("a", "e"): 4,
        ("a", "e", 0): 5,
        ("a", "e", 0, "f"): 5,
        ("a", "e", 1): 6,
    }


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just('{"a": [1,'),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON_VALUES, st.sampled_from([None, 1, 4]))
def test_every_key_of_a_json_document_is_found(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    lines = json_lines(text)
    assert set(lines) == paths_of(value)
    rows = text.split("\n")
    for path, line in lines.items():
        if isinstance(path[-1], str):
            assert json.dumps(path[-1]) + ":" in rows[line - 1]
