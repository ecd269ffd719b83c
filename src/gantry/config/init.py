"""Writes the first gantry.toml of a project: short, and every line explained."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import tomlkit

from gantry.config.load import load_manifest

_WIDTH = 100


class Detected(Protocol):
    """What is known of a project before it has a manifest.

    Attributes:
        reasons: why this framework.
        notes: what should be fixed or known.
        suggested: dotted key -> value, such as `processes.web.health.path` -> `/api/health`.
    """

    @property
    def framework(self) -> str: ...
    @property
    def reasons(self) -> Sequence[str]: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def suggested(self) -> Mapping[str, object]: ...


@dataclass(frozen=True, slots=True)
class _Key:
    """A key that a new manifest shows: as a comment, or for real when there is a value for it."""

    name: str
    example: object
    why: str


@dataclass(frozen=True, slots=True)
class _Table:
    """A table that a new manifest shows."""

    name: str
    why: str
    keys: tuple[_Key, ...]


_TABLES = (
    _Table(
        "build",
        "Once for each commit, in a sandbox. What is left out follows the framework.",
        (
            _Key("framework", "nextjs", "Detected; set it only when the detection is wrong."),
            _Key("memory", "2 GB", "Most memory for the build."),
            _Key(
                "env",
                ["SENTRY_AUTH_TOKEN"],
                "Further variables for the build; NEXT_PUBLIC_… and the like reach it anyway.",
            ),
        ),
    ),
    _Table(
        "test",
        "Runs after the build; a failure ends the deploy.",
        (_Key("command", "npm test", ""),),
    ),
    _Table(
        "release",
        "Runs in the new release before it gets any traffic: migrations.",
        (_Key("command", "node scripts/migrate.mjs", ""),),
    ),
    _Table(
        "processes.web",
        "What answers visitors. It listens on $HOST:$PORT.",
        (
            _Key("command", "node server.js", "Only when the framework's own start is not right."),
            _Key("instances", 1, "Equal instances behind the edge."),
            _Key("memory", "512 MB", "Most memory for one instance."),
            _Key("health.path", "/", "Answers below status 400 when an instance is ready."),
            _Key("smoke", ["/"], "Pages that must work before visitors see a release."),
        ),
    ),
    _Table(
        "services",
        "Each environment gets its own.",
        (
            _Key("postgres", example=True, why="Sets DATABASE_URL."),
            _Key("redis", example=True, why="Sets REDIS_URL."),
        ),
    ),
    _Table(
        "variables",
        "A deploy is refused while a required one is not set: gantry env set NAME",
        (_Key("required", ["SESSION_SECRET"], ""),),
    ),
)


def render_manifest(project_name: str, detection: Detected, required: Sequence[str] = ()) -> str:
    """The text of a new gantry.toml.

    Parameters:
        required: variables that `.env.example` requires; they are only mentioned, since they count already.

    Raises:
        ManifestError: `project_name` or a suggestion is no valid value.
    """
    values = {"project.name": project_name, **detection.suggested}
    lines = [
        "# What Gantry needs to know of this project. A line behind # shows a default or an example.",
        "# Editors check this file with the output of: gantry schema",
        "",
        *_table("project", "", (), values),
        *_detected(detection),
    ]
    for table in _TABLES:
        lines += _table(table.name, table.why, table.keys, values)
        if table.name == "variables" and required:
            lines += _comment(f".env.example requires already: {', '.join(required)}")
    lines += ["", *_environments(values), *_rest(values)]
    text = "\n".join(lines).replace("\n\n\n", "\n\n").strip() + "\n"
    load_manifest(text)  # nothing is written that a deploy would refuse
    return text


def _detected(detection: Detected) -> Iterator[str]:
    yield ""
    yield from _comment(f"Detected: {detection.framework}")
    for reason in detection.reasons:
        yield from _comment(f"because {reason}", indent="  ")
    for note in detection.notes:
        yield from _comment(f"note: {note}", indent="  ")


def _table(name: str, why: str, keys: Sequence[_Key], values: dict[str, object]) -> Iterator[str]:
    """A table; its suggested values are taken out of `values`."""
    yield ""
    yield from _comment(why)
    yield f"[{name}]"
    for key in keys:
        full = f"{name}.{key.name}"
        is_real = full in values
        line = f"{key.name} = {_toml(values.pop(full, key.example))}"
        why = f"  # {key.why}" if key.why else ""
        yield f"{line}{why}" if is_real else f"# {line}{why}"
    for full in [full for full in values if full.rpartition(".")[0] == name]:
        yield f"{full.rpartition('.')[2]} = {_toml(values.pop(full))}"


def _environments(values: dict[str, object]) -> Iterator[str]:
    yield from _comment("What differs by environment goes below its name.")
    for name in ("production", "staging"):
        yield from list(_table(f"environments.{name}", "", (), values))[name == "production" :]
        if name == "production":
            yield '# domains = ["www.example.org"]  # They lead here once their DNS does.'


def _rest(values: dict[str, object]) -> Iterator[str]:
    """Suggestions for tables that are not shown otherwise."""
    for full in list(values):
        if full in values:
            yield from _table(full.rpartition(".")[0], "", (), values)


def _comment(text: str, indent: str = "") -> list[str]:
    if not text:
        return []
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return [f"# {indent}{line}" for line in textwrap.wrap(plain, _WIDTH - 2 - len(indent))]


def _toml(value: object) -> str:
    plain: Any = list(value) if isinstance(value, tuple) else value
    return str(tomlkit.item(plain).as_string())
