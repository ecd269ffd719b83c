"""Bases of the API's bodies, and the error that every refused request is answered with."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Body(BaseModel):
    """Base of every body: immutable."""

    model_config = ConfigDict(frozen=True)


class Request(Body):
    """A body that comes from outside: what is not known is refused, so that a typo is heard."""

    model_config = ConfigDict(extra="forbid")


class Answer(Body):
    """A body that Gantry sends: it may grow. A client that is older than the platform ignores what it does not know."""

    model_config = ConfigDict(extra="ignore")


class ErrorBody(Answer):
    """What every refused request is answered with, below the key `error`."""

    kind: Literal["user", "transient", "permanent", "integrity", "cancelled"]
    code: str = Field(description="Stable dotted identifier; scripts may match it.")
    message: str
    hint: str = ""
    where: str = ""
