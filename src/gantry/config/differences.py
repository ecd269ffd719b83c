"""What differs between two manifests, as people would say it in gantry.toml."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gantry.config.fields import Section, duration_text, size_text
from gantry.config.manifest import OF_THE_TREE, Manifest

# Which environment it is resolved for, the tables it was resolved from, and what its tree brings.
_NO_SETTING = frozenset({"environment", "environments", *OF_THE_TREE})

_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting that differs.

    Attributes:
        name: its key with its tables, as TOML has it: `processes.web.memory`.
        before, after: the values as they are written there; empty on the side that does not have it.
    """

    name: str
    before: str
    after: str


def differences(before: Manifest, after: Manifest) -> tuple[Difference, ...]:
    """What differs, by name. Values are compared, never their texts: the order of keys means nothing.

    A table that only one side has, such as a worker, is one difference with what it sets; a list of rules has one for
    each rule.
    """
    found = _tables(_fields(before, _NO_SETTING), _fields(after, _NO_SETTING), "")
    return tuple(sorted(found, key=lambda item: item.name))


def _fields(section: Section, without: frozenset[str] = frozenset()) -> dict[str, object]:
    """Key -> value. Sizes and durations are texts with their units, as in the file."""
    found: dict[str, object] = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if name in without:
            continue
        # An attribute has its unit in its name.
        if isinstance(value, int | float) and name.endswith("_bytes"):
            value = size_text(value)
        elif isinstance(value, int | float) and name.endswith("_s"):
            value = duration_text(value)
        found[field.alias or name] = value
    return found


def _tables(
    before: Mapping[str, object], after: Mapping[str, object], prefix: str
) -> Iterator[Difference]:
    for key in dict.fromkeys((*before, *after)):
        yield from _values(before.get(key), after.get(key), f"{prefix}{_key(key)}")


def _values(before: object, after: object, name: str) -> Iterator[Difference]:
    if before == after:
        return
    match before, after:
        case Section(), Section():
            yield from _tables(_fields(before), _fields(after), f"{name}.")
        case Mapping(), Mapping():
            yield from _tables(before, after, f"{name}.")
        case tuple(), tuple() if any(isinstance(item, Section) for item in (*before, *after)):
            yield from _rules(before, after, name)
        case _:
            yield Difference(name, _shown(before), _shown(after))


def _rules(before: Sequence[object], after: Sequence[object], name: str) -> Iterator[Difference]:
    gone = _without(before, after)
    come = _without(after, before)
    yield from (Difference(name, _shown(rule), "") for rule in gone)
    yield from (Difference(name, "", _shown(rule)) for rule in come)
    if not gone and not come:
        yield Difference(name, "the same rules", "in another order")


def _without(rules: Iterable[object], others: Iterable[object]) -> list[object]:
    """The rules that the others do not have; of equal ones as many as there are more."""
    left, found = list(others), []
    for rule in rules:
        if rule in left:
            left.remove(rule)
        else:
            found.append(rule)
    return found


def _shown(value: object) -> str:
    """A value by itself; empty for none."""
    match value:
        case None | ():
            return ""
        case str() if value:
            return value
        case Section():
            given = _given(value)
            return ", ".join(given) if given else "everything by default"
        case tuple() if all(isinstance(item, str) for item in value):
            return ", ".join(value)
        case _:
            return _toml(value)


def _given(section: Section) -> list[str]:
    """`key = value` of what is not left at its default."""
    values = _fields(section)
    return [
        f"{key} = {_toml(values[key])}"
        for name, field in type(section).model_fields.items()
        if getattr(section, name) != field.get_default(call_default_factory=True)
        for key in (field.alias or name,)
    ]


def _toml(value: object) -> str:
    """A value inside of another one."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case Section():
            return f"{{ {', '.join(_given(value))} }}"
        case Mapping():
            return f"{{ {', '.join(f'{_key(key)} = {_toml(inner)}' for key, inner in value.items())} }}"
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case _:
            return str(value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)
