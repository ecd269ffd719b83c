"""Serves a folder of files: `HOST=127.0.0.1 PORT=3000 python -m gantry.engines.builders.serve_static FOLDER`.

A path finds its file, `path.html` or `path/index.html`. What is not found gets the site's `404.html`; a site without one
whose only page is `index.html` is a single-page application, and its pages are all `index.html`.
"""

import functools
import json
import mimetypes
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

# `index-BhX2k3_a.js`, `main.5f3c9a1b.css`: a name that changes with the content may be kept for ever.
_HASHED = re.compile(r"[.-](?=[\w-]*\d)[A-Za-z0-9_-]{8,}\.[a-z0-9]+$")
_ASSET_FOLDERS = ("assets", "static", "_astro", "_next", "_app", "build")
_IMMUTABLE = "public, max-age=31536000, immutable"
_REVALIDATE = "public, max-age=0, must-revalidate"
# A path that ends so is a file, also where it is missing. `/user/john.doe` and `/docs/v1.2` are pages.
_FILES = frozenset(
    ("js", "mjs", "cjs", "css", "map", "json", "jsonld", "xml", "txt", "csv", "md", "pdf", "png", "jpg", "jpeg", "gif", "svg", "webp", "avif",
     "ico", "bmp", "woff", "woff2", "ttf", "otf", "eot", "mp3", "mp4", "webm", "ogg", "wav", "wasm", "webmanifest", "zip",
     "gz", "br", "html", "htm", "php", "env")
)  # fmt: skip
# What Python knows of only where the machine has a list of its own.
_TYPES = {
    ".webp": "image/webp", ".avif": "image/avif", ".jxl": "image/jxl", ".woff": "font/woff", ".woff2": "font/woff2",
    ".ttf": "font/ttf", ".otf": "font/otf", ".eot": "application/vnd.ms-fontobject", ".mjs": "text/javascript",
    ".js": "text/javascript", ".cjs": "text/javascript", ".wasm": "application/wasm", ".map": "application/json",
    ".webmanifest": "application/manifest+json", ".jsonld": "application/ld+json", ".rss": "application/rss+xml",
    ".atom": "application/atom+xml", ".glb": "model/gltf-binary", ".gltf": "model/gltf+json", ".ics": "text/calendar",
    ".md": "text/markdown", ".m4a": "audio/mp4", ".opus": "audio/ogg", ".ogg": "audio/ogg", ".zip": "application/zip",
}  # fmt: skip
_MAX_LOOK_BYTES = 1_000_000
# Longer than the edge keeps an idle connection.
_KEEP_ALIVE_S = 75
_GRACE_S = 25


class Site(StaticFiles):
    """The files of one site."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, html=True)
        self._single_page = _is_single_page(folder)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file for `path`, or the page that stands for it."""
        try:
            response = await self._find(path, scope)
        except HTTPException as error:
            if error.status_code != 404 or not self._single_page or _is_file_name(path):
                raise
            response = await super().get_response("index.html", scope)
        if isinstance(response, FileResponse) and not Path(response.path).suffix:
            response.headers["content-type"] = type_of(str(response.path))
        kept = path.split("/", 1)[0] in _ASSET_FOLDERS and _HASHED.search(path)
        found = response.status_code in (200, 206, 304)
        response.headers["cache-control"] = _IMMUTABLE if kept and found else _REVALIDATE
        return response

    async def _find(self, path: str, scope: Scope) -> Response:
        if not _is_file_name(path):
            _, page = self.lookup_path(f"{path}.html")
            if page is not None:
                return await super().get_response(f"{path}.html", scope)
        return await super().get_response(path, scope)


def _is_single_page(folder: Path) -> bool:
    pages = [path.name for path in folder.glob("*.html")]
    return pages == ["index.html"]


def _is_file_name(path: str) -> bool:
    _, dot, kind = path.rpartition("/")[2].rpartition(".")
    return path in ("", ".") or (bool(dot) and kind.lower() in _FILES)


@functools.lru_cache(1000)
def type_of(path: str) -> str:
    """The content type of a file without an ending, such as `apple-app-site-association`: by what is in it, which never
    changes.
    """
    with Path(path).open("rb") as file:
        content = file.read(_MAX_LOOK_BYTES)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return "application/octet-stream"
    try:
        return (
            "application/json"
            if isinstance(json.loads(text), dict | list)
            else "text/plain; charset=utf-8"
        )
    except ValueError:
        return "text/plain; charset=utf-8"


def main(argv: list[str], environ: Mapping[str, str]) -> None:
    """Serve the folder that `argv` names until SIGTERM; requests that have begun are finished."""
    for ending, kind in _TYPES.items():
        mimetypes.add_type(kind, ending)
    uvicorn.run(
        Starlette(routes=[Mount("/", Site(Path(argv[0])))]),
        host=environ.get("HOST", "127.0.0.1"),
        port=int(environ.get("PORT", "3000")),
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
