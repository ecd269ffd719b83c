"""The live story of a deploy: its changes and what its steps print."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from gantry.features.builds.model import Build
from gantry.features.deploys import store
from gantry.features.deploys.bodies import DeployBody, DeployEvent, StepName
from gantry.features.deploys.model import Deploy, Step, StepState
from gantry.kernel.redact import Redactor
from gantry.web.services import Services
from gantry.web.streams import LOOK_EVERY_S, Event
from gantry.web.views.deploys import deploy_body
from gantry.web.views.logs import Follower, Masks
from gantry.web.views.reader import Reader


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a deploy showed.

    Attributes:
        sources: the logs of the steps so far, in order: (step, process).
    """

    body: DeployBody
    ended: bool
    sources: tuple[tuple[StepName, str], ...]
    redact: Redactor

    def unchanged_since(self, other: "Look") -> bool:
        """Whether nothing but the time has passed."""
        return _timeless(self.body) == _timeless(other.body)


def _timeless(body: DeployBody) -> DeployBody:
    steps = tuple(step.model_copy(update={"elapsed_s": None}) for step in body.steps)
    return body.model_copy(update={"elapsed_s": None, "steps": steps})


async def follow(services: Services, masks: Masks, deploy_id: str) -> AsyncIterator[Event | None]:
    """Events until the deploy has ended; `None` after each look that showed nothing new."""
    logs = Follower(services)
    seen: Look | None = None
    open_sources: tuple[tuple[StepName, str], ...] = ()
    while not services.closing():
        look = await _look(services, masks, deploy_id)
        if seen is None:
            yield _event(DeployEvent(event="deploy", deploy=look.body))
        # What a step printed last belongs before the news that the next one began.
        for step, source in dict.fromkeys((*open_sources, *look.sources)):
            while text := (await logs.read(source, look.redact)).text:
                yield _event(DeployEvent(event="log", step=step, text=text))
        open_sources = look.sources
        if seen is not None and not look.unchanged_since(seen):
            yield _event(DeployEvent(event="deploy", deploy=look.body))
        seen = look
        if look.ended:
            yield _event(DeployEvent(event="end", deploy=look.body))
            return
        yield None
        await services.clock.sleep(LOOK_EVERY_S)


def _event(event: DeployEvent) -> Event:
    return event.event, event


async def _look(services: Services, masks: Masks, deploy_id: str) -> Look:
    async with services.state.transaction() as session:
        reader = Reader(services, session)
        deploy = await store.get(session, deploy_id)
        environment = await reader.environment(deploy.environment)
        release = await reader.release(deploy.release) if deploy.release else None
        return Look(
            body=await deploy_body(reader, deploy),
            ended=deploy.state.ended,
            sources=await _sources(reader, deploy),
            redact=await masks.of(reader, environment, (release,) if release else ()),
        )


async def _sources(reader: Reader, deploy: Deploy) -> tuple[tuple[StepName, str], ...]:
    """The processes whose output belongs to this deploy, as far as it has come."""
    records = await store.list_steps(reader.session, deploy.id)
    ran = {record.name for record in records if record.state is not StepState.SKIPPED}
    found: list[tuple[StepName, str]] = []
    if deploy.build is not None and ran & {Step.BUILD, Step.TEST}:
        found += _build_tasks(await reader.build(deploy.build), ran)
    if Step.MIGRATE in ran:
        found.append(("migrate", deploy.migrate_task))
    # Afterwards an instance's log is its product's own, no longer the deploy's.
    if deploy.release is not None and deploy.step in (Step.START, Step.HEALTHY):
        step: StepName = "start" if deploy.step is Step.START else "healthy"
        environment = await reader.environment(deploy.environment)
        found += [
            (step, instance.id)
            for instance, release in await reader.instances(environment)
            if release.id == deploy.release
        ]
    return tuple(found)


def _build_tasks(build: Build, ran: set[Step]) -> list[tuple[StepName, str]]:
    tasks: list[tuple[StepName, str]] = []
    if Step.BUILD in ran:
        tasks.append(("build", build.build_task))
    if Step.TEST in ran:
        tasks.append(("test", build.test_task))
    return tasks
