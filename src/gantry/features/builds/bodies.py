"""What the API says of sources, and of what builds leave behind."""

from typing import TYPE_CHECKING, Self

from pydantic import Field

from gantry.kernel.bodies import Answer

if TYPE_CHECKING:
    from gantry.engines.sources.protocol import Snapshot


class SourceBody(Answer):
    """A stored snapshot."""

    digest: str
    files: int
    size_bytes: int

    @classmethod
    def of(cls, snapshot: "Snapshot") -> Self:
        """A snapshot as the source store has it."""
        return cls(digest=snapshot.digest, files=snapshot.files, size_bytes=snapshot.size_bytes)


class BuildCacheBody(Answer):
    """What builds of a project have left for its next ones."""

    project: str
    size_bytes: int = Field(description="Of the cache; in the answer to its clearing, what went.")
