"""Package managers of Node: which one a tree uses, how it installs, and what its result depends on."""

import hashlib
import json
import platform
from dataclasses import dataclass

from gantry.engines.builders.plan import Cache, Packages, Phase
from gantry.engines.builders.tree import Package, Tree, read_package

# Fields of package.json that an installation depends on.
_FIELDS = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies", "overrides",
           "resolutions", "pnpm", "workspaces", "packageManager")  # fmt: skip
_SCRIPTS = ("preinstall", "install", "postinstall", "prepare")
# Folders that install scripts of well-known packages read: patch-package, pnpm, Prisma.
_READ_BY_SCRIPTS = ("patches", "prisma")


@dataclass(frozen=True, slots=True)
class Manager:
    """A package manager as a tree uses it.

    Attributes:
        lock: the lock file's name; empty when there is none.
        prune: command that removes development packages; empty when there is no safe one.
        caches: its download cache.
    """

    name: str
    lock: str
    install: str
    prune: str
    caches: tuple[Cache, ...]


_NPM_CACHE = Cache("npm", "/cache/npm", shared=True)
_NPM_FLAGS = "--include=dev --prefer-offline --no-audit --no-fund"


def find_manager(tree: Tree) -> Manager:
    """The package manager whose lock file `tree` has; npm when there is none."""
    lock = tree.first("package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock")
    if lock == "pnpm-lock.yaml":
        cache = Cache("pnpm", "/cache/pnpm", shared=True)
        return Manager("pnpm", lock, "pnpm install --frozen-lockfile --prod=false --store-dir /cache/pnpm/store"
                       " --package-import-method=copy", "", (_NPM_CACHE, cache))  # fmt: skip
    if lock == "yarn.lock":
        cache = Cache("yarn", "/cache/yarn", shared=True)
        flags = "--immutable" if tree.has(".yarnrc.yml") else "--frozen-lockfile --production=false"
        return Manager("yarn", lock, f"yarn install {flags}", "", (_NPM_CACHE, cache))
    install = f"npm ci {_NPM_FLAGS}" if lock else f"npm install --no-save {_NPM_FLAGS}"
    return Manager("npm", lock, install, "npm prune --omit=dev --no-audit --no-fund", (_NPM_CACHE,))


def needs_install(tree: Tree) -> bool:
    """Whether there is anything to install."""
    package = read_package(tree)
    locked = bool(find_manager(tree).lock)
    return locked or bool(package.dependencies) or "workspaces" in package.raw


def install_phase(tree: Tree, override: str) -> Phase:
    """How packages are installed; `override` is the manifest's own command."""
    manager = find_manager(tree)
    command = override or manager.install
    return Phase("install", override or " ".join(command.split()[:2]), command)


def manager_env(tree: Tree) -> dict[str, str]:
    """Variables of every phase: where downloads are kept, and which pnpm or Yarn the product asks for."""
    wanted = str(read_package(tree).raw.get("packageManager") or "").partition("+")[0]
    name, _, version = wanted.partition("@")
    yarn = "@yarnpkg/cli-dist" if version and not version.startswith("1.") else "yarn"
    return {
        "NPM_CONFIG_CACHE": "/cache/npm",
        "NPM_CONFIG_UPDATE_NOTIFIER": "false",
        "YARN_CACHE_FOLDER": "/cache/yarn",
        "YARN_ENABLE_GLOBAL_CACHE": "false",
        "GANTRY_PNPM": f"pnpm@{version}" if name == "pnpm" and version else "pnpm@10",
        "GANTRY_YARN": f"{yarn}@{version}" if name == "yarn" and version else "yarn@1",
    }


def packages_of(tree: Tree, install: Phase, node_version: str) -> Packages:
    """The key under which the installed packages are kept."""
    package = read_package(tree)
    digest = hashlib.sha256()
    scripts = {name: package.scripts[name] for name in _SCRIPTS if name in package.scripts}
    machine = f"{platform.system()}-{platform.machine()}-{'-'.join(platform.libc_ver())}"
    facts = [
        install.command,
        node_version,
        machine,
        scripts,
        [package.raw.get(name) for name in _FIELDS],
    ]
    digest.update(json.dumps(facts, sort_keys=True).encode())
    for path in _inputs(tree):
        digest.update(f"\0{path}\0{tree.text(path)}".encode(errors="surrogateescape"))
    rerun = " && ".join(f"npm run --if-present {name}" for name in scripts)
    return Packages(digest.hexdigest(), scripts=rerun)


def run_script(package: Package, name: str, manager: Manager) -> str:
    """The shell command of a script. Scripts without companions run directly, which saves npm's start."""
    if any(f"{when}{name}" in package.scripts for when in ("pre", "post")):
        return f"{manager.name} run {name}"
    return package.scripts[name]


def _inputs(tree: Tree) -> list[str]:
    """Files besides package.json that an installation reads."""
    manager = find_manager(tree)
    found = [
        name for name in (manager.lock, ".npmrc", ".yarnrc.yml", "pnpm-workspace.yaml") if name
    ]
    for folder in _READ_BY_SCRIPTS:
        found += [f"{folder}/{name}" for name in tree.names(folder)]
    return [path for path in found if tree.text(path) is not None]
