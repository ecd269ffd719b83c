"""What a builder decides, as data: the phases of a build, what it keeps between builds, and what it collects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

# Where a product lies while it is built, tested and run: paths that a build writes down stay true.
APP = "/app"


def own_programs(folder: str) -> str:
    """Where programs of the product's own packages are, for `PATH`: its folder's, the workspace's, Python's.

    Parameters:
        folder: the product's, below `APP`.
    """
    product = f"{APP}/{folder}/node_modules/.bin:" if folder else ""
    return f"{product}{APP}/node_modules/.bin:{APP}/.venv/bin"


Engine = Literal["node", "python", "gantry", ""]
Method = Literal["next", "folder", "tree"]


@dataclass(frozen=True, slots=True)
class Versions:
    """Versions of the tools that a product is built and run with.

    Attributes:
        node, python: numbers, as `22.20.0`.
        python_home: where that Python is installed; empty for the one that Gantry runs on.
        manager: a package manager with its version, as `pnpm@9.15.9`; empty for the npm that comes with Node.
    """

    node: str = ""
    python: str = ""
    python_home: str = ""
    manager: str = ""


@dataclass(frozen=True, slots=True)
class Phase:
    """One command of a build, run by a shell in the sandbox.

    Attributes:
        name: `install`, `build`, `prune` or `test`.
        label: what the log calls it.
        env: variables besides the build's own.
        network: whether it may reach anything but itself.
        top: it runs at the top of the tree; otherwise in the product's folder.
    """

    name: str
    label: str
    command: str
    env: Mapping[str, str] = field(default_factory=dict)
    network: bool = True
    top: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """A way to start what a build made.

    Attributes:
        file: must be there for it, below the product's folder; may have `*` for one name. Empty: it needs none.
        command: with `{}` where the file that was found goes.
    """

    file: str
    command: str


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder that is kept from one build of a project to the next.

    Attributes:
        target: where it appears, absolute for `shared` ones, else below the product's folder.
        shared: several builds may use it at once (a download cache). Others are taken by one build, and given back
            when it succeeded.
        without: folders in it that are not kept.
    """

    name: str
    target: str
    shared: bool = False
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Packages:
    """Installed packages, kept read-only under a key.

    Attributes:
        key: hash of everything that they depend on.
        scripts: what is run when they come from the store: the product's own install scripts.
        folder: the name of the folders that they are in.
    """

    key: str
    scripts: str = ""
    folder: str = "node_modules"


@dataclass(frozen=True, slots=True)
class Collect:
    """What of the finished build becomes the artifact.

    Attributes:
        method: `next` its standalone output, `folder` the first of `sources` that exists, `tree` everything.
        sources: folders below the product's; a name may be `*`.
        needs: a file that the folder must have to count.
        prune: a command that removes from the artifact what only the build needed. Where it would take a program of
            the start command away, or does not end well, everything stays.
        published: what is collected is shown to everybody: files that are no pages stay out.
        workspace: the whole tree is kept besides, for commands.
    """

    method: Method
    sources: tuple[str, ...] = ()
    needs: str = ""
    prune: Phase | None = None
    published: bool = False
    workspace: bool = False


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """Everything that the runner does for one build.

    Attributes:
        web: argv that starts the product; may be found out while collecting.
        starts: ways to start what the build made, where `web` is empty; the first one that is possible counts.
        folder: where processes begin in the artifact; may be found out while collecting.
        versions: of the tools that it is built and run with.
        build_env: variables of every phase.
        env: variables of instances.
        assets: URL prefix -> folder in the artifact.
        engine: what instances need mounted.
    """

    framework: str
    reasons: tuple[str, ...]
    phases: tuple[Phase, ...]
    collect: Collect
    web: tuple[str, ...] = ()
    starts: tuple[Start, ...] = ()
    folder: str = ""
    versions: Versions = field(default_factory=Versions)
    build_env: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    assets: Mapping[str, str] = field(default_factory=dict)
    engine: Engine = ""
    packages: Packages | None = None
    caches: tuple[Cache, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The plan whose `dataclasses.asdict` went through JSON."""
        collect = value["collect"]
        prune, packages = collect["prune"], value["packages"]
        changed = {
            "reasons": tuple(value["reasons"]),
            "notes": tuple(value["notes"]),
            "web": tuple(value["web"]),
            "phases": tuple(Phase(**phase) for phase in value["phases"]),
            "starts": tuple(Start(**start) for start in value["starts"]),
            "versions": Versions(**value["versions"]),
            "caches": tuple(
                Cache(**{**cache, "without": tuple(cache["without"])}) for cache in value["caches"]
            ),
            "packages": None if packages is None else Packages(**packages),
            "collect": Collect(
                **{**collect, "sources": tuple(collect["sources"])}
                | {"prune": None if prune is None else Phase(**prune)},
            ),
        }
        return cls(**{**value, **changed})
