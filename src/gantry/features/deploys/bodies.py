"""What the API takes and says of deploys and plans."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from gantry.features.deploys.model import DeployState, Step
from gantry.features.releases.bodies import CommitBody, CommitRequest
from gantry.kernel.bodies import Answer, ErrorBody, Open, Request

if TYPE_CHECKING:
    from gantry.features.deploys.model import DeployRecord, StepRecord
    from gantry.features.projects.host_names import HostNames
    from gantry.features.projects.model import Environment

StepStateName = Literal["waiting", "running", "done", "skipped", "failed"]


DeployStateName = Literal["queued", "active", "succeeded", "failed", "cancelled"]

_LANGUAGES = {"node": "Node", "python": "Python"}
_ENDED = frozenset(state.value for state in DeployState if state.ended)


class DeployRequest(Request):
    """Deploy a snapshot that was uploaded before."""

    source_digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    commit: CommitRequest = CommitRequest()
    use_cache: bool = Field(
        default=True,
        description="Whether a build of before may be taken, and what builds have left. If not, everything is made anew.",
    )


class PromoteRequest(Request):
    """Bring the build that is live in another environment here; built again only for public variables."""

    from_environment: str = "staging"


class RollbackRequest(Request):
    """Go back to a release of this environment; without a number, down to the next one below that is not withdrawn."""

    to_release: int | None = Field(None, ge=1)


class RestartRequest(Request):
    """Start the live release's processes anew, one instance after the other."""

    process: str = Field(
        "",
        max_length=100,
        description="Which kind, `web` or `worker.NAME`; empty for all of them.",
    )


class StepBody(Answer):
    """One step of a deploy."""

    name: Open[Step]
    state: Open[StepStateName]
    started_at: datetime | None = None
    finished_at: datetime | None = None
    elapsed_s: float | None = None
    detail: str = ""

    @classmethod
    def of(cls, record: "StepRecord", now: datetime) -> Self:
        """A step that has begun."""
        return cls(
            name=record.name.value,
            state=record.state.value,
            started_at=record.started_at,
            finished_at=record.finished_at,
            elapsed_s=_elapsed_s(record.started_at, record.finished_at, now),
            detail=record.detail,
        )


class ToolBody(Answer):
    """A program that a product was built with."""

    name: str = Field(description="`node`, `python`, or the package manager, such as `pnpm`.")
    version: str = Field(description="Empty where the program does not leave it behind.")


class DeployBody(Answer):
    """One deploy."""

    id: str
    project: str
    environment: str
    kind: Open[Literal["deploy", "promote", "rollback", "redeploy", "restart"]]
    state: Open[DeployStateName]
    step: Open[Step]
    steps: tuple[StepBody, ...]
    commit: CommitBody
    release: str | None
    release_number: int | None
    build: str | None
    url: str = Field(description="The environment's address.")
    release_url: str = Field("", description="The release's own immutable address.")
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    elapsed_s: float | None
    queue_position: int | None = Field(None, description="0 is next; only while queued.")
    cancel_requested: bool
    error: ErrorBody | None
    process: str = Field("", description="Which kind of process a restart is of; empty for all.")
    use_cache: bool = Field(
        default=True, description="False: built anew, without what builds before it have left."
    )
    tools: tuple[ToolBody, ...] = Field((), description="What it was built with.")

    @classmethod
    def of(
        cls,
        record: "DeployRecord",
        environment: "Environment",
        host_names: "HostNames",
        *,
        steps: Iterable[Step],
        now: datetime,
        waits: Mapping[str, str],
    ) -> Self:
        """A deploy with its steps.

        Parameters:
            steps: that a deploy of its kind takes, in order.
            waits: deploy -> what its present step waits for, where it met a fault that may pass.
        """
        deploy = record.deploy
        host = (
            host_names.release_host(environment.project, deploy.release) if deploy.release else ""
        )
        return cls(
            id=deploy.id,
            project=environment.project,
            environment=environment.name,
            kind=deploy.kind.value,
            state=deploy.state.value,
            step=deploy.step.value,
            steps=_steps(record, steps, now, waits.get(deploy.id, "")),
            commit=CommitBody.of(deploy.commit),
            release=deploy.release,
            release_number=record.release_number,
            build=deploy.build,
            url=host_names.url(host_names.environment_host(environment)),
            release_url=host_names.url(host) if host else "",
            requested_by=deploy.requested_by,
            requested_at=deploy.requested_at,
            started_at=deploy.started_at,
            finished_at=deploy.finished_at,
            elapsed_s=_elapsed_s(deploy.started_at, deploy.finished_at, now),
            queue_position=record.queue_position,
            cancel_requested=deploy.cancel_requested,
            error=ErrorBody.model_validate(dict(deploy.error)) if deploy.error else None,
            process=deploy.process,
            use_cache=deploy.use_cache,
            tools=_tools(record.tools),
        )

    @property
    def built_with(self) -> str:
        """For people: `Node 22.20.0, pnpm 9.15.9`; empty where it is not known."""
        said = (f"{_LANGUAGES.get(tool.name, tool.name)} {tool.version}" for tool in self.tools)
        return ", ".join(text.strip() for text in said)

    @property
    def ended(self) -> bool:
        """Whether it succeeded, failed or was cancelled: nothing more happens to it."""
        return self.state in _ENDED


class DeployEvent(Answer):
    """One event of a deploy's live stream (server-sent events; `event` is the SSE event's name).

    `deploy` carries the whole deploy whenever a step changes; `log` carries log lines of the running step;
    `end` is the last one.
    """

    event: Open[Literal["deploy", "log", "end"]]
    deploy: DeployBody | None = None
    step: Open[Step] | None = None
    text: str = ""


class PlanChange(Answer):
    """One thing that a deploy would change."""

    what: Open[
        Literal[
            "build",
            "release",
            "variable",
            "instances",
            "service",
            "extension",
            "route",
            "setting",
            "host",
        ]
    ]
    action: Open[Literal["create", "change", "remove", "keep"]]
    name: str
    before: str = ""
    after: str = ""


class PlanBody(Answer):
    """What a deploy would do."""

    project: str
    environment: str
    changes: tuple[PlanChange, ...]
    blockers: tuple[ErrorBody, ...] = Field((), description="Why the deploy would be refused.")
    unchanged: bool = Field(
        default=False,
        description="Nothing changes: the release would have the same build, variables, settings and services as "
        "the live one.",
    )


def _steps(
    record: "DeployRecord", steps: Iterable[Step], now: datetime, waits: str
) -> tuple[StepBody, ...]:
    deploy = record.deploy
    known = {step.name: StepBody.of(step, now) for step in record.steps}
    present = known.get(deploy.step)
    if waits and present is not None and present.state == "running":
        known[deploy.step] = present.model_copy(update={"detail": waits})
    return tuple(
        known[name] if name in known else StepBody(name=name.value, state="waiting")
        for name in steps
    )


def _tools(versions: Mapping[str, str]) -> tuple[ToolBody, ...]:
    """What a product runs on first: the database keeps no order."""
    names = sorted(versions, key=lambda name: (name not in _LANGUAGES, name))
    return tuple(ToolBody(name=name, version=versions[name]) for name in names)


def _elapsed_s(start: datetime | None, end: datetime | None, now: datetime) -> float | None:
    if start is None:
        return None
    # A wall clock that was set back must not show a negative time.
    return max(0.0, round(((end or now) - start).total_seconds(), 3))
