"""Writes the first gantry.toml of a project: short, and every line explained."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import tomlkit

from gantry.config.evidence.proposal import Findings, Proposal
from gantry.config.load import load_manifest

_WIDTH = 100
_NOTHING = Findings()


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
    """A table that a new manifest shows; as an example when it is one of several that a product may have."""

    name: str
    why: str
    keys: tuple[_Key, ...]
    is_example: bool = False


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
        "processes.worker.mail",
        "What works in the background, each under a name of its own: [processes.worker.NAME]",
        (_Key("command", "node worker.js", ""),),
        is_example=True,
    ),
    _Table(
        "processes.cron.cleanup",
        "What runs at certain times, in UTC: [processes.cron.NAME]",
        (
            _Key("command", "node scripts/cleanup.mjs", ""),
            _Key("schedule", "0 3 * * *", ""),
        ),
        is_example=True,
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


def render_manifest(
    project_name: str,
    detection: Detected,
    required: Sequence[str] = (),
    findings: Findings = _NOTHING,
    root: str = "",
) -> str:
    """The text of a new gantry.toml.

    Parameters:
        required: variables that `.env.example` requires; they are only mentioned, since they count already.
        findings: what the repository says of itself; what is not sure becomes an example.
        root: folder of the product in the workspace around it.

    Raises:
        ManifestError: `project_name` or a suggestion is no valid value.
    """
    project = {"project.name": project_name, **({"project.root": root} if root else {})}
    draft = _Draft({**project, **detection.suggested, **findings.taken}, findings.proposals)
    lines = [
        "# What Gantry needs to know of this project. A line behind # shows a default or an example.",
        "# Editors check this file with the output of: gantry schema",
        "",
        *draft.table("project", "", ()),
        *_detected(detection),
    ]
    for note in findings.notes:
        lines += _comment(note, indent="  ")
    for table in _TABLES:
        lines += (
            draft.example(table)
            if table.is_example
            else draft.table(table.name, table.why, table.keys)
        )
        if table.name == "variables" and required:
            lines += _comment(f".env.example requires already: {', '.join(required)}")
    lines += ["", *_environments(draft), *draft.rest()]
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


class _Draft:
    """What is still to be written.

    Parameters:
        values: key -> value, for real.
        proposals: the reasons of values, and examples.
    """

    def __init__(self, values: dict[str, object], proposals: Sequence[Proposal]) -> None:
        self._values = values
        self._reasons = {item.key: item.reason for item in proposals}
        self._examples = {item.key: item.value for item in proposals if item.key not in values}

    def table(self, name: str, why: str, keys: Sequence[_Key]) -> Iterator[str]:
        """A table that is there for real; its values are taken out."""
        yield ""
        yield from _comment(why)
        yield f"[{name}]"
        for key in keys:
            full = f"{name}.{key.name}"
            is_real = full in self._values
            example = self._examples.pop(full, key.example)
            line = f"{key.name} = {toml_value(self._values.pop(full, example))}"
            yield self._with_why(line if is_real else f"# {line}", full, key.why)
        for full in [full for full in self._values if full.rpartition(".")[0] == name]:
            line = f"{full.rpartition('.')[2]} = {toml_value(self._values.pop(full))}"
            yield self._with_why(line, full, "")

    def example(self, shown: _Table) -> Iterator[str]:
        """The tables of a kind that a product may have several of: its own, else one as an example."""
        kind = shown.name.rpartition(".")[0] + "."
        yield ""
        yield from _comment(shown.why)
        real = _tables_below(kind, self._values)
        for name in real:
            yield from list(self.table(name, "", ()))[0 if name != real[0] else 1 :]
        possible = _tables_below(kind, self._examples)
        for name in possible:
            keys = [full for full in self._examples if full.rpartition(".")[0] == name]
            yield from ("", f"# [{name}]")
            for full in keys:
                line = f"# {full.rpartition('.')[2]} = {toml_value(self._examples.pop(full))}"
                yield self._with_why(line, full, "")
        if not real and not possible:
            yield f"# [{shown.name}]"
            yield from (f"# {key.name} = {toml_value(key.example)}" for key in shown.keys)

    def rest(self) -> Iterator[str]:
        """Suggestions for tables that are not shown otherwise."""
        for full in list(self._values):
            if full in self._values:
                yield from self.table(full.rpartition(".")[0], "", ())

    def _with_why(self, line: str, full: str, why: str) -> str:
        reason = self._reasons.get(full, "")
        said = _comment(
            " ".join(part for part in (why, f"Because {reason}." if reason else "") if part)
        )
        if not said:
            return line
        beside = " ".join(text.removeprefix("# ") for text in said)
        return f"{line}  # {beside}"


def _tables_below(kind: str, keys: Iterable[str]) -> list[str]:
    """The tables whose names begin with `kind`, in the order of their first keys."""
    return list(dict.fromkeys(full.rpartition(".")[0] for full in keys if full.startswith(kind)))


def _environments(draft: _Draft) -> Iterator[str]:
    yield from _comment("What differs by environment goes below its name.")
    for name in ("production", "staging"):
        yield from list(draft.table(f"environments.{name}", "", ()))[name == "production" :]
        if name == "production":
            yield '# domains = ["www.example.org"]  # They lead here once their DNS does.'


def _comment(text: str, indent: str = "") -> list[str]:
    if not text:
        return []
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return [f"# {indent}{line}" for line in textwrap.wrap(plain, _WIDTH - 2 - len(indent))]


def toml_value(value: object) -> str:
    """A value as it stands behind `=` in a TOML file."""
    if isinstance(value, Mapping):
        table = tomlkit.inline_table()
        table.update(value)
        return str(table.as_string())
    plain: Any = list(value) if isinstance(value, tuple) else value
    return str(tomlkit.item(plain).as_string())
