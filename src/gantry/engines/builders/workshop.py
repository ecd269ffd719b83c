"""The workshop on this machine: plans builds, hands them to the runner, keeps what they made."""

import asyncio
import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gantry.config.paths import Paths
from gantry.engines.builders import detect as detection
from gantry.engines.builders.context import Context, scope
from gantry.engines.builders.job import Job, Secrets, Task, outcome_file
from gantry.engines.builders.plan import Engine, Versions, own_programs
from gantry.engines.builders.protocol import (
    Artifact,
    BuildOutcome,
    BuildRequest,
    Detection,
    Place,
    Workshop,
)
from gantry.engines.builders.registry import read_registry
from gantry.engines.builders.room import (
    Needs,
    check_room,
    share_of_memory_bytes,
    total_memory_bytes,
)
from gantry.engines.builders.shelf import Shelf
from gantry.engines.builders.toolchain import SANDBOX_PATH, Toolchain
from gantry.engines.builders.tree import Tree
from gantry.engines.builders.workspace import clear, size_bytes
from gantry.engines.runtime.protocol import Limits, ProcessSpec
from gantry.kernel.errors import IntegrityError, TransientError
from gantry.kernel.trees import remove_tree, tree_digest

# Raised when a builder makes something else of the same request.
BUILDERS_VERSION = 4
# The runner itself, beside what it runs; and how long it may take to say that time is up.
_RUNNER_MEMORY_BYTES = 128_000_000
_RUNNER_GRACE_S = 30.0
_MAX_ARTIFACT_BYTES = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """Bounds of the workshop.

    Attributes:
        needs: what must be free before a build begins.
        artifact_bytes: the largest artifact that is kept.
    """

    needs: Needs = field(default_factory=Needs)
    artifact_bytes: int = _MAX_ARTIFACT_BYTES


class LocalWorkshop:
    """Builds below the platform's home.

    Parameters:
        environ: of the platform; says how packages are found (proxies, certificates, registries).
    """

    def __init__(
        self, paths: Paths, environ: Mapping[str, str], options: Options | None = None
    ) -> None:
        self._paths = paths
        self._environ = environ
        self._options = options or Options()
        self._shelf = Shelf(paths.artifacts)
        self._tools = Toolchain(
            paths.cache / "toolchain",
            paths.cache / "tools",
            environ.get("PATH", ""),
            environ.get("HOME", ""),
        )
        self._verified: set[str] = set()
        self._scopes: dict[tuple[str, str], str] = {}

    def detect(self, root: Path) -> Detection:
        """See `Workshop.detect`."""
        return detection.detect(Tree(root))

    def public_prefixes(self, request: BuildRequest) -> tuple[str, ...]:
        """See `Workshop.public_prefixes`."""
        return detection.public_prefixes(request)

    def key(self, request: BuildRequest) -> str:
        """See `Workshop.key`."""
        facts = {
            "builders": BUILDERS_VERSION,
            "tools": asdict(self._tools.choose(request)),
            "project": request.project,
            "source": self._source_digest(request),
            "root": request.root.strip("/"),
            "framework": request.framework,
            "commands": [request.install, request.command, request.output, request.test, request.start],
            "keeps": [request.serves, bool(request.commands), request.prune],
            "env": {name: _sha256(value) for name, value in request.env.items()},
            "action_key": _sha256(request.action_key),
            **({"fresh": request.fresh} if request.fresh else {}),
        }  # fmt: skip
        return _sha256(json.dumps(facts, sort_keys=True))

    async def find(self, request: BuildRequest) -> Artifact | None:
        """See `Workshop.find`."""
        return await asyncio.to_thread(self._find, self.key(request))

    async def build_task(self, request: BuildRequest) -> ProcessSpec:
        """See `Workshop.build_task`."""
        return await asyncio.to_thread(self._build_task, request)

    async def test_task(self, request: BuildRequest) -> ProcessSpec:
        """See `Workshop.test_task`."""
        return await asyncio.to_thread(self._test_task, request)

    async def outcome(self, task_id: str) -> BuildOutcome | None:
        """See `Workshop.outcome`."""
        return await asyncio.to_thread(self._outcome, task_id)

    async def artifact(self, digest: str) -> Artifact:
        """See `Workshop.artifact`."""
        try:
            return await asyncio.to_thread(self._artifact, digest)
        except OSError as error:
            raise TransientError(
                "artifact.unreadable",
                f"the artifact {digest[:12]} cannot be read: {error.strerror or error}",
                hint="gantry doctor checks the disk",
                where=digest,
            ) from error

    async def list(self) -> Mapping[str, int]:
        """See `Workshop.list`."""
        return await asyncio.to_thread(self._shelf.sizes)

    async def folders(self) -> frozenset[str]:
        """See `Workshop.folders`."""
        return await asyncio.to_thread(_names, self._paths.builds)

    async def discard(self, request_id: str) -> None:
        """See `Workshop.discard`."""
        await asyncio.to_thread(remove_tree, self._paths.builds / request_id)
        await asyncio.to_thread(self._shelf.abandon, request_id)

    async def remove(self, digest: str) -> None:
        """See `Workshop.remove`."""
        await asyncio.to_thread(self._shelf.remove, digest)
        self._verified.discard(digest)

    async def cache_bytes(self, project: str) -> int:
        """See `Workshop.cache_bytes`."""
        return await asyncio.to_thread(size_bytes, self._caches(project))

    async def clear_cache(self, project: str) -> int:
        """See `Workshop.clear_cache`."""
        return await asyncio.to_thread(clear, self._caches(project))

    def _caches(self, project: str) -> Path:
        return self._paths.cache / "builds" / project

    def _source_digest(self, request: BuildRequest) -> str:
        """Of what the build can see: a change elsewhere in the repository makes no new build."""
        seen, _ = scope(request)
        if not seen:
            return request.source_digest
        known = (request.source_digest, seen)
        if known not in self._scopes:
            if len(self._scopes) > 1000:
                self._scopes.clear()
            self._scopes[known] = tree_digest(request.source_root / seen).digest
        return self._scopes[known]

    def _find(self, key: str) -> Artifact | None:
        digest = self._shelf.digest_of(key)
        if digest is None:
            return None
        return self._artifact(digest, tested=self._shelf.is_tested(key))

    def _build_task(self, request: BuildRequest) -> ProcessSpec:
        check_room(self._options.needs, self._paths.builds, request.limits.memory_bytes)
        return self._task("build", _limited(request), request.timeout_s)

    def _test_task(self, request: BuildRequest) -> ProcessSpec:
        return self._task("test", _limited(request), request.test_timeout_s)

    def _task(self, task: Task, request: BuildRequest, timeout_s: float) -> ProcessSpec:
        folder = self._paths.builds / request.id
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = self.key(request)
        seen, root = scope(request)
        source = request.source_root / seen
        context = Context(request, Tree(source), root, key[:12], self._tools.choose(request))
        plan = detection.make_plan(context)
        registry = read_registry(self._environ)
        job = Job(
            task=task,
            id=request.id,
            key=key,
            folder=folder,
            source=source,
            root=root,
            artifacts=self._paths.artifacts,
            caches=self._caches(request.project),
            plan=plan,
            path=self._tools.build_path(),
            python=str(self._tools.python(plan.versions)),
            tools=self._tools.kept,
            own_node=self._tools.node,
            own_node_version=self._tools.own.node,
            mounts=self._tools.build_mounts(plan.versions),
            folders=registry.folders,
            memory_bytes=request.limits.memory_bytes,
            processes=request.limits.processes,
            timeout_s=timeout_s,
            artifact_bytes=self._options.artifact_bytes,
            reserve_bytes=self._options.needs.reserve_bytes,
            test=request.test,
            withheld=request.withheld,
            of_services=request.of_services,
            cached=request.cached,
        )
        path = job.write()
        masked = [request.env[name] for name in request.secret_names if name in request.env]
        Secrets(
            env=request.env,
            install_env=registry.env,
            npmrc=registry.npmrc,
            npmrc_global=registry.npmrc_global,
            masked=(*masked, *registry.secrets, request.action_key),
        ).write(path.with_suffix(".secrets"))
        return self._spec(job, path, request)

    def _spec(self, job: Job, path: Path, request: BuildRequest) -> ProcessSpec:
        memory_bytes = request.limits.memory_bytes
        return ProcessSpec(
            id=f"{job.task}-{request.id}",
            argv=(sys.executable, "-I", "-m", "gantry.engines.builders.run", str(path)),
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            cwd=str(job.folder),
            limits=Limits(
                memory_bytes=None if memory_bytes is None else memory_bytes + _RUNNER_MEMORY_BYTES,
                cpu_cores=request.limits.cpu_cores,
                processes=request.limits.processes,
                open_files=request.limits.open_files,
            ),
            timeout_s=job.timeout_s + _RUNNER_GRACE_S,
            labels={"project": request.project, "build": request.id, "framework": job.plan.framework},
        )  # fmt: skip

    def _outcome(self, task_id: str) -> BuildOutcome | None:
        task, _, build_id = task_id.partition("-")
        if task not in ("build", "test"):
            return None
        name: Task = "build" if task == "build" else "test"
        try:
            text = outcome_file(self._paths.builds / build_id, name).read_text()
        except FileNotFoundError:
            return None
        data = json.loads(text)
        record = data.get("artifact")
        if record is not None:
            self._verified.add(record["digest"])  # the runner has just computed it
        return BuildOutcome(
            artifact=None if record is None else self._load(record, tested=False),
            code=data.get("code", ""),
            message=data.get("message", ""),
            hint=data.get("hint", ""),
            phases=data.get("phases", {}),
        )

    def _artifact(self, digest: str, *, tested: bool = False) -> Artifact:
        record = self._shelf.read(digest)
        if record is None and digest not in self._shelf.sizes():
            raise IntegrityError(
                "artifact.missing",
                f"the artifact {digest[:12]} is not there any more",
                hint="deploy the commit again: it is built anew",
                where=digest,
            )
        if digest not in self._verified and not self._shelf.is_whole(digest):
            place = self._shelf.set_aside(digest)
            raise IntegrityError(
                "artifact.corrupt",
                f"the files of artifact {digest[:12]} are not those that were built",
                hint=f"they were set aside in {place}; deploy the commit again: it is built anew",
                where=digest,
            )
        self._verified.add(digest)
        assert record is not None, "a whole artifact has a record"
        return self._load(record, tested=tested)

    def _load(self, record: Mapping[str, object], *, tested: bool) -> Artifact:
        plan_web, env, assets = record["web"], record["env"], record["assets"]
        assert isinstance(plan_web, list), "written by the shelf"
        assert isinstance(env, dict), "written by the shelf"
        assert isinstance(assets, dict), "written by the shelf"
        reasons = record["reasons"]
        assert isinstance(reasons, list), "written by the shelf"
        tools = record.get("tools", {})  # builds of older versions do not say
        assert isinstance(tools, dict), "written by the shelf"
        digest = str(record["digest"])
        engine = _engine(str(record["engine"]))
        versions = _versions(record.get("versions", {}))
        workspace = self._shelf.workspace(digest)
        # Of a site of files only its commands need the tools that it was built with.
        whole: Engine = "node" if engine == "gantry" else engine
        return Artifact(
            digest=digest,
            served=self._place(
                self._shelf.root(digest), str(record.get("folder", "")), engine, versions
            ),
            framework=str(record["framework"]),
            web=self._tools.static_argv() if engine == "gantry" else tuple(plan_web),
            workspace=None
            if workspace is None
            else self._place(workspace, str(record.get("root", "")), whole, versions),
            env=env,
            assets=assets,
            reasons=tuple(reasons),
            tools=tools,
            size_bytes=int(str(record["size_bytes"])),
            files=int(str(record["files"])),
            tested=tested,
        )

    def _place(self, root: Path, folder: str, engine: Engine, versions: Versions) -> Place:
        if engine == "node":
            self._tools.fetch(
                versions, read_registry(self._environ)
            )  # there, unless somebody cleared it away
        mounts = self._tools.mounts(engine, versions)
        return Place(root, folder, mounts, f"{own_programs(folder)}:{SANDBOX_PATH}")


def _limited(request: BuildRequest) -> BuildRequest:
    """With a share of the machine's memory where the manifest names no limit."""
    if request.limits.memory_bytes is not None:
        return request
    memory_bytes = share_of_memory_bytes(total_memory_bytes())
    return replace(request, limits=replace(request.limits, memory_bytes=memory_bytes))


def _versions(value: object) -> Versions:
    assert isinstance(value, dict), "written by the shelf"
    return Versions(**value)


def _engine(name: str) -> Engine:
    match name:
        case "node" | "python" | "gantry" | "":
            return name
        case _:
            raise IntegrityError(
                "artifact.corrupt", f"an artifact names an unknown engine {name!r}"
            )


def _names(folder: Path) -> frozenset[str]:
    return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if TYPE_CHECKING:

    def _guard(workshop: LocalWorkshop) -> Workshop:
        return workshop
