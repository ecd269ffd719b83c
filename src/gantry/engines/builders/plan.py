"""What a builder decides, as data: the phases of a build, what it keeps between builds, and what it collects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

# Where a product lies while it is built, tested and run: paths that a build writes down stay true.
APP = "/app"

Engine = Literal["node", "python", "gantry", ""]
Method = Literal["next", "folder", "tree"]


@dataclass(frozen=True, slots=True)
class Phase:
    """One command of a build, run by a shell in the sandbox.

    Attributes:
        name: `install`, `build`, `prune` or `test`.
        label: what the log calls it.
        env: variables besides the build's own.
        network: whether it may reach anything but itself.
    """

    name: str
    label: str
    command: str
    env: Mapping[str, str] = field(default_factory=dict)
    network: bool = True


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder that is kept from one build of a project to the next.

    Attributes:
        target: where it appears, absolute for `shared` ones, else below the product's folder.
        shared: several builds may use it at once (a download cache). Others are taken by one build, and given back
            when it succeeded.
    """

    name: str
    target: str
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Packages:
    """Installed packages, kept read-only under a key.

    Attributes:
        key: hash of everything that they depend on.
        scripts: what is run when they come from the store: the product's own install scripts.
    """

    key: str
    scripts: str = ""


@dataclass(frozen=True, slots=True)
class Collect:
    """What of the finished build becomes the artifact.

    Attributes:
        method: `next` its standalone output, `folder` the first of `sources` that exists, `tree` everything.
        sources: folders below the product's.
        needs: a file that the folder must have to count.
        prune: a command that removes from the artifact what only the build needed.
    """

    method: Method
    sources: tuple[str, ...] = ()
    needs: str = ""
    prune: Phase | None = None


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """Everything that the runner does for one build.

    Attributes:
        web: argv that starts the product; may be found out while collecting.
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
            "caches": tuple(Cache(**cache) for cache in value["caches"]),
            "packages": None if packages is None else Packages(**packages),
            "collect": Collect(
                method=collect["method"],
                sources=tuple(collect["sources"]),
                needs=collect["needs"],
                prune=None if prune is None else Phase(**prune),
            ),
        }
        return cls(**{**value, **changed})
