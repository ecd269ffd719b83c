"""What the name of a file says about it. Pure."""

import re
from collections.abc import Mapping

from gantry.kernel.errors import UserError

PACK_PREFIX = "pack-"
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,127}")
# Below these the framework names every file by its content or its build, and serves it for ever itself.
_OWNED = re.compile(r"/(_next/static|_astro|_nuxt|_app/immutable)(/|$)")
# `index-BhX2k3_a.js`, `main.5f3c9a1b.css`. Elsewhere products put files of their own beside the generator's.
_HASHED = re.compile(r"[.-](?=[\w-]*\d)[A-Za-z0-9_-]{8,}\.[a-z0-9]+$")
VARIANTS: Mapping[str, str] = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}
_MAX_NAME_BYTES = 255
_MAX_SUFFIX_BYTES = 4

# RFC 9512 and others name the types; text that says no charset would be read in the visitor's own.
TYPES: Mapping[str, str] = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".cjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".htm": "text/html; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".vtt": "text/vtt; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".xml": "application/xml",
    ".json": "application/json",
    ".map": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".pdf": "application/pdf",
    ".zip": "application/zip",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".apng": "image/apng",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".ico": "image/x-icon",
    ".bmp": "image/bmp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".ttf": "font/ttf",
    ".otf": "font/otf",
    ".eot": "application/vnd.ms-fontobject",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".weba": "audio/webm",
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".webm": "video/webm",
    ".ogv": "video/ogg",
    ".mov": "video/quicktime",
    ".glb": "model/gltf-binary",
    ".gltf": "model/gltf+json",
}
UNKNOWN_TYPE = "application/octet-stream"
_COMPRESSED = frozenset(
    (
        ".png", ".apng", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".jxl", ".woff", ".woff2", ".mp3", ".m4a",
        ".ogg", ".oga", ".opus", ".flac", ".weba", ".mp4", ".m4v", ".webm", ".ogv", ".mov", ".zip", ".7z", ".xz",
        ".bz2", ".pdf",
    )
)  # fmt: skip


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a scope or a build: it becomes a folder and part of a header.

    Raises:
        UserError: `assets.bad-name`.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            "assets.bad-name",
            f"{name!r} cannot be the name of a build or a scope",
            hint="use small letters, digits, dot and minus, such as shop-production",
        )


def pack_task(build: str) -> str:
    """Id of the process that compresses after a build was published."""
    return f"{PACK_PREFIX}{build}"


def check_prefix(prefix: str, folder: str) -> None:
    """Refuse prefixes and folders that lead somewhere else.

    Raises:
        UserError: `assets.bad-prefix`.
    """
    strange = {"", ".", ".."}
    parts = prefix.strip("/").split("/")
    if (
        not prefix.startswith("/")
        or prefix != "/" + "/".join(parts)
        or strange & set(parts)
        or folder.startswith("/")
        or ".." in folder.split("/")
    ):
        raise UserError(
            "assets.bad-prefix",
            f"{prefix!r} with the folder {folder!r} is no prefix of assets",
            hint="a prefix is like /_next/static, its folder is like .next/static",
        )


def is_servable(name: str) -> bool:
    """Whether the store takes a file: its name must be no variant of another's, and leave room for its own variants."""
    size = len(name.encode("utf-8", "surrogateescape"))
    lowered = name.lower()
    return (
        size + _MAX_SUFFIX_BYTES <= _MAX_NAME_BYTES
        and not lowered.endswith(tuple(VARIANTS.values()))
        and "\\" not in name
    )


def is_immutable(path: str) -> bool:
    """Whether the file at a URL path never changes under that name."""
    return bool(_OWNED.search(path) or _HASHED.search(path))


def may_shrink(path: str) -> bool:
    """Whether compressing is worth a try: not for what is compressed already."""
    name = path.rpartition("/")[2].lower()
    return "." not in name or "." + name.rpartition(".")[2] not in _COMPRESSED
