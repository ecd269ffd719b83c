"""Where a key belongs that stands in the wrong place, or under a name of another platform's. Pure."""

import functools
from collections.abc import Iterator, Mapping
from typing import get_args, get_origin

from pydantic import BaseModel

from gantry.config.faults import nearest
from gantry.config.processes import Cron, LongRunning
from gantry.config.sections import ENVIRONMENTS
from gantry.config.tables import keys_of, strip
from gantry.config.toml_lines import KeyPath

_NAME = "NAME"
_NAMED = ("worker", "cron")
_MAX_PLACES = 3
# What people write who know it from elsewhere -> our key. Near misses of our own words are found without this.
_ALSO_CALLED = {
    "addons": "services",
    "background": "worker",
    "cronjobs": "cron",
    "crons": "cron",
    "database": "postgres",
    "databases": "postgres",
    "db": "postgres",
    "domain": "domains",
    "env_vars": "plain",
    "envs": "plain",
    "healthcheck": "health",
    "healthcheck_path": "path",
    "http_service": "web",
    "install_command": "install",
    "jobs": "cron",
    "migrate": "[release] command",
    "migration": "[release] command",
    "migrations": "[release] command",
    "output_directory": "output",
    "outputDirectory": "output",
    "postgresql": "postgres",
    "publish": "output",
    "queue": "worker",
    "release_command": "[release] command",
    "replicas": "instances",
    "scale": "instances",
    "schedules": "cron",
    "secrets": "required",
    "server": "web",
    "tasks": "cron",
    "vars": "plain",
    "workers": "worker",
}
_INSTEAD = {
    "dockerfile": "a product is built from its source, not from a Dockerfile",
    "image": "a product is built from its source, not from an image",
    "internal_port": "the product listens on $PORT, which Gantry chooses",
    "port": "the product listens on $PORT, which Gantry chooses",
    "ports": "the product listens on $PORT, which Gantry chooses",
    "region": "the machine that Gantry runs on is the region",
    "regions": "the machine that Gantry runs on is the region",
}
# With several places for one key, the one that is nearly always meant.
_USUAL: Mapping[str, KeyPath] = {
    "framework": ("build",),
    "health": ("processes", "web"),
    "path": ("processes", "web", "health"),
    "instances": ("processes", "web"),
    "worker": ("processes",),
    "cron": ("processes",),
}


def why_unknown(key: object) -> str:
    """What to do instead of a key that nothing of ours stands for; empty when there is nothing to say."""
    return _INSTEAD.get(str(key), "")


def place_of(path: KeyPath, value: object, model: type[BaseModel]) -> str:
    """Where the unknown key at the end of `path` belongs: `[processes.cron.NAME]`; empty when nobody knows.

    Parameters:
        value: what stands there.
        model: of the whole file.
    """
    key = str(path[-1])
    if len(path) > 3 and path[1] in _NAMED and path[2] in _process_keys():
        return f"[processes.{path[1]}.{_NAME}.{path[2]}]"
    if path[:-1] == ("processes",):
        return f"[processes.worker.{key}]"  # as in a Procfile, where all names are equal
    if path == ("env",):
        return "environments" if _only_tables(value) else "[variables] plain"
    if len(path) == 1 and key in ENVIRONMENTS:
        return f"[environments.{key}]"
    places = _places(model)
    meant = _ALSO_CALLED.get(key, key)
    if meant.startswith("["):
        return meant
    if meant not in places and not (meant := nearest(key, tuple(places))):
        return ""
    found = [place for place in places[meant] if place != path[:-1]]
    found = [place for place in found if _NAME not in place] or found
    if _USUAL.get(meant) in found:
        found = [_USUAL[meant]]
    if not 0 < len(found) <= _MAX_PLACES:
        return ""
    return " or ".join(_written(place, meant, value, model) for place in found)


def named_place(path: KeyPath) -> str:
    """Where a worker or cron belongs that stands where only its name may stand; empty when `path` is another."""
    if path == ("processes", "web"):
        return "[processes.web]"
    if len(path) not in (2, 3) or path[0] != "processes" or path[1] not in _NAMED:
        return ""
    name = str(path[2]) if len(path) == 3 and path[2] not in _process_keys() else _NAME
    return f"[processes.{path[1]}.{name}]"


@functools.cache
def _process_keys() -> frozenset[str]:
    return frozenset((*keys_of(LongRunning), *keys_of(Cron)))


def _written(place: KeyPath, key: str, value: object, model: type[BaseModel]) -> str:
    if key in _NAMED and place == ("processes",):
        name = next(iter(value)) if _only_tables(value) and isinstance(value, Mapping) else _NAME
        return f"[processes.{key}.{name}]"
    table = ".".join(str(part) for part in place)
    if not place:
        return f"[{key}]"
    is_table = any(other == (*place, key) for other in _tables(model))
    return f"[{table}.{key}]" if is_table else f"[{table}] {key}"


def _only_tables(value: object) -> bool:
    """Whether it is a table of tables."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(item, Mapping) for item in value.values())
    )


@functools.cache
def _places(model: type[BaseModel]) -> dict[str, list[KeyPath]]:
    """Key -> the tables that know it."""
    found: dict[str, list[KeyPath]] = {}
    for place, table in _tables(model).items():
        # What an environment overrides is at home elsewhere.
        own = ("domains", "branch") if place[:1] == ("environments",) else keys_of(table)
        for key in own:
            found.setdefault(key, []).append(place)
    return found


@functools.cache
def _tables(model: type[BaseModel]) -> dict[KeyPath, type[BaseModel]]:
    return dict(_below(model, ()))


def _below(model: type[BaseModel], path: KeyPath) -> Iterator[tuple[KeyPath, type[BaseModel]]]:
    yield path, model
    for name, info in model.model_fields.items():
        inner, here = strip(info.annotation), (*path, info.alias or name)
        if get_origin(inner) is Mapping or get_origin(inner) is dict:
            inner, here = strip(get_args(inner)[1]), (*here, _NAME)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _below(inner, here)
