"""Texts: commands that they name can be typed as they stand, and a number has the noun that fits it.

Read are all strings of the source, the console's pages and scripts, and so the hint of every error.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import click
import pytest

import gantry
from gantry.cli import codes
from gantry.cli.main import PROGRAM, SECTIONS, build_cli
from gantry.kernel.units import counted

SRC = Path(gantry.__file__).parent
FILES = tuple(sorted(file for suffix in ("py", "html", "js") for file in SRC.rglob(f"*.{suffix}")))
# What an f-string puts in, as somebody may type it.
FILLED = ("production", "1", "web=1", "/", "viewer", "https://gantry.example.com")
_COMMAND = re.compile(r"(?<![\w/.@-])gantry(?= --?[a-z]| [a-z])")
# Where a command ends and a sentence, another command, or markup goes on.
_END = re.compile(r"\n|&&|[|;()`<>“”]|(?<=\S)[\"']|[,.:](?=\s|$)|\s{2,}|\bgantry (?=[a-z-])|\[/\]")


@cache
def cli() -> click.Group:
    """The whole tree, every command loaded."""
    found = build_cli()
    for section in SECTIONS.values():
        for name in section:
            found.load(name)
    return found


def text_of(node: ast.expr) -> str:
    """A string, `…` where something is put in."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(map(text_of, values))
        case _:
            return "…"


def strings(file: Path) -> Iterator[str]:
    """Every text of a file that somebody may read: of Python its strings, of a page its lines."""
    if file.suffix != ".py":
        yield re.sub(r"\{\{.*?\}\}", "…", file.read_text())
        return
    tree = ast.parse(file.read_text())
    # What a file says of itself is read by those who know the commands' groups.
    tree.body = tree.body[1:] if ast.get_docstring(tree) else tree.body
    parts = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in parts:
            yield re.sub(r"[ \t]*\n[ \t]*", "\n", text_of(node))


def named(text: str) -> Iterator[str]:
    """What stands behind `gantry`, wherever a command is named."""
    for match in _COMMAND.finditer(text):
        yield _END.split(text[match.end() + 1 :], maxsplit=1)[0].strip()


def fault(line: str, *, whole: bool) -> str:
    """Why a command line cannot be typed; empty when it can. A sentence may go on behind it.

    Parameters:
        whole: with its arguments; else it may be the mere name of a command.
    """
    lines = {line.replace("…", filled) for filled in FILLED}
    faults = [_parse(typed.split()) for typed in sorted(lines)]
    missing = faults[0].startswith("Missing argument") and not whole
    return "" if missing or "" in faults else faults[0]


def advice(file: Path) -> Iterator[str]:
    """What a file tells people to type: hints of errors, examples of commands, boxes of the console."""
    if file.suffix != ".py":
        yield from re.findall(r"ui\.command\(\s*[\"'](.*?)[\"']\s*\)", file.read_text())
        return
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call):
            continue
        yield from (text_of(word.value) for word in node.keywords if word.arg in ("hint", "fix"))
        if isinstance(node.func, ast.Name) and node.func.id == "command":
            yield from (text_of(pair.elts[1]) for pair in node.args if isinstance(pair, ast.Tuple))


def _parse(words: list[str]) -> str:
    command: click.Command = cli()
    context = click.Context(command, info_name=PROGRAM)
    if words[0].startswith("-"):
        return _arguments(command, words[:1], context)
    while isinstance(command, click.Group):
        below = command.get_command(context, words[0]) if words else None
        if below is None:
            found = "" if command.invoke_without_command else f"no command {words[:1]}"
            return found or _arguments(command, [word for word in words if word[0] == "-"], context)
        command, words = below, words[1:]
        context = click.Context(command, info_name=command.name, parent=context)
    return _arguments(command, words, context)


def _arguments(command: click.Command, words: list[str], context: click.Context) -> str:
    try:
        command.make_context(command.name, words, parent=context.parent)
    except click.exceptions.Exit:
        return ""  # --help
    except click.UsageError as error:
        # The sentence that goes on, or somebody's file.
        found = error.format_message()
        return "" if re.search("unexpected extra argument|does not exist", found) else found
    return ""


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SRC)))
def test_commands_that_texts_name_can_be_typed(file: Path) -> None:
    faults = {
        f"gantry {line}": found
        for text in strings(file)
        for line in named(text)
        if (found := fault(line, whole=False))
    }
    faults |= {
        f"gantry {line}": found
        for text in advice(file)
        for line in named(text)
        if (found := fault(line, whole=True))
    }
    assert not faults


def test_advice_is_found() -> None:
    found = [line for file in FILES for line in advice(file)]
    assert len(found) > 300
    assert "gantry promote --detach" in " ".join(found)


@pytest.mark.parametrize(
    ("line", "good"),
    [
        ("deploy --to …", True),
        ("rollback --release …", True),
        ("status shows the last one", True),
        ("runs lists them", True),
        ("crons lists them", False),
        ("deploi", False),
        ("deploy --too staging", False),
        ("rollback --release", False),
        ("logs --tail many", False),
        ("deploy ~/src/shop", True),
        ("env unset", False),
        ("settings set bind 0.0.0.0", True),
        ("--help", True),
    ],
)
def test_faults_are_found(line: str, good: bool) -> None:
    assert (fault(line, whole=True) == "") is good


def test_a_command_may_be_named_without_its_arguments_where_nobody_is_told_to_type_it() -> None:
    assert fault("env unset", whole=False) == ""
    assert fault("env unset --all", whole=False) != ""


def test_commands_are_found_wherever_they_stand() -> None:
    text = "see gantry status, or (gantry up --restart); `gantry env set A -e staging` then gantry deploy"
    assert list(named(text)) == ["status", "up --restart", "env set A -e staging", "deploy"]


def test_who_is_to_log_in_is_sent_to_the_console_and_not_to_a_site() -> None:
    found = [
        code.hint
        for code in codes.scan(codes.source_files())
        if code.code.startswith("access.") and "gantry open" in code.hint
    ]
    assert len(found) >= 3
    assert all("gantry open --console" in hint for hint in found)


# Words of an earlier language, and what people say instead.
STIFF = {
    r"\bmend(ed|s|ing)?\b": "fix",
    r"\bwithout showing it\b": "you are prompted, and nothing is shown",
    r"\basks for each\b": "you are prompted for each",
    r"\bdo(es|ing)? faults\b": "inject faults",
}


def shown(file: Path) -> Iterator[str]:
    """Texts of a file that a user may see: no docstrings but those of commands, which are their help."""
    if file.suffix != ".py":
        yield file.read_text()
        return
    tree = ast.parse(file.read_text())
    helps = {
        id(node.body[0])
        for node in ast.walk(tree)
        if file.parent.name == "cli" and isinstance(node, ast.FunctionDef) and node.decorator_list
    }
    written = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and id(node) not in helps
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in written
        ):
            yield node.value


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SRC)))
def test_texts_are_said_as_one_would_on_the_phone(file: Path) -> None:
    found = {
        f"{stiff}: say {better}: {text.strip()[:80]}"
        for text in shown(file)
        for stiff, better in STIFF.items()
        if re.search(stiff, text, re.IGNORECASE)
    }
    assert not found


# What is counted in texts. A number beside one of them comes from `counted`, or it reads `1 requests`.
COUNTED = frozenset(
    [
        "addresses",
        "answers",
        "commands",
        "copies",
        "days",
        "deploys",
        "drills",
        "entries",
        "files",
        "headers",
        "instances",
        "items",
        "minutes",
        "orders",
        "parameters",
        "paths",
        "requests",
        "responses",
        "stages",
        "times",
        "variables",
        "visitors",
        "workers",
        "values",
        "networks",
        "streams",
        "checks",
        "restarts",
        "releases",
        "builds",
        "projects",
        "environments",
        "services",
        "rules",
        "tokens",
        "names",
        "domains",
        "runs",
        "rows",
        "lines",
    ]
)
_NOUN = re.compile(r"\s(?:(?:more|new|other|old) )?([a-z]+s)\b")
# What `run` and `name` are beside a text, where it is a verb; a limit in capitals is more than one.
_VERBS = frozenset(
    {
        "answers",
        "rules",
        "checks",
        "times",
        "restarts",
        "builds",
        "names",
        "runs",
        "values",
        "copies",
    }
)


def numbers_with_nouns(file: Path) -> Iterator[str]:
    """`len(paths) paths`: what an f-string puts beside a plural by itself."""
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, text in pairwise(node.values):
            if not isinstance(value, ast.FormattedValue) or not isinstance(text, ast.Constant):
                continue
            found = _NOUN.match(str(text.value))
            shown = ast.unparse(value.value)
            if shown.endswith(".method"):
                continue  # GET requests
            is_number = "len(" in shown or value.format_spec is not None or "count" in shown
            if found and found[1] in COUNTED and (is_number or found[1] not in _VERBS):
                yield f"{shown}{found[0]}"


@pytest.mark.parametrize(
    "file",
    [file for file in FILES if file.suffix == ".py"],
    ids=lambda file: str(file.relative_to(SRC)),
)
def test_a_number_has_the_noun_that_fits_it(file: Path) -> None:
    assert [found for found in numbers_with_nouns(file) if not found.split()[0].isupper()] == []


def test_numbers_beside_plurals_are_found(tmp_path: Path) -> None:
    file = tmp_path / "texts.py"
    file.write_text(
        """a = f"{len(paths)} paths answered"; b = f"{x} new files"; c = f"{counted(3, 'file')} of {y}" """
    )
    assert list(numbers_with_nouns(file)) == ["len(paths) paths", "x new files"]


@pytest.mark.parametrize(
    ("number", "noun", "plural", "text"),
    [
        (0, "request", "", "0 requests"),
        (1, "request", "", "1 request"),
        (1240, "request", "", "1,240 requests"),
        (1, "copy", "copies", "1 copy"),
        (2, "copy", "copies", "2 copies"),
    ],
)
def test_what_is_counted(number: int, noun: str, plural: str, text: str) -> None:
    assert counted(number, noun, plural) == text
