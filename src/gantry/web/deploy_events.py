"""The events of a deploy: its changes, and what its steps print."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from gantry.engines.database.protocol import Session
from gantry.features.deploys import store
from gantry.features.deploys.bodies import DeployBody, DeployEvent
from gantry.features.deploys.model import Deploy, DeployRecord, Step, StepState
from gantry.features.deploys.pipeline import PIPELINE, steps_of
from gantry.features.instances import store as instances
from gantry.features.instances.bodies import LogBody
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.rollouts import store as rollouts
from gantry.features.rollouts.bodies import RolloutBody
from gantry.kernel.redact import Redactor
from gantry.web.services import Services
from gantry.web.streams import INTERVAL_S, Event, Follower, Masks, of_lines


def body_of(services: Services, record: DeployRecord, environment: Environment) -> DeployBody:
    """A deploy as it is now."""
    return DeployBody.of(
        record,
        environment,
        services.host_names,
        steps=steps_of(record.deploy.kind),
        now=services.clock.now(),
        waits=services.waits(),
    )


# Lines have their time a second late at most; of instances that were ready long ago so much is read.
_LATE = timedelta(seconds=1)
_MAX_PAST_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class LogSource:
    """A log of which all, or what was written in some time, belongs to a step.

    Attributes:
        process: id of the process that writes it.
        since, until: what was written from, and up to, these moments; `None`: from its begin, and for as long as it grows.
    """

    step: Step
    process: str
    since: datetime | None = None
    until: datetime | None = None

    def is_past(self, body: LogBody) -> bool:
        """Whether a part of the log ends after what belongs to the step."""
        return bool(self.until and body.times and body.times[-1].at > self.until)

    def text(self, body: LogBody) -> str:
        """What belongs to the step of a part of the log."""
        if self.since is None and self.until is None:
            return body.text
        lines = [
            line
            for line in body.lines()
            if line.at is None
            or not ((self.since and line.at < self.since) or (self.until and line.at > self.until))
        ]
        return of_lines(body, lines).text


@dataclass(frozen=True, slots=True)
class Observation:
    """A deploy at one moment.

    Attributes:
        sources: the logs of the steps so far, in order.
    """

    body: DeployBody
    ended: bool
    sources: tuple[LogSource, ...]
    redact: Redactor

    def unchanged_since(self, earlier: Self) -> bool:
        """Whether nothing but the time has passed."""
        return _timeless(self.body) == _timeless(earlier.body)


def _timeless(body: DeployBody) -> DeployBody:
    steps = tuple(step.model_copy(update={"elapsed_s": None}) for step in body.steps)
    return body.model_copy(update={"elapsed_s": None, "steps": steps})


async def follow(
    services: Services, masks: Masks, deploy_id: str
) -> AsyncGenerator[Event | None, None]:
    """Events until the deploy has ended; `None` after each observation that brought nothing new."""
    logs = Follower(services)
    earlier: Observation | None = None
    open_sources: tuple[LogSource, ...] = ()
    complete: set[str] = set()
    while not services.closing():
        now = await _observe(services, masks, deploy_id)
        if earlier is None:
            yield _event(DeployEvent(event="deploy", deploy=now.body))
        # What a step printed last belongs before the news that the next one began.
        sources = {source.process: source for source in (*open_sources, *now.sources)}
        for source in sources.values():
            if source.process in complete:
                continue
            async for text in _news(logs, source, now.redact):
                yield _event(DeployEvent(event="log", step=source.step, text=text))
            if source.until is not None:
                complete.add(source.process)
        open_sources = now.sources
        if earlier is not None and not now.unchanged_since(earlier):
            yield _event(DeployEvent(event="deploy", deploy=now.body))
        earlier = now
        if now.ended:
            yield _event(DeployEvent(event="end", deploy=now.body))
            return
        yield None
        await services.clock.sleep(INTERVAL_S)


async def _news(logs: Follower, source: LogSource, redact: Redactor) -> AsyncIterator[str]:
    """What a log has got since the last time, as far as it belongs to its step."""
    if source.until is not None and source.since is not None:
        await logs.begin_at(source.process, source.since)
    read = 0
    while (body := await logs.read(source.process, redact)).text:
        if text := source.text(body):
            yield text
        read += len(body.text)
        if source.is_past(body) or (source.until is not None and read > _MAX_PAST_BYTES):
            return


def _event(event: DeployEvent) -> Event:
    return event.event, event


async def _observe(services: Services, masks: Masks, deploy_id: str) -> Observation:
    async with services.database.transaction() as session:
        record = await store.get_record(session, deploy_id)
        deploy = record.deploy
        environment = await projects.get_environment_by_id(session, deploy.environment)
        sources = await _sources(services, session, record)
        kept = (deploy.release,) if deploy.release is not None else ()
        redact = await masks.of(session, environment.id, kept)
        rollout = await _rollout(session, deploy, environment, services.clock.now())
    return Observation(
        body=_with_rollout(body_of(services, record, environment), rollout),
        ended=deploy.state.ended,
        sources=sources,
        redact=redact,
    )


async def _rollout(
    session: Session, deploy: Deploy, environment: Environment, now: datetime
) -> RolloutBody | None:
    """The rollout that the deploy is at; `None` at every other step."""
    if deploy.step is not Step.ROLLOUT or deploy.state.ended:
        return None
    found = await rollouts.list_newest(session, (environment.id,))
    mine = (record for record in found if record.rollout.deploy == deploy.id)
    return next((RolloutBody.of(record, environment, now) for record in mine), None)


def _with_rollout(body: DeployBody, rollout: RolloutBody | None) -> DeployBody:
    """The deploy whose step says how far its rollout is."""
    if rollout is None:
        return body
    steps = tuple(
        step.model_copy(update={"detail": rollout.sentence})
        if step.name == Step.ROLLOUT and step.state == "running" and not step.detail
        else step
        for step in body.steps
    )
    return body.model_copy(update={"steps": steps})


async def _sources(
    services: Services, session: Session, record: DeployRecord
) -> tuple[LogSource, ...]:
    """The logs whose lines belong to this deploy, as far as it has come."""
    deploy = record.deploy
    ran = {step.name: step for step in record.steps if step.state is not StepState.SKIPPED}
    found = [
        LogSource(row.step, row.task(deploy))
        for row in PIPELINE
        if row.task is not None and row.step in ran
    ]
    # Before and afterwards an instance's log is its product's own, not the deploy's.
    shown = [ran[row.step] for row in PIPELINE if row.shows_instances and row.step in ran]
    if not shown or deploy.release is None:
        return tuple(found)
    step, since = shown[-1], shown[0].started_at
    goes_on = deploy.step is step.name and not deploy.state.ended
    until = None if goes_on else (step.finished_at or deploy.finished_at or since) + _LATE
    names = await _instances(services, session, deploy, deploy.release)
    return (*found, *(LogSource(step.name, name, since, until) for name in names))


async def _instances(
    services: Services, session: Session, deploy: Deploy, release: str
) -> tuple[str, ...]:
    """The release's instances; of a deploy that has ended also those that are gone, as long as their logs are kept."""
    if not deploy.state.ended:
        present = await instances.list_for_environments(session, (deploy.environment,))
        return tuple(item.id for item in present if item.release == release)
    statuses = await services.runtime.statuses()
    return tuple(
        name
        for name, status in sorted(statuses.items())
        if status.labels.get("release") == release and status.labels.get("process")
    )
