"""Commands as people write them, and what runs them."""

import shlex

# What only a shell understands; of these, the second part joins several commands.
_SHELL = set("$\"'\\*?[#~=%!{}")
_JOINS = set("|&;<>()`\n")
# Words that are no programs.
_BUILTINS = frozenset(
    (".", ":", "cd", "eval", "exec", "exit", "export", "for", "if", "read", "set", "source", "test", "trap", "ulimit",
     "umask", "unset", "wait", "while", "case", "until", "[")
)  # fmt: skip


def argv_of(command: str) -> tuple[str, ...]:
    """`command` as an argv: the program itself where no shell is needed, so that it gets the signals; else a shell,
    which the program replaces where it is only one.
    """
    written = set(command)
    first = command.split(maxsplit=1)[0] if command.strip() else ""
    if not written & (_SHELL | _JOINS) and first and first not in _BUILTINS:
        return tuple(shlex.split(command))
    alone = first and not written & _JOINS and "=" not in first and first not in _BUILTINS
    return ("/bin/sh", "-c", f"exec {command}" if alone else command)


def joined(argv: tuple[str, ...]) -> str:
    """An argv of `argv_of` as a person would write it."""
    return argv[2].removeprefix("exec ") if argv[:2] == ("/bin/sh", "-c") else shlex.join(argv)
