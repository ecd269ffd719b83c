"""A snapshot of a folder on its way to the control plane."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rich.progress import BarColumn, FileSizeColumn, Progress, TextColumn, TransferSpeedColumn

from gantry.cli.session import Session
from gantry.cli.transport import path as api_path
from gantry.config.load import MANIFEST, source_top
from gantry.features.builds.bodies import SourceBody
from gantry.features.deploys.bodies import DeployRequest
from gantry.features.releases.bodies import CommitRequest
from gantry.kernel.errors import NotFoundError
from gantry.kernel.units import counted, format_size
from gantry.source.commit import commit_of, origin_of
from gantry.source.listing import Ignored
from gantry.source.pack import PackedSource, pack

_MAX_NAMES = 6
_MAX_ORIGIN = 300


def upload(session: Session, directory: Path, root: str, commit: CommitRequest) -> DeployRequest:
    """Store a snapshot of the project, unless it is stored already, and describe it for a deploy."""
    try:
        return _stored(session, directory, root, commit)
    except KeyboardInterrupt:
        session.say("nothing was started: the source was still on its way")
        raise


def _stored(session: Session, directory: Path, root: str, commit: CommitRequest) -> DeployRequest:
    top = source_top(directory, root)
    with session.progress("Packing"):
        # Also where an ignore file names it.
        packed = pack(top, manifest=(directory / MANIFEST).read_bytes())
        known = _is_stored(session, packed.digest)
    size = format_size(packed.size_bytes)
    above = "" if top == directory else f" of {top}"
    session.say(f"packed {counted(len(packed.entries), 'file')}{above}, {size}{_left_out(packed)}")
    if packed.ignored.files:
        session.say(_ignored(packed.ignored), style="dim")
    if known:
        session.say("already uploaded")
    else:
        _send(session, packed)
    return DeployRequest(source_digest=packed.digest, commit=commit)


def _is_stored(session: Session, digest: str) -> bool:
    try:
        session.api.get(SourceBody, api_path("sources", digest))
    except NotFoundError:
        return False
    return True


def _left_out(packed: PackedSource) -> str:
    if not packed.left_out:
        return ""
    reasons = [f"{name} ({reason})" for name, reason in packed.left_out.items()]
    more = len(reasons) - _MAX_NAMES
    return f"; left out {', '.join(reasons[:_MAX_NAMES])}" + (
        f" and {more} more" if more > 0 else ""
    )


def _ignored(ignored: Ignored) -> str:
    """`left out as ignored: 214 files, 12.4 MB; most of it dist/ (11.0 MB)`."""
    amount = f"{counted(ignored.files, 'file')}, {format_size(ignored.size_bytes)}"
    biggest = ", ".join(f"{path} ({format_size(size)})" for path, size in ignored.biggest)
    more = "" if ignored.complete else "at least "
    return f"left out as ignored: {more}{amount}" + (f"; most of it {biggest}" if biggest else "")


def _send(session: Session, packed: PackedSource) -> None:
    # How large the archive will be is known when it is made, which happens while it is sent.
    bar = Progress(
        TextColumn("Uploading"),
        BarColumn(bar_width=30),
        FileSizeColumn(),
        TransferSpeedColumn(),
        console=session.err,
        transient=True,
        disable=not session.err.is_terminal,
    )
    sent = 0
    with bar:
        task = bar.add_task("upload", total=None)

        def chunks() -> Iterator[bytes]:
            nonlocal sent
            for chunk in packed.chunks():
                yield chunk
                sent += len(chunk)
                bar.update(task, completed=sent)

        session.api.put(SourceBody, api_path("sources", packed.digest), chunks())
    session.say(f"uploaded {format_size(sent)}")


def commit_in(directory: Path) -> CommitRequest:
    """What git knows of the directory, cut to what the API takes: a branch or a subject may be any length."""
    commit = commit_of(directory)
    origin = origin_of(directory)[:_MAX_ORIGIN]
    if commit is None:
        return CommitRequest(origin=origin)
    limits = CommitRequest.model_json_schema()["properties"]
    fields = asdict(commit)
    return CommitRequest.model_validate(
        {"origin": origin}
        | {
            name: value[: limits[name]["maxLength"]] if isinstance(value, str) else value
            for name, value in fields.items()
        }
    )
