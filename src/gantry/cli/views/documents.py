"""Answers as JSON documents, exactly as the API sent them."""

from collections.abc import Iterable

from gantry.kernel.bodies import Answer


def array(bodies: Iterable[Answer]) -> str:
    """Several bodies as one JSON array."""
    return "[" + ",".join(body.model_dump_json() for body in bodies) + "]"
