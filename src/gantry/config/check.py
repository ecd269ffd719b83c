"""From the plain data of a file to a manifest, with every problem found on the way. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from gantry.config.faults import MISSING_KEY, UNKNOWN_KEY, Problem
from gantry.config.fields import TOML
from gantry.config.manifest import ENVIRONMENTS, OF_THE_TREE, RESOLVED_ONLY, Manifest, merge
from gantry.config.rules import impossible, impossible_between
from gantry.config.sections import Environment
from gantry.config.toml_lines import KeyPath
from gantry.config.typing_faults import MAX_PROBLEMS, problems_of

_MAX_ROUNDS = 8
_PLACEHOLDER = "project"
_PREFIXES = ("worker", "cron")

Table = dict[str, Any]


def check(data: Table) -> tuple[Manifest | None, tuple[Problem, ...]]:
    """The manifest in `data`, or everything that is wrong with it.

    Parameters:
        data: as `canonical_table` made it.
    """
    table = deepcopy(data)
    problems = list(_misplaced(table))
    manifest, found = _validate(table)
    problems += found
    if manifest is not None:
        problems += _unrelated(impossible(manifest), problems)
        problems += _unrelated(impossible_between(manifest), problems)
    for name in ENVIRONMENTS if len(problems) < MAX_PROBLEMS else ():
        problems += _check_environment(table, name, problems)
    return (None if problems else manifest), tuple(dict.fromkeys(problems))


def canonical_path(path: KeyPath) -> KeyPath:
    """`processes."worker.mail"` is another way to write `processes.worker.mail`."""
    start = 2 if len(path) > 2 and path[0] == "environments" else 0
    if len(path) < start + 2 or path[start] != "processes":
        return path
    name = path[start + 1]
    if not isinstance(name, str):
        return path
    kind, dot, rest = name.partition(".")
    if not dot or kind not in _PREFIXES:
        return path
    return (*path[: start + 1], kind, rest, *path[start + 2 :])


def canonical_table(data: Table) -> tuple[Table, tuple[Problem, ...]]:
    """`data` with every process in its one place."""
    problems: list[Problem] = []
    table = _with_nested_processes(data, (), problems)
    environments = table.get("environments")
    if isinstance(environments, dict):
        table["environments"] = {
            name: _with_nested_processes(value, ("environments", name), problems)
            if isinstance(value, dict)
            else value
            for name, value in environments.items()
        }
    return table, tuple(problems)


def _with_nested_processes(data: Table, where: KeyPath, problems: list[Problem]) -> Table:
    processes = data.get("processes")
    if not isinstance(processes, dict):
        return dict(data)
    nested: Table = {
        key: dict(value) if key in _PREFIXES and isinstance(value, dict) else value
        for key, value in processes.items()
        if canonical_path(("processes", key)) == ("processes", key)
    }
    for key, value in processes.items():
        path = canonical_path(("processes", key))
        if len(path) == 2:
            continue
        kind, name = str(path[1]), str(path[2])
        group = nested.setdefault(kind, {})
        if not isinstance(group, dict) or name in group:
            problems.append(Problem((*where, *path), "is there twice; keep one"))
        else:
            group[name] = value
    return {**data, "processes": nested}


def _misplaced(table: Table) -> Iterator[Problem]:
    """Take out, and name, keys that are right in another place; and say what a manifest begins with."""
    if "project" not in table:
        table["project"] = {"name": _PLACEHOLDER}
        yield Problem(
            ("project",), 'is missing; begin with [project] and name = "my-site"', code=MISSING_KEY
        )
    for key in RESOLVED_ONLY:
        if key in table:
            del table[key]
            yield Problem(
                (key,),
                "unknown key"
                if key == "environment" or key in OF_THE_TREE
                else f"belongs to one environment, such as [environments.production] {key} = ...",
                "environments" if key == "environment" else "",
                UNKNOWN_KEY,
            )
    environments = table.get("environments")
    for name, value in environments.items() if isinstance(environments, dict) else ():
        if isinstance(value, dict) and "project" in value:
            del value["project"]
            yield Problem(
                ("environments", name, "project"), "is the same in every environment; leave it out"
            )


def _validate(table: Table) -> tuple[Manifest | None, list[Problem]]:
    """Validate; on faults leave out what is at fault and go on, so that the rest is checked too."""
    rest = deepcopy(table)
    problems: list[Problem] = []
    for _ in range(_MAX_ROUNDS):
        try:
            manifest = Manifest.model_validate(rest, by_alias=True, by_name=False, context=TOML)
        except ValidationError as error:
            found = problems_of(error, Manifest)
            problems += found
            if len(problems) >= MAX_PROBLEMS:
                break
            for problem in found:
                _leave_out(rest, problem)
        else:
            return manifest, problems
    return None, problems


def _leave_out(table: Table, problem: Problem) -> None:
    """Remove what `problem` is about: the value itself, or the table or list item that lacks something."""
    path = problem.path[:-1] if problem.code == MISSING_KEY else problem.path
    if path[:1] == ("project",) or not path:
        project = table.get("project")
        table["project"] = {**(project if isinstance(project, dict) else {}), "name": _PLACEHOLDER}
        if path[1:] and path[1] != "name":
            table["project"].pop(path[1], None)
        if not isinstance(project, dict) or len(path) < 2:  # the table itself is at fault
            table["project"] = {"name": _PLACEHOLDER}
        return
    _remove(table, path)


def _remove(table: Table, path: KeyPath) -> None:
    """Delete what lies at `path`. Of a list item the whole list goes, so that other items keep their positions."""
    holder: Any = table
    for depth, part in enumerate(path):
        if not isinstance(holder, dict) or part not in holder:
            return
        if depth == len(path) - 1 or isinstance(holder[part], list):
            del holder[part]
            return
        holder = holder[part]


def _unrelated(found: Iterable[Problem], known: Iterable[Problem]) -> list[Problem]:
    """Those of `found` that are not a consequence of a fault that is known already."""
    paths = [problem.path for problem in known]
    return [problem for problem in found if not any(_touches(problem.path, path) for path in paths)]


def _touches(one: KeyPath, other: KeyPath) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _check_environment(table: Table, name: str, known: list[Problem]) -> list[Problem]:
    """What is wrong in environment `name` only."""
    overrides = _overrides(table, name)
    base = {key: value for key, value in table.items() if key != "environments"}
    manifest, found = _validate({**merge(base, overrides), "environment": name})
    if manifest is not None:
        found += _unrelated(impossible(manifest), found)
    return list(_blamed(found, overrides, name, known))


def _overrides(table: Table, name: str) -> Table:
    environments = table.get("environments")
    own = environments.get(name) if isinstance(environments, dict) else None
    if not isinstance(own, dict):
        return {}
    mergeable = set(Environment.model_fields) - {"domains", "branch"}
    return {
        key: value for key, value in own.items() if key in mergeable and isinstance(value, dict)
    }


def _blamed(
    found: Iterable[Problem], overrides: Table, name: str, known: list[Problem]
) -> Iterator[Problem]:
    """Each of `found` at the place that must be changed; those that every environment has are left out."""
    known_already = {(problem.path, problem.message) for problem in known}
    for problem in found:
        there = Problem(
            ("environments", name, *problem.path),
            problem.message,
            problem.suggestion,
            problem.code,
        )
        if _has(overrides, problem.path):
            yield there
        elif (problem.path, problem.message) in known_already:
            continue
        elif len(problem.path) > 1 and _has(overrides, problem.path[:-1]):
            yield there
        elif not any(_touches(problem.path, other.path) for other in known):
            place = "" if name in problem.message else f" (in {name})"
            yield Problem(problem.path, problem.message + place, problem.suggestion, problem.code)


def _has(data: Any, path: KeyPath) -> bool:  # noqa: ANN401 -- walks data of any shape
    for part in path:
        in_table = isinstance(data, Mapping) and part in data
        in_list = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if not (in_table or in_list):
            return False
        data = data[part]
    return True
