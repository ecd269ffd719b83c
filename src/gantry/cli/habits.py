"""What somebody meant who gave a command what other tools take: `logs staging`, `rollback 12`, `--prod`, `-a shop`."""

import re

import click

from gantry.config.sections import ENVIRONMENTS

_SHORT = {"prod": "production", "live": "production", "dev": "development", "stage": "staging"}
_EXTRA = re.compile(r"unexpected extra arguments? \(([^\s)]+)")
_NO_FOLDER = re.compile(r"Directory '([^']+)' does not exist")
_PROJECT_OPTIONS = frozenset({"-p", "-a", "--app", "--name", "--service"})
_ENVIRONMENT_OPTIONS = frozenset({"--env", "--target", "--stage"})
_VERSION_OPTIONS = frozenset({"-v", "-V"})


def meant(error: click.UsageError) -> str:
    """The command line that was meant; empty where that is not known."""
    context = error.ctx
    if context is None:
        return ""
    if isinstance(error, click.NoSuchOption):
        return _by_option(error.option_name, context)
    found = _EXTRA.search(error.message) or _NO_FOLDER.search(error.message)
    return _by_word(found[1], context) if found else ""


def _by_option(name: str, context: click.Context) -> str:
    if name in _VERSION_OPTIONS and context.parent is None:
        return "gantry version"
    if name in _ENVIRONMENT_OPTIONS:
        return _with(context, "environment", "production")
    if name in _PROJECT_OPTIONS:
        return _with(context, "project", "NAME")
    word = name.lstrip("-")
    return _with(context, "environment", word) if _environment(word) else ""


def _by_word(word: str, context: click.Context) -> str:
    if _environment(word):
        return _with(context, "environment", word)
    if word.isdecimal():
        return _with(context, "release", word)
    return _with(context, "project", word)


def _environment(word: str) -> str:
    name = _SHORT.get(word, word)
    return name if name in ENVIRONMENTS else ""


def _with(context: click.Context, parameter: str, value: str) -> str:
    """The command with an option of its own; empty where it has none of that name."""
    for option in context.command.params:
        if isinstance(option, click.Option) and option.name == parameter:
            name = next(name for name in option.opts if name.startswith("--"))
            return f"{context.command_path} {name} {_environment(value) or value}"
    return ""
