"""Answers as JSON documents, exactly as the API sent them."""

from collections.abc import Iterable

from gantry.wire.shapes import Shape


def array(bodies: Iterable[Shape]) -> str:
    """Several bodies as one JSON array."""
    return "[" + ",".join(body.model_dump_json() for body in bodies) + "]"
