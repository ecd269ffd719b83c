"""Pydantic's errors as problems of a manifest, in the manifest's own words."""

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
from gantry.config.places import named_place, place_of, why_unknown
from gantry.config.tables import choices, keys_of, model_at
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
        if why := why_unknown(path[-1]) if _is_manifest(model) else "":
            return Problem(path, f"unknown key: {why}", code=UNKNOWN_KEY)
        near = nearest(str(path[-1]), known) if path != ("env",) else ""
        meant = near or (place_of(path, item["input"], model) if _is_manifest(model) else "")
        return Problem(path, "unknown key", meant, UNKNOWN_KEY)
    if kind == "missing":
        return Problem(path, "is missing", code=MISSING_KEY)
    if kind in _WANTED:
        message = f"must be {_WANTED[kind]}, not {kind_of(item['input'])}"
        return Problem(path, message, named_place(path), WRONG_TYPE)
    if kind == "literal_error":
        return _not_allowed(path, item, model)
    if kind in _BOUNDS:
        name, sentence = _BOUNDS[kind]
        return Problem(path, sentence.format(context[name]), code=BAD_VALUE)
    if kind in _OWN:
        meant = context.get("suggestion", "") or (named_place(path) if kind == "wrong_type" else "")
        return Problem(path, context["text"], meant, _OWN[kind])
    return Problem(path, item["msg"][:1].lower() + item["msg"][1:], code=BAD_VALUE)


def _is_manifest(model: type[BaseModel]) -> bool:
    return "processes" in model.model_fields


def _path(loc: tuple[int | str, ...]) -> KeyPath:
    """Pydantic marks a fault of a table's key by a last part `[key]`."""
    return loc[:-1] if loc and loc[-1] == "[key]" else loc


def _not_allowed(path: KeyPath, item: ErrorDetails, model: type[BaseModel]) -> Problem:
    value = item["input"]
    allowed = choices(model_at(model, path[:-1]), str(path[-1]))
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
