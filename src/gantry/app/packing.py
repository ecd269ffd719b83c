"""A project's folder as the command line uploads it."""

from dataclasses import asdict
from pathlib import Path

from gantry.cli.platform import PackedSource
from gantry.engines.sources.archive import pack
from gantry.engines.sources.commit import commit_of


def pack_folder(folder: Path) -> PackedSource:
    """Snapshot `folder`.

    Raises:
        UserError: `source.*`.
    """
    packed = pack(folder)
    commit = commit_of(folder)
    return PackedSource(
        digest=packed.digest,
        files=len(packed.entries),
        size_bytes=packed.size_bytes,
        open=packed.chunks,
        left_out=tuple(f"{path} ({why})" for path, why in packed.left_out.items()),
        commit=_bounded(asdict(commit)) if commit is not None else {},
    )


def _bounded(commit: dict[str, str | bool]) -> dict[str, str | bool]:
    """Cut to what the API takes: a first line may be any length."""
    longest = {"sha": 64, "branch": 200, "message": 500, "author": 200}
    return {
        name: value[: longest[name]] if isinstance(value, str) else value
        for name, value in commit.items()
    }
