"""Snapshots of a project's tree: what a build is made from. Content-addressed, immutable, without secrets."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One stored tree.

    Attributes:
        digest: SHA-256 over paths, modes and contents, hex; the same tree has the same digest on any machine.
        root: folder that holds the tree, read-only.
    """

    digest: str
    root: Path
    files: int
    size_bytes: int


class SourceStore(Protocol):
    """Keeps snapshots."""

    async def receive(self, archive: AsyncIterator[bytes], *, digest: str) -> Snapshot:
        """Unpack an uploaded gzip tar and keep it under `digest`. A snapshot that exists already is returned.

        Raises:
            UserError: `source.too-large`, `source.bad-archive` (links or paths that lead out, devices),
                `source.digest-mismatch`.
            TransientError: `source.disk-full`.
        """
        ...

    async def get(self, digest: str) -> Snapshot | None:
        """The snapshot, or `None` when it is not kept (any more)."""
        ...

    async def read_file(
        self, digest: str, path: str, *, limit_bytes: int = 1_000_000
    ) -> bytes | None:
        """One small file of a snapshot; `None` when there is none of that name."""
        ...

    async def list(self) -> Mapping[str, int]:
        """Digest -> size in bytes of everything kept."""
        ...

    async def remove(self, digest: str) -> None:
        """Delete one snapshot; unknown ones are ignored."""
        ...
