"""Short ways to make the values that rules work on."""

from datetime import UTC, datetime, timedelta
from typing import Any

from gantry.engines.runtime.protocol import ProcessState, ProcessStatus
from gantry.features.builds.model import Build, BuildState
from gantry.features.deploys.model import Deploy, DeployKind, DeployState, Step
from gantry.features.instances.model import Instance, Want
from gantry.features.releases.model import Commit, Release, ReleaseState

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """`seconds` after the beginning of the story."""
    return T0 + timedelta(seconds=seconds)


def instance(**changes: Any) -> Instance:
    """An instance of release `r-1` that is waiting for its first start."""
    fields: dict[str, Any] = {
        "id": "i-1",
        "release": "r-1",
        "process": "web",
        "slot": 0,
        "port": 20_001,
        "created_at": T0,
        "started_at": None,
        "healthy_at": None,
        "restarts": 0,
        "failures": 0,
        "next_start_at": None,
        "stopping_since": None,
        "last_exit": "",
    }
    return Instance(**(fields | changes))


def want(**changes: Any) -> Want:
    """One web instance of `r-1`."""
    fields: dict[str, Any] = {
        "release": "r-1",
        "process": "web",
        "count": 1,
        "probed": True,
        "start_deadline_s": 60.0,
        "terminate_s": 10.0,
    }
    return Want(**(fields | changes))


def running(process_id: str = "i-1", **changes: Any) -> ProcessStatus:
    """A process that runs."""
    fields: dict[str, Any] = {"id": process_id, "state": ProcessState.RUNNING, "pid": 7}
    return ProcessStatus(**(fields | {"started_at": T0} | changes))


def exited(process_id: str = "i-1", exit_code: int = 1, **changes: Any) -> ProcessStatus:
    """A process that has ended."""
    fields: dict[str, Any] = {
        "id": process_id,
        "state": ProcessState.EXITED,
        "pid": None,
        "started_at": T0,
        "ended_at": T0,
        "exit_code": exit_code,
    }
    return ProcessStatus(**(fields | changes))


def release(release_id: str = "r-1", **changes: Any) -> Release:
    """A running release of the environment `env-1`."""
    fields: dict[str, Any] = {
        "id": release_id,
        "environment": "env-1",
        "number": 1,
        "build": "b-1",
        "manifest": {},
        "commit": Commit(),
        "state": ReleaseState.RUNNING,
        "created_at": T0,
    }
    return Release(**(fields | changes))


def build(**changes: Any) -> Build:
    """A build under way, claimed when its deploy began."""
    fields: dict[str, Any] = {
        "id": "b-1",
        "project": "shop",
        "key": "k",
        "source_digest": "0" * 64,
        "state": BuildState.BUILDING,
        "framework": "",
        "reasons": (),
        "artifact_digest": "",
        "size_bytes": 0,
        "phases": {},
        "error": None,
        "created_at": T0,
        "finished_at": None,
    }
    return Build(**(fields | changes))


def deploy(step: Step = Step.SOURCE, **changes: Any) -> Deploy:
    """An active deploy at `step`."""
    fields: dict[str, Any] = {
        "id": "dep-1",
        "environment": "env-1",
        "kind": DeployKind.DEPLOY,
        "state": DeployState.ACTIVE,
        "step": step,
        "source_digest": "0" * 64,
        "commit": Commit(),
        "requested_by": "ada",
        "requested_at": T0,
        "started_at": T0,
        "step_started_at": T0,
    }
    return Deploy(**(fields | changes))
