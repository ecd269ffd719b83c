"""The events of a deploy: its changes, and what its steps print."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from gantry.engines.database.protocol import Session
from gantry.features.deploys import store
from gantry.features.deploys.bodies import DeployBody, DeployEvent
from gantry.features.deploys.model import Deploy, DeployRecord, Step, StepState
from gantry.features.deploys.pipeline import PIPELINE, ROWS, steps_of
from gantry.features.instances import store as instances
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.rollouts import store as rollouts
from gantry.features.rollouts.bodies import RolloutBody
from gantry.kernel.redact import Redactor
from gantry.web.services import Services
from gantry.web.streams import INTERVAL_S, Event, Follower, Masks


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


@dataclass(frozen=True, slots=True)
class Observation:
    """A deploy at one moment.

    Attributes:
        sources: the logs of the steps so far, in order: (step, process).
    """

    body: DeployBody
    ended: bool
    sources: tuple[tuple[Step, str], ...]
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
    open_sources: tuple[tuple[Step, str], ...] = ()
    while not services.closing():
        now = await _observe(services, masks, deploy_id)
        if earlier is None:
            yield _event(DeployEvent(event="deploy", deploy=now.body))
        # What a step printed last belongs before the news that the next one began.
        for step, source in dict.fromkeys((*open_sources, *now.sources)):
            while text := (await logs.read(source, now.redact)).text:
                yield _event(DeployEvent(event="log", step=step, text=text))
        open_sources = now.sources
        if earlier is not None and not now.unchanged_since(earlier):
            yield _event(DeployEvent(event="deploy", deploy=now.body))
        earlier = now
        if now.ended:
            yield _event(DeployEvent(event="end", deploy=now.body))
            return
        yield None
        await services.clock.sleep(INTERVAL_S)


def _event(event: DeployEvent) -> Event:
    return event.event, event


async def _observe(services: Services, masks: Masks, deploy_id: str) -> Observation:
    async with services.database.transaction() as session:
        record = await store.get_record(session, deploy_id)
        deploy = record.deploy
        environment = await projects.get_environment_by_id(session, deploy.environment)
        sources = await _sources(session, record)
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


async def _sources(session: Session, record: DeployRecord) -> tuple[tuple[Step, str], ...]:
    """The processes whose output belongs to this deploy, as far as it has come."""
    deploy = record.deploy
    ran = {step.name for step in record.steps if step.state is not StepState.SKIPPED}
    found: list[tuple[Step, str]] = [
        (row.step, row.task(deploy)) for row in PIPELINE if row.task is not None and row.step in ran
    ]
    # Afterwards an instance's log is its product's own, no longer the deploy's.
    if deploy.release is not None and ROWS[deploy.step].shows_instances:
        present = await instances.list_for_environments(session, (deploy.environment,))
        found += [(deploy.step, item.id) for item in present if item.release == deploy.release]
    return tuple(found)
