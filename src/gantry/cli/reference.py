"""Writes docs/cli.md from the command tree: `python -m gantry.cli.reference docs/cli.md`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from gantry.cli.command import Command
from gantry.cli.main import SECTIONS, build_cli

_INTRODUCTION = """\
# Commands

Made from the source by `scripts/generate-docs`; do not edit.

`gantry COMMAND --help` says the same. Where a command needs a project it takes the one of the nearest `gantry.toml`,
in the current folder or above it. The environment is `production` unless another is named.

**Output.** Results go to standard output, progress and errors to standard error. With `--json` standard output is one
JSON document: the body that the API sent, or `{"error": {"kind", "code", "message", "hint", "where"}}`. Colours appear
on a terminal only; `NO_COLOR=1` turns them off.

**Exit codes.** 0 success · 1 the work was done and failed (also: `gantry doctor` found a problem) · 2 the request must be
changed · 3 the same command may succeed later · 4 stored data is damaged · 5 not allowed · 130 interrupted or cancelled.
The codes of single errors are in [errors.md](errors.md).

**Another machine's Gantry.** `GANTRY_URL` and `GANTRY_TOKEN` (see `gantry token create`) send every command there,
except `up`, `down`, `doctor` and `drill`, which are about this machine. `GANTRY_DEBUG=1` shows tracebacks.
"""


def reference() -> str:
    """The whole page."""
    cli = build_cli()
    root = click.Context(cli, info_name="gantry")
    parts = [_INTRODUCTION]
    for section, names in SECTIONS.items():
        parts.append(f"\n## {section}\n")
        for name in names:
            parts += [_page(command, path) for path, command in walk(cli.load(name), root)]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def walk(
    command: click.Command, above: click.Context
) -> Iterator[tuple[click.Context, click.Command]]:
    """A command and those below it, each with its context."""
    context = click.Context(command, info_name=command.name, parent=above)
    yield context, command
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from walk(below, context)


def _page(command: click.Command, context: click.Context) -> str:
    usage = command.get_usage(context).removeprefix("Usage:").strip()
    lines = [f"### {context.command_path}", "", _paragraphs(command.help or ""), ""]
    if not isinstance(command, click.Group):
        lines += ["```text", " ".join(usage.split()), "```", ""]
    lines += _options(command, context)
    if isinstance(command, Command):
        lines += ["```sh"]
        for purpose, line in command.examples:
            lines += [f"# {purpose}", line]
        lines += ["```", ""]
    return "\n".join(lines)


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _options(command: click.Command, context: click.Context) -> list[str]:
    records = [
        record
        for parameter in command.params
        if isinstance(parameter, click.Option)
        and (record := parameter.get_help_record(context)) is not None
    ]
    if not records:
        return []
    rows = [f"| `{names}` | {_cell(text)} |" for names, text in records]
    return ["| option | |", "|---|---|", *rows, ""]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
