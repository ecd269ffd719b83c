"""Files whose content Git LFS keeps elsewhere: what is deployed is the content, never the pointer to it."""

from pathlib import Path

from gantry.kernel.errors import UserError

_BEGINS = b"version https://git-lfs.github.com/spec/v1\n"
# The format's own limit, and what its three lines need at least.
_MIN_BYTES, _MAX_BYTES = 100, 1024
_SHOWN = 5


def is_pointer(path: Path, size_bytes: int) -> bool:
    """Whether the file only names a content, by its looks.

    Raises:
        OSError: it cannot be read.
    """
    if not _MIN_BYTES <= size_bytes <= _MAX_BYTES:
        return False
    with path.open("rb") as file:
        return file.read(len(_BEGINS)) == _BEGINS


def refuse_pointers(root: Path, paths: list[str]) -> None:
    """Refuse what git would replace by its content; a file that looks so and is not filtered may go.

    Raises:
        UserError: `source.lfs-pointer`.
    """
    if not paths:
        return
    from gantry.source.git import answer  # noqa: PLC0415 -- starting programs, only where there is one

    waiting = []
    for path in sorted(paths):
        place = root / path
        said = answer(place.parent, "check-attr", "filter", "--", place.name)
        if said is None or said.endswith(": lfs"):
            waiting.append(path)
    if not waiting:
        return
    more = len(waiting) - _SHOWN
    raise UserError(
        "source.lfs-pointer",
        f"Git LFS has not fetched the content of {', '.join(waiting[:_SHOWN])}"
        + (f" and {more} more" if more > 0 else ""),
        hint="git lfs pull; what the product does not need can be named in .gantryignore",
        where=str(root / waiting[0]),
    )
