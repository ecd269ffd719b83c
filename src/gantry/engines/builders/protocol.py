"""Builders: from a source snapshot to an immutable, content-addressed artifact."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gantry.engines.runtime.protocol import Limits, Mount, ProcessSpec


@dataclass(frozen=True, slots=True)
class Detection:
    """Which framework a tree is made with, and how that was found out.

    Attributes:
        framework: `nextjs`, `node`, `static`, `python` or `command`.
        reasons: sentences for people, such as `package.json depends on next 16.4.0`.
        notes: what should be fixed or known, such as `next.config.ts does not set output: "standalone"`.
        suggested: values for a new gantry.toml, dotted key -> value (`processes.web.health.path` -> `/api/health`).
    """

    framework: str
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()
    suggested: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Product:
    """A product in a repository that may hold several.

    Attributes:
        folder: relative to the repository's top; empty for the top itself.
        called: what people call it: `Next.js`, `FastAPI`.
    """

    folder: str
    detection: Detection
    called: str


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """Everything that a build depends on. Equal requests give the same `key`, and are built once.

    Attributes:
        id: of the build; also the prefix of its process ids.
        project: its caches are shared by the project's builds only.
        root: folder inside the snapshot that holds the product ("" is the top).
        framework: forced by the manifest, or empty to detect.
        install, command, output: overrides from the manifest; empty for the framework's own.
        start: the manifest's own command of the web process; empty for the framework's own.
        serves: the project has a web process.
        commands: the manifest's other commands that a release runs: migrations, workers, crons.
        test: the project's test command, empty for none; runs in the build's folder after the build.
        node, python: versions that the manifest asks for; empty for what the product says itself.
        prune: development packages are removed from what serves, where it needs none of them.
        env: variables for the build, secrets included; `secret_names` are masked in the log and not in the artifact.
        withheld: names of variables that are set and that the build does not get, for the message when it fails.
        of_services: names of variables that only releases have, because their services are theirs; likewise.
        fresh: sets a build apart from earlier ones of the same tree; empty for the first ones.
        cached: it begins with what builds before it have left: packages, downloads, the framework's cache. What it
            leaves is kept either way. Not part of `key`.
        action_key: base64 key for Next.js server actions, one per project, so that actions survive deploys.
    """

    id: str
    project: str
    source_digest: str
    source_root: Path
    root: str = ""
    framework: str = ""
    install: str = ""
    command: str = ""
    output: str = ""
    test: str = ""
    start: str = ""
    serves: bool = True
    commands: tuple[str, ...] = ()
    node: str = ""
    python: str = ""
    prune: bool = True
    env: Mapping[str, str] = field(default_factory=dict)
    secret_names: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)
    timeout_s: float = 900.0
    test_timeout_s: float = 600.0
    action_key: str = ""
    withheld: tuple[str, ...] = ()
    of_services: tuple[str, ...] = ()
    fresh: str = ""
    cached: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """A tree that processes are started in.

    Attributes:
        root: the folder that they see as `/app`.
        folder: the product's folder inside it, where they begin; empty is the top.
        mounts: further folders that they need in their sandbox (the Node or Python that it was built for).
        path: `PATH`: the programs of the product's own packages, then those of the tools.
    """

    root: Path
    folder: str = ""
    mounts: tuple[Mount, ...] = ()
    path: str = ""


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a build made. Immutable: nobody mounts its folders for writing, and its digest covers every file.

    Attributes:
        digest: SHA-256 over paths, modes and contents, and how it is started, hex.
        served: what answers visitors.
        framework: as detected.
        web: argv that starts the product; it listens on `$HOST:$PORT`. Empty when there is none.
        workspace: the whole tree as it was built, with its development packages, where commands of the manifest need
            more than what is served; `None` where what is served is all there is.
        env: variables that instances need (`NODE_ENV`), without secrets.
        assets: URL prefix -> folder of files whose names change with their content (`/_next/static`).
        reasons: why it was built so.
        tools: what it was built with, name -> version: `node`, `python`, and the package manager.
        tested: the project's tests ran and passed on it.
    """

    digest: str
    served: Place
    framework: str
    web: tuple[str, ...]
    workspace: Place | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    assets: Mapping[str, str] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    size_bytes: int = 0
    files: int = 0
    tested: bool = False

    @property
    def root(self) -> Path:
        """The folder of what answers visitors."""
        return self.served.root


@dataclass(frozen=True, slots=True)
class BuildOutcome:
    """How a build or test task ended, as it wrote down itself.

    Attributes:
        artifact: set when the build succeeded.
        code, message, hint: set when it failed: `build.command-failed`, `build.out-of-memory`, `build.timeout`,
            `build.install-failed`, `build.lock-mismatch`, `build.no-output`, `build.output-too-large`,
            `build.no-start`, `build.no-tool`, `build.no-sandbox`, `build.machine-failed`, `test.failed`, `test.timeout`, `test.out-of-memory`,
            `test.no-build`, `test.machine-failed`. The message's first line says it all; more lines are output.
        phases: name -> seconds (`install`, `build`, `collect`, ...).
    """

    artifact: Artifact | None = None
    code: str = ""
    message: str = ""
    hint: str = ""
    phases: Mapping[str, float] = field(default_factory=dict)


class Workshop(Protocol):
    """Where builds happen. The work itself is a process of the runtime, so it survives the control plane."""

    def detect(self, root: Path) -> Detection:
        """What `root` is made with. Reads a few small files; pure otherwise.

        Raises:
            UserError: `build.unknown-framework` with what was looked for, and the products in folders below.
        """
        ...

    def public_prefixes(self, request: BuildRequest) -> tuple[str, ...]:
        """How names of variables begin that the product's frameworks write into its pages: they must reach the build."""
        ...

    def key(self, request: BuildRequest) -> str:
        """Identity of everything the result depends on (source, commands, environment, engines' versions); not `id`.

        Raises:
            UserError: `build.no-node`, `build.no-python`: the product declares a version that cannot be had.
        """
        ...

    async def find(self, request: BuildRequest) -> Artifact | None:
        """An artifact made earlier from an equal request. Its digest is verified before the first use by this process.

        Raises:
            IntegrityError: `artifact.corrupt` the stored files are not what was built. The artifact is set aside,
                so that the next call builds anew.
        """
        ...

    async def build_task(self, request: BuildRequest) -> ProcessSpec:
        """The process that installs, builds and collects. Prepares its folder; may be called again.

        Raises:
            UserError: `build.unknown-framework`, `build.no-node`, `build.no-python`, `build.no-start`,
                `build.foreign-adapter`.
            PermanentError: `build.low-disk` with what is free and what is needed.
            TransientError: `build.low-memory` likewise.
        """
        ...

    async def test_task(self, request: BuildRequest) -> ProcessSpec:
        """The process that runs the project's tests in the folder of the finished build."""
        ...

    async def outcome(self, task_id: str) -> BuildOutcome | None:
        """What a task wrote when it ended; `None` when it wrote nothing (it was killed)."""
        ...

    async def artifact(self, digest: str) -> Artifact:
        """A stored artifact.

        Raises:
            IntegrityError: `artifact.missing` or `artifact.corrupt`.
            TransientError: `artifact.unreadable`.
        """
        ...

    async def list(self) -> Mapping[str, int]:
        """Digest -> size in bytes of every artifact kept."""
        ...

    async def folders(self) -> frozenset[str]:
        """Ids of the builds whose working folder is there."""
        ...

    async def discard(self, request_id: str) -> None:
        """Delete the working folder of a build. Caches and artifacts stay."""
        ...

    async def remove(self, digest: str) -> None:
        """Delete one artifact; unknown ones are ignored."""
        ...

    async def cache_bytes(self, project: str) -> int:
        """Size of what is kept from a project's builds for its next ones; 0 when nothing is."""
        ...

    async def clear_cache(self, project: str) -> int:
        """Delete what is kept from a project's builds; how many bytes that were. No build of it may run meanwhile."""
        ...
