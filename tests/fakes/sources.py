"""Snapshots in a temporary folder of the test."""

import io
import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gantry.engines.sources.protocol import Snapshot, SourceStore
from gantry.engines.sources.unpack import too_large, unpack
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import UserError
from gantry.kernel.trees import tree_digest
from gantry.source.pack import USUAL_BOUNDS, Bounds
from tests.fakes.machine import Machine
from tests.fakes.programs import Program

_LOST = "source.disk-full"


class FakeSources:
    """The snapshots of a machine.

    Parameters:
        directory: of the test; without it one below the temporary directory of the run, which is deleted with it.
    """

    def __init__(
        self, machine: Machine, directory: Path | None = None, bounds: Bounds = USUAL_BOUNDS
    ) -> None:
        self.machine = machine
        self._given = directory
        self._bounds = bounds

    @cached_property
    def _directory(self) -> Path:
        return self._given or Path(tempfile.mkdtemp(prefix="sources-"))

    def add(self, files: Mapping[str, str]) -> Snapshot:
        """Keep a tree of texts, path -> content."""
        new = self._new_tree()
        for path, text in files.items():
            file = new / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return self._adopt(new)

    def put(self, program: Program) -> str:
        """Keep a source that behaves like `program`; its digest."""
        package = {
            "name": "shop",
            "scripts": {"start": "node server.js"},
            "dependencies": {"nx": "22"},  # whose public variables reach a build
            "behaves": repr(program),
        }
        files = {"gantry.toml": program.manifest, "package.json": json.dumps(package)}
        if program.env_example:
            files[".env.example"] = program.env_example
        digest = self.add(files).digest
        self.machine.programs[digest] = program
        return digest

    def rewrite(self, path: str, text: str) -> None:
        """Put a file into every snapshot that is kept, as if they had been sent with it."""
        for snapshot in self.machine.snapshots.values():
            file = snapshot.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    async def receive(self, archive: AsyncIterator[bytes], *, digest: str) -> Snapshot:
        """See `SourceStore.receive`."""
        snapshots = self.machine.snapshots
        if digest in snapshots:
            return snapshots[digest]
        content = bytearray()
        async for chunk in archive:
            content += chunk
            if len(content) > self._bounds.size_bytes * 1.1 + 1_000_000:
                raise too_large(self._bounds)
        self.machine.may_refuse(_LOST, "receive")
        new = self._new_tree()
        unpack(io.BytesIO(content), new, self._bounds)
        if (found := tree_digest(new).digest) != digest:
            message = f"the archive has the digest {found[:12]}, not {digest[:12]}"
            raise UserError("source.digest-mismatch", message, where=digest)
        snapshot = self._adopt(new)
        self.machine.may_lose_reply(_LOST, "receive")
        return snapshot

    async def get(self, digest: str) -> Snapshot | None:
        """See `SourceStore.get`."""
        return self.machine.snapshots.get(digest)

    async def read_file(
        self, digest: str, path: str, *, limit_bytes: int = 1_000_000
    ) -> bytes | None:
        """See `SourceStore.read_file`."""
        snapshot = self.machine.snapshots.get(digest)
        if snapshot is None:
            return None
        root = snapshot.root.resolve()
        file = (root / path).resolve()
        if not file.is_relative_to(root) or not file.is_file():
            return None
        content = file.read_bytes()
        return content if len(content) <= limit_bytes else None

    async def list(self) -> Mapping[str, int]:
        """See `SourceStore.list`."""
        return {digest: item.size_bytes for digest, item in self.machine.snapshots.items()}

    async def remove(self, digest: str) -> None:
        """See `SourceStore.remove`."""
        # The files stay as long as the directory: copies of a machine share them.
        self.machine.snapshots.pop(digest, None)

    def _new_tree(self) -> Path:
        self._directory.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="tree-", dir=self._directory)) / "tree"

    def _adopt(self, tree: Path) -> Snapshot:
        found = tree_digest(tree)
        snapshot = Snapshot(found.digest, tree, found.files, found.size_bytes)
        self.machine.snapshots[found.digest] = snapshot
        return snapshot


if TYPE_CHECKING:
    _guard: SourceStore = FakeSources(Machine(ManualClock()))
