"""Snapshots for the simulation: trees in memory, written to a folder only when somebody asks for one."""

import io
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gantry.engines.sources.protocol import Snapshot, SourceStore
from gantry.engines.sources.unpack import too_large, unpack
from gantry.kernel.errors import UserError
from gantry.kernel.trees import remove_tree, tree_digest
from gantry.source.pack import USUAL_BOUNDS, Bounds


class FakeSourceStore:
    """A store that forgets everything with its folder.

    Parameters:
        folder: a temporary folder of the test.
        lose_replies: the next so many `receive` calls keep the snapshot, and then fail as if the connection broke.
    """

    def __init__(
        self, folder: Path, bounds: Bounds = USUAL_BOUNDS, *, lose_replies: int = 0
    ) -> None:
        self._folder = folder
        self._bounds = bounds
        self.lose_replies = lose_replies
        self._snapshots: dict[str, Snapshot] = {}

    def add(self, files: Mapping[str, str]) -> Snapshot:
        """Keep a tree of texts, path -> content; for tests that need no archive."""
        new = self._folder / f"tree-{len(self._snapshots)}"
        for path, text in files.items():
            place = new / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return self._adopt(new)

    async def receive(self, archive: AsyncIterator[bytes], *, digest: str) -> Snapshot:
        """See `SourceStore.receive`."""
        if digest in self._snapshots:
            return self._snapshots[digest]
        content = bytearray()
        async for chunk in archive:
            content += chunk
            if len(content) > self._bounds.size_bytes * 1.1 + 1_000_000:
                raise too_large(self._bounds)
        new = self._folder / ".new"
        self._folder.mkdir(parents=True, exist_ok=True)
        remove_tree(new)
        unpack(io.BytesIO(content), new, self._bounds)
        if (found := tree_digest(new).digest) != digest:
            message = f"the archive has the digest {found[:12]}, not {digest[:12]}"
            raise UserError("source.digest-mismatch", message, where=digest)
        snapshot = self._adopt(new.rename(self._folder / f"tree-{len(self._snapshots)}"))
        if self.lose_replies > 0:
            self.lose_replies -= 1
            raise ConnectionResetError("the reply was lost")
        return snapshot

    async def get(self, digest: str) -> Snapshot | None:
        """See `SourceStore.get`."""
        return self._snapshots.get(digest)

    async def read_file(
        self, digest: str, path: str, *, limit_bytes: int = 1_000_000
    ) -> bytes | None:
        """See `SourceStore.read_file`."""
        snapshot = self._snapshots.get(digest)
        if snapshot is None:
            return None
        root = snapshot.root.resolve()
        place = (root / path).resolve()
        if not place.is_relative_to(root) or not place.is_file():
            return None
        content = place.read_bytes()
        return content if len(content) <= limit_bytes else None

    async def list(self) -> Mapping[str, int]:
        """See `SourceStore.list`."""
        return {digest: snapshot.size_bytes for digest, snapshot in self._snapshots.items()}

    async def remove(self, digest: str) -> None:
        """See `SourceStore.remove`."""
        snapshot = self._snapshots.pop(digest, None)
        if snapshot is not None:
            remove_tree(snapshot.root)

    def _adopt(self, tree: Path) -> Snapshot:
        found = tree_digest(tree)
        snapshot = Snapshot(found.digest, tree, found.files, found.size_bytes)
        self._snapshots[found.digest] = snapshot
        return snapshot


if TYPE_CHECKING:
    _guard: SourceStore = FakeSourceStore(Path())
