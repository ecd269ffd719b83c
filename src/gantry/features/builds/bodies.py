"""What the API says of sources and builds."""

from gantry.kernel.bodies import Answer


class SourceBody(Answer):
    """A stored snapshot."""

    digest: str
    files: int
    size_bytes: int
