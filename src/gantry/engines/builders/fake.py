"""A workshop for the simulation: its tasks are processes of the fake runtime, its artifacts exist in memory.

Detection, plans and keys are the real ones; only the work is not done.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gantry.engines.builders import detect as detection
from gantry.engines.builders.context import Context, Versions, scope
from gantry.engines.builders.protocol import (
    Artifact,
    BuildOutcome,
    BuildRequest,
    Detection,
    Workshop,
)
from gantry.engines.builders.tree import Tree
from gantry.engines.runtime.protocol import ProcessSpec, ProcessState, Runtime
from gantry.kernel.errors import IntegrityError, TransientError

_VERSIONS = Versions(node="24.0.0", python="3.11.0")


@dataclass(slots=True)
class Script:
    """What the fake does; change it while the simulation runs.

    Attributes:
        build, test: outcome code of the tasks to come, such as `build.command-failed`; empty: they succeed.
        killed: the next tasks end without an outcome, as if the machine had been switched off.
        refusals: errors that the next `build_task` calls raise, first in, first out.
    """

    build: str = ""
    test: str = ""
    killed: bool = False
    refusals: list[TransientError] = field(default_factory=list)


class FakeWorkshop:
    """Builds nothing, and says that it did.

    Parameters:
        runtime: when given, a task has an outcome only once its process has ended by itself.
        memory_only: frameworks are not looked for in the snapshot; it need not exist.
    """

    def __init__(self, runtime: Runtime | None = None, *, memory_only: bool = True) -> None:
        self.script = Script()
        self.builds = 0
        self._runtime = runtime
        self._memory_only = memory_only
        self._tasks: dict[str, tuple[BuildRequest, Script]] = {}
        self._artifacts: dict[str, Artifact] = {}
        self._keys: dict[str, str] = {}
        self._tested: set[str] = set()
        self._corrupt: set[str] = set()

    def detect(self, root: Path) -> Detection:
        """See `Workshop.detect`."""
        return detection.detect(Tree(root))

    def public_prefixes(self, request: BuildRequest) -> tuple[str, ...]:
        """See `Workshop.public_prefixes`."""
        return detection.public_prefixes(request)

    def key(self, request: BuildRequest) -> str:
        """See `Workshop.key`."""
        facts = asdict(replace(request, id="", source_root=Path(), withheld=(), of_services=()))
        return hashlib.sha256(
            json.dumps(facts, sort_keys=True, default=_plain).encode()
        ).hexdigest()

    async def find(self, request: BuildRequest) -> Artifact | None:
        """See `Workshop.find`."""
        key = self.key(request)
        digest = self._keys.get(key)
        if digest is None or (digest not in self._artifacts and digest not in self._corrupt):
            return None
        return replace(await self.artifact(digest), tested=key in self._tested)

    async def build_task(self, request: BuildRequest) -> ProcessSpec:
        """See `Workshop.build_task`."""
        if self.script.refusals:
            raise self.script.refusals.pop(0)
        self.builds += 1
        return self._task("build", request)

    async def test_task(self, request: BuildRequest) -> ProcessSpec:
        """See `Workshop.test_task`."""
        return self._task("test", request)

    async def outcome(self, task_id: str) -> BuildOutcome | None:
        """See `Workshop.outcome`."""
        found = self._tasks.get(task_id)
        if found is None or found[1].killed or not await self._has_ended(task_id):
            return None
        request, script = found
        is_test = task_id.startswith("test-")
        code = script.test if is_test else script.build
        if code:
            return BuildOutcome(code=code, message=f"scripted: {code}", phases={"build": 1.0})
        if is_test:
            self._tested.add(self.key(request))
            return BuildOutcome(phases={"test": 1.0})
        return BuildOutcome(artifact=self._make(request), phases={"install": 1.0, "build": 2.0})

    async def artifact(self, digest: str) -> Artifact:
        """See `Workshop.artifact`."""
        if digest in self._corrupt:
            self._corrupt.discard(digest)
            self._artifacts.pop(digest, None)
            raise IntegrityError(
                "artifact.corrupt", f"artifact {digest[:12]} was altered", where=digest
            )
        if digest not in self._artifacts:
            raise IntegrityError("artifact.missing", f"no artifact {digest[:12]}", where=digest)
        return self._artifacts[digest]

    async def list(self) -> Mapping[str, int]:
        """See `Workshop.list`."""
        return {digest: artifact.size_bytes for digest, artifact in self._artifacts.items()}

    async def folders(self) -> frozenset[str]:
        """See `Workshop.folders`."""
        return frozenset(task.partition("-")[2] for task in self._tasks)

    async def discard(self, request_id: str) -> None:
        """See `Workshop.discard`."""
        for task in ("build", "test"):
            self._tasks.pop(f"{task}-{request_id}", None)

    async def remove(self, digest: str) -> None:
        """See `Workshop.remove`."""
        self._artifacts.pop(digest, None)
        self._corrupt.discard(digest)

    def corrupt(self, digest: str) -> None:
        """Alter a stored artifact; the next one who wants it finds out."""
        self._corrupt.add(digest)

    def _task(self, name: str, request: BuildRequest) -> ProcessSpec:
        if not self._memory_only:
            self._plan(request)
        task_id = f"{name}-{request.id}"
        self._tasks[task_id] = (request, replace(self.script))
        return ProcessSpec(
            id=task_id,
            argv=("fake-build", task_id),
            env={},
            cwd="/",
            limits=request.limits,
            timeout_s=request.timeout_s if name == "build" else request.test_timeout_s,
            labels={"project": request.project, "build": request.id},
        )

    def _plan(self, request: BuildRequest) -> None:
        seen, root = scope(request)
        tree = Tree(request.source_root / seen)
        detection.make_plan(Context(request, tree, root, self.key(request)[:12], _VERSIONS))

    def _make(self, request: BuildRequest) -> Artifact:
        key = self.key(request)
        digest = hashlib.sha256(f"artifact {key}".encode()).hexdigest()
        artifact = Artifact(
            digest=digest,
            root=Path("/artifacts") / digest / "app",
            framework=request.framework or "node",
            web=("node", "server.js"),
            env={"NODE_ENV": "production", "GANTRY_BUILD": key[:12]},
            reasons=("built by the fake",),
            size_bytes=1_000_000,
            files=10,
        )
        self._artifacts[digest] = artifact
        self._keys[key] = digest
        return artifact

    async def _has_ended(self, task_id: str) -> bool:
        if self._runtime is None:
            return True
        status = (await self._runtime.statuses()).get(task_id)
        return (
            status is not None
            and status.state is ProcessState.EXITED
            and status.exit_code in (0, 1)
        )


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else str(value)


if TYPE_CHECKING:
    _guard: Workshop = FakeWorkshop()
