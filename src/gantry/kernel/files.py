"""Files that are whole at every moment."""

import os
import tempfile
from pathlib import Path


def replace_file(
    path: Path,
    content: bytes | str,
    *,
    mode: int = 0o600,
    fsync: bool = True,
    owner: tuple[int, int] | None = None,
) -> None:
    """Put `content` at `path` in one step: whoever reads it gets the old file or the new one, never half.

    A write that fails leaves the old file, and nothing beside it. Of several writers at once the last wins.

    Parameters:
        path: its directory exists.
        content: text is written as UTF-8.
        mode: permissions, whatever the umask.
        fsync: the content is on the disk before the file has its name: after a power cut it is there or the old one is.
        owner: uid and gid; `None`: whoever calls.

    Raises:
        OSError: such as ENOSPC.
    """
    # A name that nobody can guess: the directory may be somebody else's, who could have put a link there.
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            if owner is not None:
                os.fchown(descriptor, *owner)
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            if fsync:
                os.fsync(descriptor)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
