"""What the API says of sources and builds."""

from typing import Self

from gantry.engines.sources.protocol import Snapshot
from gantry.kernel.bodies import Answer


class SourceBody(Answer):
    """A stored snapshot."""

    digest: str
    files: int
    size_bytes: int

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        """A snapshot as the source store has it."""
        return cls(digest=snapshot.digest, files=snapshot.files, size_bytes=snapshot.size_bytes)
