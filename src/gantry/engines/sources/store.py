"""Snapshots on disk.

<sources>/<digest>/tree/...        the files, read-only
<sources>/<digest>/snapshot.json   how many, and their size
"""

import asyncio
import errno
import itertools
import json
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from gantry.engines.sources.protocol import Snapshot, SourceStore
from gantry.engines.sources.unpack import too_large, unpack
from gantry.kernel.errors import TransientError, UserError
from gantry.kernel.trees import remove_tree, seal_tree, tree_digest
from gantry.source.pack import USUAL_BOUNDS, Bounds

_DIGEST_LENGTH = 64


class FolderSourceStore:
    """Snapshots below one directory.

    Parameters:
        directory: made when it is missing; nobody else writes there.
    """

    def __init__(self, directory: Path, bounds: Bounds = USUAL_BOUNDS) -> None:
        self._directory = directory
        self._bounds = bounds
        self._uploads = itertools.count()
        self._verified: set[str] = set()

    async def receive(self, archive: AsyncIterator[bytes], *, digest: str) -> Snapshot:
        """See `SourceStore.receive`."""
        _check_name(digest)
        kept = await self.get(digest)
        if kept is not None:
            return kept
        new = self._directory / f".new-{os.getpid()}-{next(self._uploads)}"
        try:
            file = await asyncio.to_thread(self._open, new)
            with file:
                await self._download(archive, file)
                return await asyncio.to_thread(self._keep, new, file, digest)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise TransientError(
                "source.disk-full",
                f"the disk of {self._directory} is full",
                hint="gantry doctor shows what uses it",
                where=str(self._directory),
            ) from error
        finally:
            await asyncio.to_thread(remove_tree, new)

    async def get(self, digest: str) -> Snapshot | None:
        """See `SourceStore.get`."""
        return await asyncio.to_thread(self._get, digest)

    async def read_file(
        self, digest: str, path: str, *, limit_bytes: int = 1_000_000
    ) -> bytes | None:
        """See `SourceStore.read_file`. Of a larger file nothing is returned."""
        return await asyncio.to_thread(self._read_file, digest, path, limit_bytes)

    async def list(self) -> Mapping[str, int]:
        """See `SourceStore.list`."""
        return await asyncio.to_thread(self._list)

    async def remove(self, digest: str) -> None:
        """See `SourceStore.remove`."""
        self._verified.discard(digest)
        if _is_name(digest):
            await asyncio.to_thread(self._remove, digest)

    def _open(self, new: Path) -> BinaryIO:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_tree(new)
        new.mkdir(mode=0o700)
        return (new / "archive.tgz").open("w+b")

    async def _download(self, archive: AsyncIterator[bytes], file: BinaryIO) -> None:
        received = 0
        async for chunk in archive:
            received += len(chunk)
            # Nothing grows by much when it is compressed.
            if received > self._bounds.size_bytes * 1.1 + 1_000_000:
                raise too_large(self._bounds)
            await asyncio.to_thread(file.write, chunk)
        await asyncio.to_thread(file.seek, 0)

    def _keep(self, new: Path, file: BinaryIO, digest: str) -> Snapshot:
        unpack(file, new / "tree", self._bounds)
        found = tree_digest(new / "tree")
        if found.digest != digest:
            raise UserError(
                "source.digest-mismatch",
                f"the archive has the digest {found.digest[:12]}, not {digest[:12]}",
                hint="a file was altered during the upload: run gantry deploy again",
                where=digest,
            )
        (new / "archive.tgz").unlink()
        seal_tree(new / "tree")
        facts = {"files": found.files, "size_bytes": found.size_bytes}
        (new / "snapshot.json").write_text(json.dumps(facts))
        kept = self._directory / digest
        if not kept.exists():  # somebody else may have sent the same
            # A directory can only be renamed by who may write to it; the tree inside stays sealed.
            new.rename(kept)
        self._verified.add(digest)
        return Snapshot(digest, kept / "tree", found.files, found.size_bytes)

    def _get(self, digest: str) -> Snapshot | None:
        facts = self._facts(digest)
        if facts is None:
            return None
        root = self._directory / digest / "tree"
        if digest not in self._verified:
            # Files are not flushed one by one when they arrive: after a power cut this finds what was lost, and the
            # next upload brings it back.
            if tree_digest(root).digest != digest:
                self._remove(digest)
                return None
            self._verified.add(digest)
        return Snapshot(digest, root, facts["files"], facts["size_bytes"])

    def _facts(self, digest: str) -> dict[str, int] | None:
        if not _is_name(digest):
            return None
        try:
            facts = json.loads((self._directory / digest / "snapshot.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return {name: int(facts[name]) for name in ("files", "size_bytes")}

    def _read_file(self, digest: str, path: str, limit_bytes: int) -> bytes | None:
        if not _is_name(digest):
            return None
        root = os.path.realpath(self._directory / digest / "tree")
        target = os.path.realpath(Path(root, path))
        if not target.startswith(root + os.sep):
            return None
        try:
            with Path(target).open("rb") as file:
                content = file.read(limit_bytes + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        return content if len(content) <= limit_bytes else None

    def _list(self) -> dict[str, int]:
        if not self._directory.is_dir():
            return {}
        found = {entry.name: self._facts(entry.name) for entry in self._directory.iterdir()}
        return {name: facts["size_bytes"] for name, facts in found.items() if facts is not None}

    def _remove(self, digest: str) -> None:
        gone = self._directory / f".gone-{digest}"
        remove_tree(gone)
        try:
            (self._directory / digest).rename(gone)
        except FileNotFoundError:
            return
        remove_tree(gone)


def _is_name(digest: str) -> bool:
    return len(digest) == _DIGEST_LENGTH and set(digest) <= set("0123456789abcdef")


def _check_name(digest: str) -> None:
    if not _is_name(digest):
        raise UserError(
            "source.digest-mismatch",
            f"{digest[:80]!r} is not a digest, which is 64 characters of 0-9 and a-f",
            hint="gantry deploy computes it",
        )


if TYPE_CHECKING:

    def _guard(store: FolderSourceStore) -> SourceStore:
        return store
