"""How values of a manifest are written, read and shown: sizes, durations, commands, paths, names.

In TOML a key has no unit (`memory = "512 MB"`) and the attribute has one (`memory_bytes`). Values are read in
two modes: `TOML` from a file, where a size must be text with a unit, and otherwise also as the plain number that
`model_dump()` wrote.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Strict,
    ValidationInfo,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from gantry.kernel.units import parse_duration, parse_size

TOML = "toml"
"""Context of a validation that reads a file."""

MAX_TEXT = 4096
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
MAX_HOST_LENGTH = 253
# Case and underscores as products' own lists of hosts may have them.
_HOST_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
MAX_LABEL_LENGTH = 63
MAX_NAME_LENGTH = 40
# The console's own address, and names that visitors would take for it, for the domain itself or for this machine.
_OWN_NAMES = frozenset({"gantry", "console", "www", "localhost"})
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_RESERVED = frozenset({"PORT", "HOST", "HOSTNAME"})


class Section(BaseModel):
    """Base of all tables of a manifest: frozen, and nothing unknown is accepted."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True
    )


def bad_value(message: str, *, suggestion: str = "") -> PydanticCustomError:
    """A value of the right type that cannot be meant. `message` goes on after the key's name."""
    context = {"text": message, "suggestion": suggestion}
    return PydanticCustomError("bad_value", "{text}", context)


def not_supported(message: str) -> PydanticCustomError:
    """A value that means something elsewhere, and that Gantry cannot do."""
    return PydanticCustomError("not_supported", "{text}", {"text": message})


def wrong_type(message: str) -> PydanticCustomError:
    """A value of the wrong type."""
    return PydanticCustomError("wrong_type", "{text}", {"text": message})


@dataclass(frozen=True, slots=True)
class _Quantity:
    """A number with a unit, between two bounds that are written as people write them."""

    low: str
    high: str
    noun: ClassVar[str]
    like: ClassVar[str]

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return self.json_schema()

    def json_schema(self) -> JsonSchemaValue:
        raise NotImplementedError

    def parse(self, text: str) -> float:
        raise NotImplementedError

    def read(self, value: object, info: ValidationInfo) -> float:
        number = self._number(value, info)
        if not self.parse(self.low) <= number <= self.parse(self.high):
            raise bad_value(f"must be from {self.low} to {self.high}")
        return number

    def _number(self, value: object, info: ValidationInfo) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if isinstance(value, str):
            try:
                return self.parse(value)
            except (ValueError, OverflowError) as error:
                raise bad_value(
                    f"is {shown(value)}, which is not a {self.noun}; write it like {self.like!r}"
                ) from error
        if is_number and info.context != TOML:
            assert isinstance(value, int | float)
            return value
        if is_number:
            raise wrong_type(f"needs a unit; write it in quotes, like {self.like!r}")
        raise wrong_type(f"must be text like {self.like!r}, not {kind_of(value)}")


class SizeOf(_Quantity):
    """A size in bytes."""

    noun = "size"
    like = "512 MB"

    def parse(self, text: str) -> int:
        return parse_size(text)

    def json_schema(self) -> JsonSchemaValue:
        return {"type": "string", "pattern": r"^\d+(\.\d+)? *([KMGTkmgt]i?)?[Bb]$"}


class DurationOf(_Quantity):
    """A duration in seconds."""

    noun = "duration"
    like = "30s"

    def parse(self, text: str) -> float:
        return float(parse_duration(text))

    def json_schema(self) -> JsonSchemaValue:
        return {"type": "string", "pattern": r"^\d+(\.\d+)? *(ms|s|m|h|d)$"}


def size_text(size_bytes: float) -> str:
    """`512_000_000` as it is written in a manifest: `512 MB`. Exact: `parse_size` gives the same number."""
    for unit, factor in (("GB", 1000**3), ("MB", 1000**2), ("KB", 1000)):
        if size_bytes >= factor and size_bytes % (factor / 10) == 0:
            return f"{_plain(size_bytes / factor)} {unit}"
    return f"{int(size_bytes)} B"


def duration_text(seconds: float) -> str:
    """`600.0` as it is written in a manifest: `10m`. Exact: `parse_duration` gives the same number."""
    for unit, factor in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= factor and seconds % factor == 0:
            return f"{_plain(seconds / factor)}{unit}"
    return f"{_plain(seconds)}s" if seconds >= 1 or seconds == 0 else f"{_plain(seconds * 1000)}ms"


def _plain(number: float) -> str:
    """`number` without an exponent and without zeros at its end."""
    return f"{number:.6f}".rstrip("0").rstrip(".")


def shown_as(text: Callable[[float], str]) -> Callable[[JsonSchemaValue], None]:
    """Make a JSON schema show a default the way it is written, not the number that it becomes."""

    def change(schema: JsonSchemaValue) -> None:
        if isinstance(schema.get("default"), int | float):
            schema["default"] = text(schema["default"])

    return change


as_size = shown_as(size_text)
as_duration = shown_as(duration_text)


def kind_of(value: object) -> str:
    """What a value is, in TOML's words, with the value itself when it is short."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}" if abs(value) < 10**12 else "a number"
        case str():
            return f"the text {shown(value)}"
        case list() | tuple():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def shown(text: str, longest: int = 60) -> str:
    """`text` in quotes, without control characters, and cut when it is long."""
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return repr(cut)


def label_fault(text: str) -> str | None:
    """Why `text` cannot be one label of a host name, whose length is the caller's to check; `None` when it can."""
    if _LABEL.fullmatch(text):
        return None
    return "use lower-case letters, digits and single hyphens, and start and end with a letter or digit"


def project_name_fault(name: str) -> str | None:
    """Why `name` cannot be a project's, as the end of a sentence about it; `None` when it can.

    It is part of the addresses of the project's environments, releases and builds, and must never be another's.
    """
    fault = label_fault(name)
    if fault is not None:
        return f"is {shown(name)}; {fault}"
    if len(name) > MAX_NAME_LENGTH:
        return f"has {len(name)} characters; the limit is {MAX_NAME_LENGTH}"
    if "--" in name:
        return f"is {shown(name)}; -- separates the parts of Gantry's own host names"
    if name == "gantry":
        return "is 'gantry', which is the console's own address; choose another name"
    if name in _OWN_NAMES:
        return f"is {shown(name)}, which is kept for Gantry itself; choose another name"
    return None


def variable_fault(name: str) -> str | None:
    """Why `name` cannot be a variable of a project; `None` when it can."""
    if not _VARIABLE.fullmatch(name):
        return f"{shown(name)} cannot be the name of a variable; use letters, digits and _"
    if name in _RESERVED or name.startswith("GANTRY_"):
        return f"{name} is set by Gantry for each instance and cannot be changed"
    return None


def _text(value: str) -> str:
    if len(value) > MAX_TEXT:
        raise bad_value(f"has {len(value)} characters; the limit is {MAX_TEXT}")
    if "\0" in value:
        raise bad_value("contains a NUL character")
    return value


def _command(value: str | None) -> str | None:
    return value.strip() or None if value is not None else None


def _inside(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value:
        raise bad_value(
            f"is {shown(value)}, which leads out of the project; name a folder inside it"
        )
    return "" if str(path) == "." else str(path)


def _url_path(value: str) -> str:
    if not value.startswith("/") or value.startswith("//"):
        raise bad_value(f"is {shown(value)}; write a path that starts with one /")
    if any(ord(char) <= 32 or ord(char) == 127 for char in value) or "#" in value:
        raise bad_value(
            f"is {shown(value)}; spaces, control characters and # are not possible in a path"
        )
    return value


def _host_name(value: str) -> str:
    if len(value) > MAX_HOST_LENGTH or not all(
        _HOST_LABEL.fullmatch(label) for label in value.split(".")
    ):
        raise bad_value("must be a host name, such as shop.example.com")
    return value


def _variable(value: str) -> str:
    fault = variable_fault(value)
    if fault is not None:
        raise bad_value(fault)
    return value


Text = Annotated[str, AfterValidator(_text)]
Command = Annotated[str | None, AfterValidator(_command)]
FolderInside = Annotated[Text, AfterValidator(_inside)]
UrlPath = Annotated[Text, AfterValidator(_url_path)]
HealthPath = Annotated[Text, AfterValidator(lambda value: value and _url_path(value))]
HostName = Annotated[Text, AfterValidator(_host_name)]
VariableName = Annotated[Text, AfterValidator(_variable)]
Flag = Annotated[bool, Strict()]
Count = Annotated[int, Strict()]
