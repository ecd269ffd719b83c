"""Static files, and those that other people made: fetched once with npm, from a lock file, into static/vendor.

They are neither in the repository nor loaded from elsewhere by the browser. Without them the console is plainer and
does not refresh itself, but it can be read and used.
"""

import asyncio
import hashlib
import logging
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

_log = logging.getLogger(__name__)

WEB = Path(__file__).parent
STATIC = WEB / "static"
VENDOR = STATIC / "vendor"
_STAMP = "lock.sha256"
_INSTALL_TIMEOUT_S = 180.0

# What is copied: path below node_modules -> name below static/vendor.
_FILES = {
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "htmx.org/LICENSE": "htmx.LICENSE",
    "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2": "inter.woff2",
    "@fontsource-variable/inter/LICENSE": "inter.LICENSE",
    "@fontsource-variable/jetbrains-mono/files/jetbrains-mono-latin-wght-normal.woff2": "mono.woff2",
    "@fontsource-variable/jetbrains-mono/LICENSE": "mono.LICENSE",
    "lucide-static/LICENSE": "lucide.LICENSE",
}
ICONS = (
    "arrow-up-right", "ban", "check", "chevron-right", "circle", "circle-alert", "circle-check", "circle-dashed",
    "circle-dot", "circle-pause", "circle-x", "clock", "copy", "database", "external-link", "git-branch", "git-commit-horizontal",
    "key-round", "loader-circle", "log-out", "moon", "package", "plus", "rocket", "scroll-text", "server", "square-terminal",
    "play", "skip-forward", "sun", "trash-2", "triangle-alert", "undo-2", "x",
)  # fmt: skip


async def ensure_assets(npm: tuple[str, ...], env: Mapping[str, str]) -> bool:
    """Make sure that the assets of the present lock file are there.

    Parameters:
        npm: argv that runs npm, such as `(node, npm-cli.js)`.
        env: its environment.

    Returns:
        Whether they are; when npm fails, the end of its output is logged as a warning and nothing is changed.
    """
    wanted = _lock_digest()
    if _stamped(wanted):
        return True
    with tempfile.TemporaryDirectory(prefix="gantry-console-") as directory:
        work = Path(directory)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(WEB / name, work / name)
        if not await _install(npm, env, work):
            return False
        try:
            await asyncio.to_thread(_copy, work / "node_modules", wanted)
        except OSError as error:
            # Installed by another user than who runs it: gantry setup fetches them.
            _log.warning("console assets cannot be kept in %s: %s", STATIC, error.strerror)
            return False
    return True


def has_assets() -> bool:
    """Whether the assets of the present lock file are there."""
    return _stamped(_lock_digest())


def _lock_digest() -> str:
    content = (WEB / "package-lock.json").read_bytes() + Path(__file__).read_bytes()
    return hashlib.sha256(content).hexdigest()


def _stamped(wanted: str) -> bool:
    stamp = VENDOR / _STAMP
    return stamp.is_file() and stamp.read_text() == wanted


async def _install(npm: tuple[str, ...], env: Mapping[str, str], work: Path) -> bool:
    process = await asyncio.create_subprocess_exec(
        *npm,
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
        cwd=work,
        env=dict(env),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(_INSTALL_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        _log.warning("console assets: npm ci took longer than %.0f s", _INSTALL_TIMEOUT_S)
        return False
    if process.returncode != 0:
        message = output.decode(errors="replace").strip()[-500:]
        _log.warning("console assets: npm ci ended with %s: %s", process.returncode, message)
    return process.returncode == 0


def _copy(modules: Path, stamp: str) -> None:
    # Made beside the old one and renamed, so that a page never meets half of it.
    fresh = STATIC / "vendor.new"
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "icons").mkdir(parents=True)
    for source, name in _FILES.items():
        shutil.copy(modules / source, fresh / name)
    for icon in ICONS:
        shutil.copy(modules / "lucide-static" / "icons" / f"{icon}.svg", fresh / "icons")
    (fresh / _STAMP).write_text(stamp)
    shutil.rmtree(VENDOR, ignore_errors=True)
    fresh.rename(VENDOR)


class KeptFiles(StaticFiles):
    """Pages ask for static files with the hash of their content, so that browsers may keep them for good."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        named = scope.get("query_string", b"").startswith(b"v=")
        response.headers["cache-control"] = (
            "public, max-age=31536000, immutable" if named else "no-cache"
        )
        return response
