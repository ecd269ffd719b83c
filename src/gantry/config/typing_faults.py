"""Pydantic's errors as problems of a manifest, in the manifest's own words."""

import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gantry.config.faults import (
    BAD_VALUE,
    MISSING_KEY,
    NOT_SUPPORTED,
    UNKNOWN_KEY,
    WRONG_TYPE,
    Problem,
    listed,
    nearest,
)
from gantry.config.fields import kind_of
from gantry.config.toml_lines import KeyPath

MAX_PROBLEMS = 200
"""More than these say nothing new, and each costs time."""

_WANTED = {
    "string_type": "text in quotes",
    "string_sub_type": "text in quotes",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "mapping_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_OWN = {"wrong_type": WRONG_TYPE, "bad_value": BAD_VALUE, "not_supported": NOT_SUPPORTED}
_BOUNDS = {
    "greater_than_equal": ("ge", "must be at least {}"),
    "less_than_equal": ("le", "must be at most {}"),
    "too_long": ("max_length", "has more than {} items"),
}


def problems_of(error: ValidationError, model: type[BaseModel]) -> tuple[Problem, ...]:
    """Every fault in `error`, which came from validating `model`."""
    return tuple(_problem(item, model) for item in error.errors(include_url=False)[:MAX_PROBLEMS])


def _problem(item: ErrorDetails, model: type[BaseModel]) -> Problem:
    path = _path(item["loc"])
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        known = keys_of(model_at(model, path[:-1]))
        return Problem(path, "unknown key", nearest(str(path[-1]), known), UNKNOWN_KEY)
    if kind == "missing":
        return Problem(path, "is missing", code=MISSING_KEY)
    if kind in _WANTED:
        return Problem(
            path, f"must be {_WANTED[kind]}, not {kind_of(item['input'])}", code=WRONG_TYPE
        )
    if kind == "literal_error":
        return _not_allowed(path, item, model)
    if kind in _BOUNDS:
        name, sentence = _BOUNDS[kind]
        return Problem(path, sentence.format(context[name]), code=BAD_VALUE)
    if kind in _OWN:
        return Problem(path, context["text"], context.get("suggestion", ""), _OWN[kind])
    return Problem(path, item["msg"][:1].lower() + item["msg"][1:], code=BAD_VALUE)


def _path(loc: tuple[int | str, ...]) -> KeyPath:
    """Pydantic marks a fault of a table's key by a last part `[key]`."""
    return loc[:-1] if loc and loc[-1] == "[key]" else loc


def _not_allowed(path: KeyPath, item: ErrorDetails, model: type[BaseModel]) -> Problem:
    value = item["input"]
    allowed = _choices(model_at(model, path[:-1]), str(path[-1]))
    guess = (
        nearest(value, [word for word in allowed if isinstance(word, str)])
        if isinstance(value, str)
        else ""
    )
    message = f"is {kind_of(value).removeprefix('the text ').removeprefix('the number ')}"
    choice = (
        f"which is not one of {listed(allowed)}"
        if len(allowed) > 1
        else f"and only {listed(allowed)} is possible"
    )
    return Problem(path, f"{message}, {choice}", guess, BAD_VALUE)


def keys_of(model: type[BaseModel] | None) -> tuple[str, ...]:
    """The keys of a table as they are written in a file."""
    if model is None:
        return ()
    return tuple(
        info.alias or name
        for name, info in model.model_fields.items()
        if not _hidden(info.metadata)
    )


def _hidden(metadata: Iterable[object]) -> bool:
    return any(type(item).__name__ == "SkipJsonSchema" for item in metadata)


def model_at(model: type[BaseModel] | None, path: KeyPath) -> type[BaseModel] | None:
    """The model of the table at `path`; `None` when there is no table of ours."""
    found: object = model
    for part in path:
        if isinstance(found, type) and issubclass(found, BaseModel):
            found = _strip(_annotation(found, str(part)))
        else:
            found = _strip(_item_type(found))
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _annotation(model: type[BaseModel], key: str) -> object:
    for name, info in model.model_fields.items():
        if key in (info.alias, name):
            return info.annotation
    return None


def _choices(model: type[BaseModel] | None, key: str) -> tuple[Any, ...]:
    return get_args(_strip(_annotation(model, key))) if model is not None else ()


def _strip(annotation: object) -> object:
    """The type inside of `Annotated[...]` and `... | None`."""
    while True:
        origin, inner = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            annotation = inner[0]
        elif origin in (Union, types.UnionType) and type(None) in inner:
            annotation = next(item for item in inner if item is not type(None))
        else:
            return annotation


def _item_type(annotation: object) -> object:
    """Of a table with free keys its values' type, of a list its items'."""
    inner = get_args(annotation)
    is_table = get_origin(annotation) in (dict, Mapping)
    if not inner:
        return None
    return inner[1] if is_table else inner[0]
