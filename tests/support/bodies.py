"""Examples of what the API says: a small project in production, as tests and the fake API show it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from gantry.features.deploys.bodies import DeployBody, DeployEvent, StepBody
from gantry.features.deploys.model import DeployKind
from gantry.features.deploys.pipeline import steps_of
from gantry.features.instances.bodies import InstanceBody
from gantry.features.platform.bodies import (
    EnvironmentBody,
    PartBody,
    ProjectBody,
    ReachedBody,
    StatusBody,
)
from gantry.features.releases.bodies import CommitBody, ReleaseBody
from gantry.features.rollouts.bodies import ReasonBody, RolloutBody, StageBody, VerdictBody
from gantry.features.routes.bodies import CacheBody, LimitBody
from gantry.kernel.bodies import ErrorBody

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
STEPS = tuple(step.value for step in steps_of(DeployKind.DEPLOY))
SITE = "https://smart-sign.localhost:8443"


def minutes_ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def commit(**changes: Any) -> CommitBody:
    values = {"sha": "3f2a91c0ffee", "branch": "main", "message": "Add announcements\n\nbody"}
    return CommitBody(**{**values, **changes})


def release(number: int = 3, **changes: Any) -> ReleaseBody:
    values: dict[str, Any] = {
        "id": f"rel-{number:02}",
        "number": number,
        "state": "running",
        "live": True,
        "can_roll_back_to": False,
        "build": "b-77",
        "framework": "nextjs",
        "size_bytes": 41_000_000,
        "commit": commit(),
        "url": f"https://rel-{number:02}--smart-sign.localhost:8443",
        "created_at": minutes_ago(6),
        "live_at": minutes_ago(5),
        "left_at": None,
    }
    return ReleaseBody(**{**values, **changes})


def steps(
    states: dict[str, str], elapsed: dict[str, float] | None = None, **details: str
) -> tuple[StepBody, ...]:
    return tuple(
        StepBody.model_validate(
            {
                "name": name,
                "state": states.get(name, "waiting"),
                "elapsed_s": (elapsed or {}).get(name),
                "detail": details.get(name, ""),
            }
        )
        for name in STEPS
    )


def deploy(state: str = "active", **changes: Any) -> DeployBody:
    values: dict[str, Any] = {
        "id": "dep-7kq2m9xw4t",
        "project": "smart-sign",
        "environment": "production",
        "kind": "deploy",
        "state": state,
        "step": "source",
        "steps": steps({"source": "running"}, {"source": 0.1}),
        "commit": commit(),
        "release": None,
        "release_number": None,
        "build": None,
        "url": SITE,
        "requested_by": "owner",
        "requested_at": minutes_ago(1),
        "started_at": minutes_ago(1),
        "finished_at": None,
        "elapsed_s": 0.1,
        "cancel_requested": False,
        "error": None,
    }
    return DeployBody(**{**values, **changes})


def instance(**changes: Any) -> InstanceBody:
    values: dict[str, Any] = {
        "id": "ins-4f9k2",
        "release": "rel-03",
        "release_number": 3,
        "process": "web",
        "slot": 0,
        "state": "healthy",
        "pid": 4711,
        "port": 31001,
        "memory_bytes": 94_000_000,
        "restarts": 0,
        "started_at": minutes_ago(5),
    }
    return InstanceBody(**{**values, **changes})


def succeeded(**changes: Any) -> DeployBody:
    values: dict[str, Any] = {
        "step": "drain",
        "steps": steps(dict.fromkeys(STEPS, "done"), dict.fromkeys(STEPS, 1.5)),
        "release": "rel-03",
        "release_number": 3,
        "build": "b-77",
        "release_url": "https://rel-03--smart-sign.localhost:8443",
        "finished_at": NOW,
        "elapsed_s": 15.0,
    }
    return deploy("succeeded", **{**values, **changes})


def failed(**changes: Any) -> DeployBody:
    values: dict[str, Any] = {
        "step": "build",
        "steps": steps({"source": "done", "build": "failed"}, {"source": 0.2, "build": 8.0}),
        "elapsed_s": 8.2,
        "error": ErrorBody(
            kind="permanent",
            code="build.command-failed",
            message="npm run build ended with exit code 1",
            hint="the last lines say why",
            where="package.json",
        ),
    }
    return deploy("failed", **{**values, **changes})


def story_of_success() -> list[DeployEvent]:
    """A short deploy: two steps with a log, then all is done."""
    built = {"source": "done", "build": "running"}
    return [
        DeployEvent(event="deploy", deploy=deploy()),
        DeployEvent(
            event="deploy",
            deploy=deploy(step="build", steps=steps(built, {"source": 0.2, "build": 0.0})),
        ),
        DeployEvent(event="log", step="build", text="> next build\nCompiled in 5.4"),
        DeployEvent(event="log", step="build", text=" s\n"),
        DeployEvent(event="deploy", deploy=succeeded()),
        DeployEvent(event="end", deploy=succeeded()),
    ]


def story_of_failure() -> list[DeployEvent]:
    lines = "".join(f"line {number}\n" for number in range(1, 31))
    return [
        DeployEvent(event="log", step="build", text=lines),
        DeployEvent(event="end", deploy=failed()),
    ]


def cache(**changes: Any) -> CacheBody:
    values: dict[str, Any] = {
        "running": True,
        "hits": 11_304,
        "stale": 362,
        "misses": 518,
        "bypassed": 214,
        "share": (11_304 + 362) / 12_398,
        "evicted": 0,
        "entries": 212,
        "size_bytes": 3_100_000,
        "used_bytes": 12_400_000,
        "limit_bytes": 64_000_000,
    }
    return CacheBody(**{**values, **changes})


def status(**changes: Any) -> StatusBody:
    environment = EnvironmentBody(
        project="smart-sign",
        name="production",
        url=SITE,
        domains=(),
        live=release(),
        reached=ReachedBody(
            release="rel-03", release_number=3, status=200, elapsed_s=0.0123, expected=True
        ),
        instances=(instance(),),
        services=("postgres",),
        cache=cache(),
        limits=(
            LimitBody(
                source="/api/:path*",
                rate="100/minute",
                burst=20,
                per="address",
                status=429,
                refused=1_234,
            ),
        ),
        deploy=succeeded(finished_at=minutes_ago(5)),
    )
    values: dict[str, Any] = {
        "version": "0.1.0",
        "home": "/home/gantry",
        "console_url": "https://gantry.localhost:8443",
        "parts": (
            PartBody(name="control plane", running=True, memory_bytes=80_000_000),
            PartBody(name="edge", running=True, memory_bytes=40_000_000),
        ),
        "projects": (
            ProjectBody(
                name="smart-sign", created_at=minutes_ago(600), environments=(environment,)
            ),
        ),
    }
    return StatusBody(**{**values, **changes})


def broken_status() -> StatusBody:
    """Everything that can be wrong at once."""
    production = status().projects[0].environments[0]
    waiting = production.model_copy(
        update={
            "name": "staging",
            "live": None,
            "reached": None,
            "instances": (),
            "services": (),
            "cache": None,
            "deploy": deploy("queued", queue_position=2),
        }
    )
    wrong = production.model_copy(
        update={
            "reached": ReachedBody(
                release="rel-02",
                release_number=2,
                status=200,
                elapsed_s=0.2,
                expected=False,
            ),
            "instances": (
                instance(state="backing-off", restarts=4, message="ended with exit code 1"),
                instance(id="ins-new", slot=1, state="starting", memory_bytes=0),
            ),
            "domains": ("smartsign.example.com",),
            "cache": cache(
                evicted=310,
                trouble="310 answers made room for others too early: 64.0 MB are not enough; set GANTRY_CACHE_MB",
            ),
            "deploy": failed(finished_at=minutes_ago(1)),
        }
    )
    dead = production.model_copy(
        update={
            "name": "development",
            "reached": ReachedBody(
                release="",
                release_number=None,
                status=0,
                elapsed_s=3.0,
                expected=False,
                error="timed out",
            ),
            "instances": (),
            "cache": cache(running=False, trouble="it does not run; the instances answer"),
            "deploy": deploy(
                step="build",
                steps=steps({"source": "done", "build": "running"}, {"build": 75.0}),
            ),
        }
    )
    project = status().projects[0].model_copy(update={"environments": (wrong, waiting, dead)})
    return status(
        projects=(project,),
        parts=(
            PartBody(name="control plane", running=True, memory_bytes=80_000_000),
            PartBody(name="edge", running=False, detail="ended"),
        ),
        warnings=("the edge does not run: ended",),
    )


def rollout(**changes: Any) -> RolloutBody:
    """A rollout of release 4 at its second stage."""
    reasons = (
        ReasonBody(
            check="errors",
            outcome="pass",
            sentence="0.1 % of 4,120 requests failed, 0.1 % of 12,400 before",
            unit="share",
            candidate=0.001,
            current=0.0012,
            numbers={},
        ),
        ReasonBody(
            check="p95",
            outcome="inconclusive",
            sentence="too few slow requests to tell",
            unit="ms",
            candidate=None,
            current=1_240.0,
            numbers={},
        ),
    )
    stages = (
        StageBody(kind="mirror", percent=0, time_s=60.0, state="done"),
        StageBody(kind="canary", percent=25, time_s=120.0, state="running"),
        StageBody(kind="canary", percent=100, time_s=120.0, state="waiting"),
    )
    values: dict[str, Any] = {
        "id": "rol-1",
        "project": "smart-sign",
        "environment": "production",
        "deploy": "dep-7kq2m9xw4t",
        "candidate": "rel-04",
        "candidate_number": 4,
        "current": "rel-03",
        "current_number": 3,
        "state": "running",
        "stages": stages,
        "stage": 1,
        "approval": False,
        "verdict": VerdictBody(
            outcome="inconclusive", summary="nothing is worse so far", reasons=reasons
        ),
        "started_at": minutes_ago(2),
        "ended_at": None,
        "elapsed_s": 95.0,
    }
    return RolloutBody(**{**values, **changes})
