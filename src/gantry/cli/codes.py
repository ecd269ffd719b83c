"""Writes docs/errors.md from the source: `python -m gantry.cli.codes docs/errors.md`.

Every error is made with a literal code, such as `UserError("manifest.unknown-key", ...)`; reading the syntax trees
finds them all, with nothing to keep up by hand.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import gantry
from gantry.kernel import errors

_CODE = re.compile(r"[a-z][a-z0-9-]*(\.[a-z0-9-]+)*")
_BUILTIN = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.GantryError)
}
_INTRODUCTION = """\
# Error codes

Made from the source by `scripts/generate-docs`; do not edit.

Every error has a stable code that scripts may match, one sentence for people, and a hint. Its class decides the exit
code of a command and the status of an HTTP answer. `…` stands for what differs from case to case.

| class | exit code | HTTP | what to do |
|---|---|---|---|
"""
_WHAT_TO_DO = {
    "UserError": "change the request, the manifest or the machine",
    "NotFoundError": "name something that exists",
    "ConflictError": "the present state does not allow it",
    "AccessError": "use a token that may do this",
    "TransientError": "the same may succeed later",
    "PermanentError": "the work was done and failed",
    "IntegrityError": "stop: stored data is damaged",
    "Cancelled": "somebody asked for it",
}


@dataclass(frozen=True, slots=True, order=True)
class Code:
    """One place where an error is made."""

    code: str
    kind: str
    message: str
    hint: str


def scan(files: Iterable[Path]) -> list[Code]:
    """Every error that these files make, by code."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files]
    parents = {name: base for tree in trees for name, base in _classes(tree)}
    found = {code for tree in trees for code in _codes(tree, parents)}
    return sorted(found)


def _classes(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(class, its first base) of everything that looks like an error."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.bases and isinstance(node.bases[0], ast.Name):
            yield node.name, node.bases[0].id


def _codes(tree: ast.Module, parents: dict[str, str]) -> Iterator[Code]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        kind = _kind(node.func.id, parents)
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        code, message = [*node.args[:2], None, None][:2]
        code, message = named.get("code", code), named.get("message", message)
        if not (isinstance(code, ast.Constant) and isinstance(code.value, str)):
            continue
        if (kind or node.func.id == "BuildOutcome") and _CODE.fullmatch(code.value):
            yield Code(
                code.value, kind or "PermanentError", _text(message), _text(named.get("hint"))
            )


def _kind(name: str, parents: dict[str, str]) -> str:
    """The kernel's class that an error's class comes from; empty when it is no error of Gantry's."""
    for _ in range(10):
        if name in _BUILTIN:
            return name
        name = parents.get(name, "")
    return ""


def _text(node: ast.expr | None) -> str:
    """The literal parts of a message; `…` for the rest."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return re.sub(r"…+", "…", "".join(_text(value) for value in values))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return re.sub(r"…+", "…", _text(left) + _text(right))
        case None:
            return ""
        case _:
            return "…"


def page(codes: list[Code]) -> str:
    """The whole page."""
    lines = [_INTRODUCTION.rstrip()]
    for name, advice in _WHAT_TO_DO.items():
        kind = _BUILTIN[name]
        lines.append(f"| {name} | {kind.exit_code} | {kind.http_status} | {advice} |")
    area = ""
    for code, same in _grouped(codes):
        if code.split(".")[0] != area:
            area = code.split(".")[0]
            lines += ["", f"## {area}"]
        kinds = ", ".join(dict.fromkeys(made.kind for made in same))
        lines += ["", f"### `{code}`", "", f"{kinds}."]
        lines += [f"- {_line(made)}" for made in same if made.message]
    return "\n".join(lines).replace(".\n- ", ".\n\n- ") + "\n"


def _grouped(codes: list[Code]) -> Iterator[tuple[str, list[Code]]]:
    for name in dict.fromkeys(code.code for code in codes):
        yield name, [code for code in codes if code.code == name]


def _line(code: Code) -> str:
    message = " ".join(code.message.split())
    hint = " ".join(code.hint.split())
    return message + (f" *Hint: {hint}*" if hint and hint != "…" else "")


def source_files() -> list[Path]:
    """Every module of Gantry."""
    return sorted(Path(gantry.__file__).parent.rglob("*.py"))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(scan(source_files())), encoding="utf-8")
