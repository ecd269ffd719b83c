"""Package managers of Node: which one a tree uses, how it installs, and what its result depends on."""

import hashlib
import json
import platform
import re
from dataclasses import dataclass, replace

from gantry.engines.builders.plan import Cache, Packages, Phase, Versions
from gantry.engines.builders.tree import Package, Tree, read_package
from gantry.engines.builders.workspaces import members, patterns

# Fields of package.json that an installation depends on.
_FIELDS = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies", "overrides",
           "resolutions", "pnpm", "workspaces", "packageManager")  # fmt: skip
_SCRIPTS = ("preinstall", "install", "postinstall", "prepare")
# Folders that install scripts of well-known packages read: patch-package, pnpm, Prisma.
_READ_BY_SCRIPTS = ("patches", "prisma")


_MANAGER = re.compile(r"(npm|pnpm|yarn|bun)@(\d+(?:\.\d+){0,2}(?:-[\w.]{1,40})?)")
_LOCKS = (
    "package-lock.json",
    "npm-shrinkwrap.json",
    "pnpm-lock.yaml",
    "yarn.lock",
    "bun.lock",
    "bun.lockb",
)
_OF_LOCK = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "bun.lock": "bun", "bun.lockb": "bun"}
# What a lock file that says no version of its manager was written by, as far as its format tells.
_PNPM_LOCK = re.compile(r"^lockfileVersion:\s*['\"]?(\d+)", re.MULTILINE)
# Later Yarns write later formats, and then refuse an older lock as one that would have to be changed.
_YARN_LOCK = re.compile(r"^__metadata:\s*\n\s+version:\s*(\d+)", re.MULTILINE)
_YARN_OF_LOCK = {"4": "2", "5": "2", "6": "3", "7": "4.0.0", "8": "4.12.0"}
_PNPM_OF_LOCK = {"5": "7", "6": "8", "9": "10"}


@dataclass(frozen=True, slots=True)
class Manager:
    """A package manager as a tree uses it.

    Attributes:
        lock: the lock file's name; empty when there is none.
        prune: command that removes development packages; empty when there is no safe one.
        add: command that installs further packages, whose names follow it.
        caches: its download cache.
        wanted: itself with a version, `pnpm@9.15.9`; empty for the npm that comes with Node.
        notes: what people should know of the choice.
    """

    name: str
    lock: str
    install: str
    prune: str
    add: str
    caches: tuple[Cache, ...]
    wanted: str = ""
    notes: tuple[str, ...] = ()


_NPM_CACHE = Cache("npm", "/cache/npm", shared=True)
_NPM_FLAGS = "--include=dev --prefer-offline --no-audit --no-fund"
# Nothing is asked of a registry: without a lock file npm would look for packages of other platforms, minutes for each.
_NPM_PRUNE = "npm prune --omit=dev --no-audit --no-fund --fetch-retries=0 --ignore-scripts"


def find_manager(tree: Tree) -> Manager:
    """The package manager that `tree` declares, else the one whose lock file it has; npm when there is neither."""
    locks = [lock for lock in _LOCKS if tree.has(lock)]
    declared, note = _declared(tree)
    name = declared.partition("@")[0] or (_OF_LOCK.get(locks[0], "npm") if locks else "npm")
    lock = next((lock for lock in locks if _OF_LOCK.get(lock, "npm") == name), "")
    if locks and not lock:  # the lock is what is committed: it counts
        lock, name, declared = locks[0], _OF_LOCK.get(locks[0], "npm"), ""
        note = (
            f"package.json declares another package manager than the one of {lock}, which is used"
        )
    elif len(locks) > 1:
        note = f"there are several lock files ({', '.join(locks)}); {lock} is used"
    return replace(_manager(tree, name, lock, declared), notes=(note,) if note else ())


def _declared(tree: Tree) -> tuple[str, str]:
    """`pnpm@9.15.9` as package.json says it, and what is wrong with it."""
    raw = read_package(tree).raw
    text = str(raw.get("packageManager") or "").partition("+")[0].strip()
    volta = raw.get("volta")
    if not text and isinstance(volta, dict):
        found = next((name for name in ("pnpm", "yarn", "npm") if name in volta), "")
        text = f"{found}@{volta[found]}" if found else ""
    if not text or _MANAGER.fullmatch(text):
        return text, ""
    return "", f"packageManager {text[:80]!r} is not honoured: it must be like pnpm@10.2.0"


def _manager(tree: Tree, name: str, lock: str, declared: str) -> Manager:
    match name:
        case "pnpm":
            format_ = _PNPM_LOCK.search((tree.text(lock) or "")[:1000]) if lock else None
            wanted = declared or f"pnpm@{_PNPM_OF_LOCK.get(format_[1] if format_ else '', '10')}"
            frozen = "--frozen-lockfile" if lock else "--no-frozen-lockfile"
            store = "--store-dir /cache/pnpm/store --package-import-method=copy"
            install = f"pnpm install {frozen} --prod=false {store}"
            cache = Cache("pnpm", "/cache/pnpm", shared=True)
            return Manager(
                name, lock, install, "", f"pnpm add --save-dev {store}", (cache,), wanted
            )
        case "yarn":
            wanted = declared or _yarn(tree, lock)
            classic = wanted.startswith("yarn@1.") or wanted == "yarn@1"
            frozen = ("--frozen-lockfile" if classic else "--immutable") if lock else ""
            install = " ".join(
                filter(None, ("yarn install", frozen, "--production=false" if classic else ""))
            )
            cache = Cache("yarn", "/cache/yarn", shared=True)
            return Manager(name, lock, install, "", "yarn add --dev", (cache,), wanted)
        case "bun":
            install = "bun install --frozen-lockfile" if lock else "bun install"
            cache = Cache("bun", "/cache/bun", shared=True)
            return Manager(name, lock, install, "", "bun add --dev", (cache,), declared or "bun@1")
        case _:
            install = f"npm ci {_NPM_FLAGS}" if lock else f"npm install --no-save {_NPM_FLAGS}"
            add = f"npm install --no-save {_NPM_FLAGS}"
            return Manager("npm", lock, install, _NPM_PRUNE, add, (_NPM_CACHE,), declared)


def _yarn(tree: Tree, lock: str) -> str:
    """The Yarn that wrote the lock of a product which declares none."""
    if found := _YARN_LOCK.search((tree.text(lock) or "")[:1000]):
        return f"yarn@{_YARN_OF_LOCK.get(found[1], '4')}"
    return "yarn@4" if tree.has(".yarnrc.yml") else "yarn@1"


def needs_install(tree: Tree) -> bool:
    """Whether there is anything to install."""
    package = read_package(tree)
    locked = bool(find_manager(tree).lock)
    return locked or bool(package.dependencies) or bool(patterns(tree))


def install_phase(tree: Tree, override: str, then: str = "") -> Phase:
    """How packages are installed.

    Parameters:
        override: the manifest's own command.
        then: a command that goes on where the product's own packages are there.
    """
    manager = find_manager(tree)
    command = override or " && ".join(filter(None, (manager.install, then)))
    return Phase("install", override or " ".join(command.split()[:2]), command, top=True)


def manager_env(tree: Tree) -> dict[str, str]:
    """Variables of every phase: where downloads are kept, and what native packages are compiled with."""
    env = {
        "NPM_CONFIG_CACHE": "/cache/npm",
        "NPM_CONFIG_UPDATE_NOTIFIER": "false",
        # The headers of this very Node: node-gyp would fetch them from nodejs.org.
        "npm_config_nodedir": "/opt/gantry/node",
        "YARN_CACHE_FOLDER": "/cache/yarn",
        "YARN_ENABLE_GLOBAL_CACHE": "false",
        "YARN_ENABLE_TELEMETRY": "0",
        "BUN_INSTALL_CACHE_DIR": "/cache/bun",
        "TURBO_TELEMETRY_DISABLED": "1",
        "ASTRO_TELEMETRY_DISABLED": "1",
        "NUXT_TELEMETRY_DISABLED": "1",
        "COREPACK_ENABLE_STRICT": "0",
    }
    manager = find_manager(tree)
    if (
        manager.name == "pnpm"
    ):  # one that fetches another version of itself needs a network at each command
        env["NPM_CONFIG_MANAGE_PACKAGE_MANAGER_VERSIONS"] = "false"
    if not manager.lock:
        env["YARN_ENABLE_IMMUTABLE_INSTALLS"] = (
            "false"  # which it is in CI, where there is nothing to hold on to
        )
    if "nodeLinker" not in (tree.text(".yarnrc.yml") or ""):
        env["YARN_NODE_LINKER"] = (
            "node-modules"  # the default, Plug'n'Play, is read by no other program
        )
    return env


def packages_of(tree: Tree, install: Phase, versions: Versions) -> Packages:
    """The key under which the installed packages are kept."""
    package = read_package(tree)
    digest = hashlib.sha256()
    scripts = {name: package.scripts[name] for name in _SCRIPTS if name in package.scripts}
    machine = f"{platform.system()}-{platform.machine()}-{'-'.join(platform.libc_ver())}"
    facts = [
        install.command,
        [versions.node, versions.manager],
        machine,
        scripts,
        [package.raw.get(name) for name in _FIELDS],
        # Members of a workspace have dependencies and scripts of their own.
        [
            [folder, [member.raw.get(name) for name in (*_FIELDS, "scripts", "bin", "main")]]
            for folder, member in _members(tree)
        ],
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


def _members(tree: Tree) -> list[tuple[str, Package]]:
    return [
        (folder, read_package(tree.inside(folder))) for folder in sorted(members(tree).values())
    ]


def _inputs(tree: Tree) -> list[str]:
    """Files besides package.json that an installation reads."""
    manager = find_manager(tree)
    found = [
        name
        for name in (
            manager.lock,
            ".npmrc",
            ".yarnrc.yml",
            ".yarnrc",
            "pnpm-workspace.yaml",
            "bunfig.toml",
        )
        if name
    ]
    for folder in _READ_BY_SCRIPTS:
        found += [f"{folder}/{name}" for name in tree.names(folder)]
    return [path for path in found if tree.text(path) is not None]
