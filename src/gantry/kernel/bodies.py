"""Bases of the API's bodies, and the error that every refused request is answered with."""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_T = TypeVar("_T")


class Body(BaseModel):
    """Base of every body: immutable."""

    model_config = ConfigDict(frozen=True)


class Request(Body):
    """A body that comes from outside: what is not known is refused, so that a typo is heard."""

    model_config = ConfigDict(extra="forbid")


class Answer(Body):
    """A body that Gantry sends: it may grow. A client that is older than the platform ignores what it does not know."""

    model_config = ConfigDict(extra="ignore")


class _Open:
    """Lets a reader keep a text that is none of the known values. The API's description lists the known ones alone."""

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.union_schema(
            [handler(source), core_schema.str_schema()], mode="left_to_right"
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        assert schema["type"] == "union"
        known = schema["choices"][0]
        assert not isinstance(known, tuple)
        return handler(known)


Open = Annotated[_T, _Open()]
"""Type of an answer's field with a list of values that may grow: `Open[Literal["queued", "active"]]`.

A client that is older than the platform shows a value that it does not know as it is. Whoever reads such a field must
therefore have an answer for every text; a request's list of values stays closed.
"""


class ErrorBody(Answer):
    """What every refused request is answered with, below the key `error`."""

    kind: Open[Literal["user", "transient", "permanent", "integrity", "cancelled"]]
    code: str = Field(description="Stable dotted identifier; scripts may match it.")
    message: str
    hint: str = ""
    where: str = ""
    last_lines: str = Field(
        "",
        description="The end of what a process printed that did not come up, where that failed a deploy.",
    )
