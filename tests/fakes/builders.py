"""A workshop without builds: its tasks are processes of the machine, its artifacts exist in memory.

Detection, plans and keys are the real ones; only the work is not done.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gantry.engines.builders import detect as detection
from gantry.engines.builders.context import Context, scope
from gantry.engines.builders.plan import Versions
from gantry.engines.builders.protocol import (
    Artifact,
    BuildOutcome,
    BuildRequest,
    Detection,
    Place,
    Workshop,
)
from gantry.engines.builders.tree import Tree
from gantry.engines.runtime.protocol import ProcessSpec
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import IntegrityError
from tests.fakes.machine import Machine, Task

_VERSIONS = Versions(node="24.0.0", python="3.11.0")
_FAILED = {"build": "build.command-failed", "test": "test.failed"}


class FakeWorkshop:
    """The workshop of a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def detect(self, root: Path) -> Detection:
        """See `Workshop.detect`."""
        return detection.detect(Tree(root))

    def public_prefixes(self, request: BuildRequest) -> tuple[str, ...]:
        """See `Workshop.public_prefixes`."""
        return detection.public_prefixes(request)

    def key(self, request: BuildRequest) -> str:
        """See `Workshop.key`."""
        same = replace(request, id="", source_root=Path(), withheld=(), of_services=(), cached=True)
        facts = asdict(same)
        return hashlib.sha256(
            json.dumps(facts, sort_keys=True, default=_plain).encode()
        ).hexdigest()

    async def find(self, request: BuildRequest) -> Artifact | None:
        """See `Workshop.find`."""
        self._collect()
        key = self.key(request)
        digest = _digest(key)
        if digest not in self.machine.artifacts:
            return None
        return replace(await self.artifact(digest), tested=key in self.machine.tested)

    async def build_task(self, request: BuildRequest) -> ProcessSpec:
        """See `Workshop.build_task`."""
        self.machine.may_refuse("build.low-memory", "build_task")
        seen, root = scope(request)
        tree = Tree(request.source_root / seen)
        detection.make_plan(Context(request, tree, root, self.key(request)[:12], _VERSIONS))
        return self._task("build", request, request.timeout_s)

    async def test_task(self, request: BuildRequest) -> ProcessSpec:
        """See `Workshop.test_task`."""
        return self._task("test", request, request.test_timeout_s)

    async def outcome(self, task_id: str) -> BuildOutcome | None:
        """See `Workshop.outcome`."""
        self._collect()
        task = self.machine.tasks.get(task_id)
        return task.outcome if task is not None else None

    async def artifact(self, digest: str) -> Artifact:
        """See `Workshop.artifact`."""
        self._collect()
        machine = self.machine
        if digest in machine.altered:
            machine.altered.discard(digest)
            machine.artifacts.pop(digest, None)
            raise IntegrityError(
                "artifact.corrupt", f"artifact {digest[:12]} was altered", where=digest
            )
        if digest not in machine.artifacts:
            raise IntegrityError("artifact.missing", f"no artifact {digest[:12]}", where=digest)
        return machine.artifacts[digest]

    async def list(self) -> Mapping[str, int]:
        """See `Workshop.list`."""
        self._collect()
        return {digest: item.size_bytes for digest, item in self.machine.artifacts.items()}

    async def folders(self) -> frozenset[str]:
        """See `Workshop.folders`."""
        return frozenset(task_id.partition("-")[2] for task_id in self.machine.tasks)

    async def discard(self, request_id: str) -> None:
        """See `Workshop.discard`."""
        self._collect()
        for name in _FAILED:
            self.machine.tasks.pop(f"{name}-{request_id}", None)

    async def remove(self, digest: str) -> None:
        """See `Workshop.remove`."""
        self._collect()
        self.machine.artifacts.pop(digest, None)
        self.machine.altered.discard(digest)

    async def cache_bytes(self, project: str) -> int:
        """See `Workshop.cache_bytes`."""
        self._collect()
        return self.machine.build_caches.get(project, 0)

    async def clear_cache(self, project: str) -> int:
        """See `Workshop.clear_cache`."""
        self._collect()
        return self.machine.build_caches.pop(project, 0)

    def _task(self, name: str, request: BuildRequest, timeout_s: float) -> ProcessSpec:
        task_id = f"{name}-{request.id}"
        self.machine.tasks.setdefault(task_id, Task(request))
        return ProcessSpec(
            id=task_id,
            argv=("fake-build", task_id),
            env={},
            cwd="/",
            limits=request.limits,
            timeout_s=timeout_s,
        )

    def _collect(self) -> None:
        """Tasks that have ended by themselves have left what they made."""
        for task_id, task in self.machine.tasks.items():
            process = task.process
            if task.outcome is not None or process is None or process.runs(self.machine.now_s):
                continue
            if process.ended_by == "exit":
                name = task_id.partition("-")[0]
                task.outcome = self._outcome(name, task.request, process.exit_code)

    def _outcome(self, name: str, request: BuildRequest, exit_code: int) -> BuildOutcome:
        if exit_code:
            message = f"the {name} ended with {exit_code}"
            return BuildOutcome(code=_FAILED[name], message=message, phases={name: 2.0})
        if name == "test":
            self.machine.tested.add(self.key(request))
            return BuildOutcome(phases={"test": 2.0})
        return BuildOutcome(artifact=self._make(request), phases={"install": 1.0, "build": 1.0})

    def _make(self, request: BuildRequest) -> Artifact:
        key = self.key(request)
        digest = _digest(key)
        artifact = Artifact(
            digest=digest,
            served=Place(Path("/artifacts") / digest / "app"),
            framework=detection.choose(request, Tree(request.source_root / request.root)).framework,
            web=("node", "server.js"),
            env={"NODE_ENV": "production", "GANTRY_BUILD": key[:12]},
            assets={"/_next/static": "static"},
            reasons=("built by the fake",),
            tools={"node": _VERSIONS.node, "npm": "11.0.0"},
            size_bytes=1_000_000,
            files=10,
        )
        self.machine.artifacts[digest] = artifact
        self.machine.build_caches[request.project] = 5_000_000
        if not request.cached:
            self.machine.built_without_cache.append(request.id)
        self.machine.built_from[digest] = request.source_digest
        return artifact


def _digest(key: str) -> str:
    return hashlib.sha256(f"artifact {key}".encode()).hexdigest()


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else str(value)


if TYPE_CHECKING:
    _guard: Workshop = FakeWorkshop(Machine(ManualClock()))
