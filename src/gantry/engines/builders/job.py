"""What the control plane hands to the runner: a job file without secrets, and a file of secrets that is read once."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, Self

from gantry.engines.builders.plan import BuildPlan
from gantry.engines.runtime.protocol import Mount, MountMode
from gantry.kernel.files import replace_file

Task = Literal["build", "test"]
_PLACES = ("folder", "source", "artifacts", "caches", "tools", "own_node")


@dataclass(frozen=True, slots=True)
class Job:
    """One task of the runner.

    Attributes:
        folder: the build's working folder.
        source: what is copied; `root` is the product's folder inside it.
        key: of the request.
        caches: the project's caches.
        python: what virtual environments are made with.
        tools: where tools that were fetched are kept; `own_node` and its version need no fetching.
        mounts: the tools.
        folders: further folders of packages on this machine, for the install phase.
        artifact_bytes: the largest artifact that is kept.
        reserve_bytes: of disk that are left free.
        withheld, of_services, cached: see `BuildRequest`.
    """

    task: Task
    id: str
    key: str
    folder: Path
    source: Path
    root: str
    artifacts: Path
    caches: Path
    plan: BuildPlan
    path: str
    python: str
    tools: Path
    own_node: Path
    own_node_version: str
    mounts: tuple[Mount, ...]
    folders: tuple[Path, ...]
    memory_bytes: int | None
    processes: int | None
    timeout_s: float
    artifact_bytes: int
    reserve_bytes: int
    test: str = ""
    withheld: tuple[str, ...] = ()
    of_services: tuple[str, ...] = ()
    cached: bool = True

    @property
    def work(self) -> Path:
        """The copy that is built; tests run in it afterwards."""
        return self.folder / "work"

    @property
    def outcome(self) -> Path:
        """Where the runner writes how it ended."""
        return outcome_file(self.folder, self.task)

    def write(self) -> Path:
        """Store it, and return where."""
        path = self.folder / f"{self.task}.json"
        replace_file(path, json.dumps(asdict(self), default=str))
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        """The job in `path`."""
        data = json.loads(path.read_text())
        places = {name: Path(data[name]) for name in _PLACES}
        mounts = tuple(
            Mount(Path(mount["source"]), mount["target"], MountMode(mount["mode"]))
            for mount in data["mounts"]
        )
        folders = tuple(Path(folder) for folder in data["folders"])
        plan = BuildPlan.from_json(data["plan"])
        names = {name: tuple(data[name]) for name in ("withheld", "of_services")}
        return cls(**data | places | names | {"plan": plan, "mounts": mounts, "folders": folders})


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must not be seen on a command line or in a log.

    Attributes:
        env: of the build and the tests.
        install_env: of the install phase besides.
        masked: values that are replaced in the log.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    install_env: Mapping[str, str] = field(default_factory=dict)
    npmrc: str = ""
    npmrc_global: str = ""
    masked: tuple[str, ...] = ()

    def write(self, path: Path) -> None:
        """Store them, for their owner only."""
        replace_file(path, json.dumps(asdict(self)))

    @classmethod
    def take(cls, path: Path) -> Self:
        """Read and delete them; nothing when they were taken before."""
        try:
            data = json.loads(path.read_text())
        except FileNotFoundError:
            return cls()
        path.unlink()
        return cls(**data | {"masked": tuple(data["masked"])})


def outcome_file(folder: Path, task: Task) -> Path:
    """Where a task writes how it ended."""
    return folder / f"{task}-outcome.json"
