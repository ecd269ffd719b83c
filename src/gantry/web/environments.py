"""The page of an environment, made of what several nouns show of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar

from fastapi import Request
from fastapi.responses import HTMLResponse

from gantry.features.deploys.bodies import DeployBody
from gantry.features.instances.bodies import InstanceBody
from gantry.features.platform import store
from gantry.features.platform.bodies import EnvironmentBody
from gantry.features.platform.model import EnvironmentRecord, ProjectRecord
from gantry.features.projects.store import no_environment, no_project
from gantry.features.releases.bodies import ReleaseBody
from gantry.web import deploys, releases, rollouts, routes, variables
from gantry.web.access import Viewer
from gantry.web.frame import EnvironmentCard, Page, Panel, ShownEnvironment, frame_of, in_order
from gantry.web.noun import Mark, Noun
from gantry.web.openapi import KnownEnvironment, KnownProject
from gantry.web.render import render
from gantry.web.services import Has, Services

noun = Noun(
    "environments",
    marks={
        "empty": Mark("Nothing live", "quiet", "circle-dashed"),
        "healthy": Mark("Healthy", "good", "circle-check"),
        "degraded": Mark("Degraded", "warn", "triangle-alert"),
        "down": Mark("Down", "bad", "circle-x"),
        # of instances
        "unhealthy": Mark("Unhealthy", "bad", "circle-x"),
        "starting": Mark("Starting", "busy", "loader-circle"),
        "backing-off": Mark("Backing off", "warn", "circle-pause"),
        "stopping": Mark("Stopping", "quiet", "circle-dot"),
    },
)


@dataclass(frozen=True, slots=True)
class InstancesPanel(Panel):
    """The instances of an environment.

    Attributes:
        static: its live release needs none.
    """

    template: ClassVar[str] = "environments/instances.html"

    instances: tuple[InstanceBody, ...]
    memory_bytes: int
    static: bool


async def _instances(shown: ShownEnvironment) -> InstancesPanel:
    body = shown.card.body
    static = body.live is not None and body.live.framework == "static"
    return InstancesPanel(body.instances, shown.card.memory_bytes, static)


# In the order in which they stand on the page.
_PANELS: tuple[Callable[[ShownEnvironment], Awaitable[Panel | None]], ...] = (
    rollouts.panel,
    _instances,
    routes.panel,
    releases.panel,
    deploys.panel,
    variables.panel,
)


@dataclass(frozen=True, slots=True)
class Promotion:
    """A promotion that the page offers."""

    from_environment: str
    to_environment: str
    release: ReleaseBody


@dataclass(frozen=True, slots=True)
class EnvironmentPage(Page):
    """An environment.

    Attributes:
        tabs: every environment of the project, this one included.
        deploy: the deploy that runs or waits; `None` when none does.
        rollback: where "roll back" without a choice would go.
        promotion: what could be promoted from or to this environment.
    """

    template: ClassVar[str] = "environments"

    card: EnvironmentCard
    tabs: tuple[EnvironmentCard, ...]
    deploy: DeployBody | None
    rollback: ReleaseBody | None
    promotion: Promotion | None
    panels: tuple[Panel, ...]


@noun.console.get("/projects/{project}/{environment}")
async def environment_page(
    request: Request,
    services: Has,
    caller: Viewer,
    project: KnownProject,
    environment: KnownEnvironment,
) -> HTMLResponse:
    """An environment, live."""
    page = await read_page(services, project, environment)
    return render(request, page, frame_of(services, caller, here="overview"))


async def read_page(services: Services, project: str, environment: str) -> EnvironmentPage:
    """Everything that the page shows, from one transaction."""
    context = await services.context()
    history = store.History(environment, releases.MAX_SHOWN, deploys.MAX_SHOWN)
    async with services.state.transaction() as session:
        found = await store.list_projects(session, project, history=history)
        record = _named(found, project, environment)
        tabs = in_order(EnvironmentBody.of(sibling, context) for sibling in found[0].environments)
        card = next(card for card in tabs if card.body.name == environment)
        shown = ShownEnvironment(session=session, record=record, card=card, context=context)
        panels = [await panel(shown) for panel in _PANELS]
    return EnvironmentPage(
        card=card,
        tabs=tabs,
        deploy=_under_way(deploys.bodies_of(shown)),
        rollback=_rollback(shown),
        promotion=_promotion(card, tabs),
        panels=tuple(panel for panel in panels if panel is not None),
    )


async def read_environment(services: Services, project: str, environment: str) -> EnvironmentBody:
    """An environment as it is now.

    Raises:
        NotFoundError: `project.unknown`, `environment.unknown`.
    """
    context = await services.context()
    async with services.state.transaction() as session:
        found = await store.list_projects(session, project)
    return EnvironmentBody.of(_named(found, project, environment), context)


def _named(found: tuple[ProjectRecord, ...], project: str, environment: str) -> EnvironmentRecord:
    if not found:
        raise no_project(project)
    for record in found[0].environments:
        if record.environment.name == environment:
            return record
    raise no_environment(project, environment)


def _under_way(recent: tuple[DeployBody, ...]) -> DeployBody | None:
    waiting = [body for body in recent if body.state in ("active", "queued")]
    return min(waiting, key=lambda body: (body.state != "active", body.requested_at), default=None)


def _rollback(shown: ShownEnvironment) -> ReleaseBody | None:
    """The release that was live last before the present one."""
    environment = shown.record.environment
    bodies = (
        ReleaseBody.of(built, environment, shown.context.naming) for built in shown.record.releases
    )
    possible = [body for body in bodies if body.can_roll_back_to and body.left_at is not None]
    return max(possible, key=lambda body: body.left_at or body.created_at, default=None)


def _promotion(card: EnvironmentCard, tabs: tuple[EnvironmentCard, ...]) -> Promotion | None:
    """From staging to production, shown on both pages while their builds differ."""
    live = {tab.body.name: tab.body.live for tab in tabs}
    staged, produced = live.get("staging"), live.get("production")
    if staged is None or card.body.name == "development":
        return None
    if produced is not None and produced.build == staged.build:
        return None
    return Promotion("staging", "production", staged)
