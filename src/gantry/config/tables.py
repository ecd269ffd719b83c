"""The tables of a manifest as its models know them: which keys they have, and what lies below."""

import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from gantry.config.toml_lines import KeyPath


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
            found = strip(_annotation(found, str(part)))
        else:
            found = strip(_item_type(found))
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _annotation(model: type[BaseModel], key: str) -> object:
    for name, info in model.model_fields.items():
        if key in (info.alias, name):
            return info.annotation
    return None


def choices(model: type[BaseModel] | None, key: str) -> tuple[Any, ...]:
    return get_args(strip(_annotation(model, key))) if model is not None else ()


def strip(annotation: object) -> object:
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
