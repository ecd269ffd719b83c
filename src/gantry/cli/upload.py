"""From a folder to a stored snapshot: pack, ask whether it is there, send it."""

from collections.abc import Iterator
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from gantry.cli.platform import PackedSource
from gantry.cli.session import Session
from gantry.features.deploys.bodies import DeployRequest
from gantry.features.releases.bodies import CommitRequest
from gantry.kernel.units import format_size

_MOST_NAMES = 6


def upload(session: Session, folder: Path) -> DeployRequest:
    """Store a snapshot of `folder` and describe it for a deploy. Nothing is sent that is there already."""
    with session.err.status("Packing") if session.err.is_terminal else _Silent():
        packed = session.platform.pack(folder)
        known = session.api.has_source(packed.digest)
    session.say(f"packed {packed.files} files, {format_size(packed.size_bytes)}{_left_out(packed)}")
    if known:
        session.say("already uploaded")
    else:
        _send(session, packed)
    return DeployRequest(
        source_digest=packed.digest, commit=CommitRequest.model_validate(dict(packed.commit))
    )


class _Silent:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def _left_out(packed: PackedSource) -> str:
    if not packed.left_out:
        return ""
    names = ", ".join(packed.left_out[:_MOST_NAMES])
    more = len(packed.left_out) - _MOST_NAMES
    return f"; left out {names}" + (f" and {more} more" if more > 0 else "")


def _send(session: Session, packed: PackedSource) -> None:
    bar = Progress(
        TextColumn("Uploading"),
        BarColumn(bar_width=30),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=session.err,
        transient=True,
        disable=not session.err.is_terminal,
    )
    sent = 0
    with bar:
        task = bar.add_task("upload", total=packed.archive_bytes or None)

        def chunks() -> Iterator[bytes]:
            nonlocal sent
            for chunk in packed.open():
                yield chunk
                sent += len(chunk)
                bar.update(task, completed=sent)

        session.api.put_source(packed.digest, chunks(), packed.archive_bytes)
    session.say(f"uploaded {format_size(sent)}")
