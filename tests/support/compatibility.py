"""Whether clients that know an earlier description of the API are still served by today's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Optional

from pydantic import BaseModel, ConfigDict, create_model

Schema = Mapping[str, Any]
Document = Mapping[str, Any]

# Bounds, and whether the reader's must be at least or at most the writer's.
_UPPER = ("maxLength", "maximum", "maxItems", "maxProperties")
_LOWER = ("minLength", "minimum", "minItems")


@dataclass(frozen=True, slots=True)
class Side:
    """A description of the API, as one of the two that talk knows it."""

    document: Document

    def resolved(self, schema: Schema) -> Schema:
        """The schema itself, where another is named."""
        while "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def alternatives(self, schema: Schema) -> list[Schema]:
        """The schemas of which a value fits one."""
        resolved = self.resolved(schema)
        if "anyOf" not in resolved:
            return [resolved]
        return [found for given in resolved["anyOf"] for found in self.alternatives(given)]


def faults(earlier: Document, today: Document) -> list[str]:
    """What a client of `earlier` could not do with `today`, one sentence each.

    A request of the client must still be accepted. An answer must still be readable for a client that ignores fields
    which it does not know, that shows an unknown value of a list of values as it is, and that does not measure what it
    is told.
    """
    return list(_faults(Side(earlier), Side(today)))


def _faults(earlier: Side, today: Side) -> Iterator[str]:
    for path, operations in earlier.document["paths"].items():
        for method, before in operations.items():
            name = f"{method.upper()} {path}"
            now = today.document["paths"].get(path, {}).get(method)
            if now is None:
                yield f"{name} is gone"
                continue
            yield from _parameters(name, earlier, before, today, now)
            given, taken = before.get("requestBody"), now.get("requestBody")
            if given is None and taken is not None and taken.get("required"):
                yield f"{name} needs a body"
            if given is not None:
                yield from _contents(f"{name} takes", today, taken or {}, earlier, given)
            for status, answer in before["responses"].items():
                # A client goes by the class of a status that it does not know.
                sent = now["responses"].get(status) or _alike(now["responses"], status)
                if sent is None:
                    yield f"{name} no longer answers {status}"
                else:
                    yield from _contents(
                        f"{name} {status}", earlier, answer, today, sent, answer=True
                    )


def _alike(answers: Mapping[str, Schema], status: str) -> Schema | None:
    return next((answer for known, answer in answers.items() if known[0] == status[0]), None)


def _parameters(
    name: str, earlier: Side, before: Schema, today: Side, now: Schema
) -> Iterator[str]:
    known = {(given["in"], given["name"]): given for given in before.get("parameters", ())}
    taken = {(given["in"], given["name"]): given for given in now.get("parameters", ())}
    for key, parameter in known.items():
        if key not in taken:
            yield f"{name} no longer takes {key[1]}"
        else:
            reads, writes = taken[key]["schema"], parameter["schema"]
            yield from _unreadable(f"{name} takes {key[1]}", today, reads, earlier, writes)
    for key, parameter in taken.items():
        before_required = key in known and known[key].get("required", False)
        if parameter.get("required", False) and not before_required:
            yield f"{name} needs {key[1]}"


def _contents(
    name: str, reader: Side, reads: Schema, writer: Side, writes: Schema, *, answer: bool = False
) -> Iterator[str]:
    known = reads if answer else writes
    for kind in known.get("content", {}):
        read, written = (side.get("content", {}).get(kind) for side in (reads, writes))
        if read is None or written is None:
            yield f"{name}: no {kind}"
            continue
        schemas = read.get("schema", {}), written.get("schema", {})
        yield from _unreadable(name, reader, schemas[0], writer, schemas[1], answer=answer)


def _unreadable(
    where: str, reader: Side, reads: Schema, writer: Side, writes: Schema, *, answer: bool = False
) -> list[str]:
    """What the writer may send and the reader cannot take."""
    possible = reader.alternatives(reads)
    found: list[str] = []
    for written in writer.alternatives(writes):
        tried = [
            list(_mismatches(where, reader, read, writer, written, answer=answer))
            for read in possible
        ]
        if all(tried):
            # The alternative of the same kind says best what is wrong.
            alike = [read.get("type") == written.get("type") for read in possible]
            found += tried[alike.index(True)] if True in alike else tried[0]
    return found


def _mismatches(
    where: str, reader: Side, read: Schema, writer: Side, written: Schema, *, answer: bool
) -> Iterator[str]:
    if not set(read) & {"type", "enum", "const", "properties"}:
        return  # anything is taken
    kinds = (written.get("type"), read.get("type"))
    if kinds[0] != kinds[1] and kinds != ("integer", "number"):
        yield (
            f"{where} is {kinds[0]}, and was {kinds[1]}"
            if answer
            else (f"{where} must be {kinds[1]}, and was {kinds[0]}")
        )
        return
    yield from _values(where, read, written, answer=answer)
    for bound in () if answer else (*_UPPER, *_LOWER):
        if bound in read and not _within(bound, read[bound], written.get(bound)):
            yield f"{where} has another {bound}"
    for rule in ("pattern", "format"):
        if rule in read and read[rule] != written.get(rule):
            yield f"{where} has another {rule}"
    if "items" in read and "items" in written:
        yield from _unreadable(
            f"{where}[]", reader, read["items"], writer, written["items"], answer=answer
        )
    yield from _objects(where, reader, read, writer, written, answer=answer)


def _values(where: str, read: Schema, written: Schema, *, answer: bool) -> Iterator[str]:
    known = _listed(read)
    if known is None or answer:
        return  # a list of values in an answer is open
    sent = _listed(written)
    if sent is None or not sent <= known:
        yield f"{where} takes fewer values"


def _listed(schema: Schema) -> set[Any] | None:
    if "const" in schema:
        return {schema["const"]}
    return set(schema["enum"]) if "enum" in schema else None


def _within(bound: str, read: float, written: float | None) -> bool:
    if written is None:
        return False
    return written <= read if bound in _UPPER else written >= read


def _objects(
    where: str, reader: Side, read: Schema, writer: Side, written: Schema, *, answer: bool
) -> Iterator[str]:
    expected, sent = read.get("properties", {}), written.get("properties", {})
    always = set(written.get("required", ()))
    for name in read.get("required", ()):
        if name not in always:
            yield f"{where}.{name} may be missing" if answer else f"{where}.{name} is needed"
    for name, schema in sent.items():
        if name in expected:
            yield from _unreadable(
                f"{where}.{name}", reader, expected[name], writer, schema, answer=answer
            )
        elif not answer:
            yield f"{where}.{name} is no longer taken"
    others = read.get("additionalProperties")
    if isinstance(others, Mapping):
        any_value = written.get("additionalProperties", {})
        yield from _unreadable(f"{where}.*", reader, others, writer, any_value, answer=answer)


class Client:
    """A client as it would be made from a description of the API: it ignores fields that it does not know, and takes
    a text for every list of values."""

    def __init__(self, document: Document) -> None:
        self._schemas = document["components"]["schemas"]
        self._models: dict[str, type[BaseModel]] = {}

    def model(self, name: str) -> type[BaseModel]:
        """The client's type for a schema of that name."""
        if name not in self._models:
            schema = self._schemas[name]
            needed = set(schema.get("required", ()))
            fields: dict[str, Any] = {}
            for field, given in schema["properties"].items():
                kind = self._type(given)
                fields[field] = (kind, ...) if field in needed else (Optional[kind], None)  # noqa: UP045
            config = ConfigDict(extra="ignore", strict=True)
            self._models[name] = create_model(name, __config__=config, **fields)
        return self._models[name]

    def _type(self, schema: Schema) -> Any:
        if "$ref" in schema:
            return self.model(schema["$ref"].rsplit("/", 1)[1])
        if "anyOf" in schema:
            first, *others = (self._type(given) for given in schema["anyOf"])
            for other in others:
                first = first | other
            return first
        match schema.get("type"):
            case "array":
                return tuple[self._type(schema["items"]), ...]  # type: ignore[misc]
            case "object":
                return dict[str, self._type(schema["additionalProperties"])]  # type: ignore[misc]
            case "string":
                return datetime if schema.get("format") == "date-time" else str
            case None:
                return Any
            case kind:
                return {"integer": int, "number": float, "boolean": bool, "null": type(None)}[kind]
