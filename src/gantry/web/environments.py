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
from gantry.features.releases.rules import rollback_target
from gantry.kernel.units import first_line
from gantry.web import deploys, releases, rollouts, routes, variables
from gantry.web.access import Viewer
from gantry.web.frame import (
    Action,
    EnvironmentCard,
    Page,
    Panel,
    ShownEnvironment,
    frame_of,
    in_order,
    path_of,
)
from gantry.web.noun import Mark, Noun, Offer
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
        "closed": Mark("Closed", "warn", "circle-pause"),
        # of instances
        "unhealthy": Mark("Unhealthy", "bad", "circle-x"),
        "starting": Mark("Starting", "busy", "loader-circle"),
        "backing-off": Mark("Backing off", "warn", "circle-pause"),
        "stopping": Mark("Stopping", "quiet", "circle-dot"),
        "warm": Mark("Warm", "quiet", "circle-dot"),
    },
)


@dataclass(frozen=True, slots=True)
class InstancesPanel(Panel):
    """The instances of an environment.

    Attributes:
        instances: those that visitors are answered by first, each with its state: `warm` of one that only waits for a
            rollback.
        static: its live release needs none.
    """

    template: ClassVar[str] = "environments/instances.html"

    instances: tuple[tuple[InstanceBody, str], ...]
    memory_bytes: int
    static: bool


async def _instances(shown: ShownEnvironment) -> InstancesPanel:
    body = shown.card.body
    static = body.live is not None and body.live.framework == "static"
    return InstancesPanel(_by_visitors(body), shown.card.memory_bytes, static)


def _by_visitors(body: EnvironmentBody) -> tuple[tuple[InstanceBody, str], ...]:
    """The live release's, then the candidate's, then those that are kept warm."""
    serving = [item.id for item in (body.live,) if item is not None]
    serving += [item.release for item in (body.candidate,) if item is not None]
    # Without either, what runs is on its way to be live.
    places = {release: place for place, release in enumerate(serving)}
    ordered = sorted(
        body.instances,
        key=lambda item: (places.get(item.release, len(places)), -item.release_number),
    )
    newest = max(
        (item.release_number for item in body.instances if item.release in places), default=0
    )
    return tuple(
        (item, "warm")
        if item.release not in places and item.state == "healthy" and item.release_number < newest
        else (item, item.state)
        for item in ordered
    )


# In the order in which they stand on the page.
_PANELS: tuple[Callable[[ShownEnvironment], Awaitable[Panel | None]], ...] = (
    rollouts.panel,
    _instances,
    routes.panel,
    routes.limits_panel,
    releases.panel,
    deploys.panel,
    variables.panel,
)


@dataclass(frozen=True, slots=True)
class EnvironmentPage(Page):
    """An environment.

    Attributes:
        tabs: every environment of the project, this one included.
        deploy: the deploy that runs or waits; `None` when none does.
        actions: what can be done with it now.
    """

    template: ClassVar[str] = "environments"

    card: EnvironmentCard
    tabs: tuple[EnvironmentCard, ...]
    deploy: DeployBody | None
    actions: tuple[Action, ...]
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
    offers: tuple[Offer, ...] = request.app.state.offers
    page = await read_page(services, project, environment, offers)
    return render(request, page, frame_of(services, caller, here="overview"))


async def read_page(
    services: Services, project: str, environment: str, offers: tuple[Offer, ...]
) -> EnvironmentPage:
    """Everything that the page shows, from one transaction."""
    context = await services.context()
    history = store.History(environment, releases.MAX_SHOWN, deploys.MAX_SHOWN)
    async with services.database.transaction() as session:
        found = await store.list_projects(
            session, project, closed_by=services.closed_by, history=history
        )
        record = _named(found, project, environment)
        tabs = in_order(EnvironmentBody.of(sibling, context) for sibling in found[0].environments)
        card = next(card for card in tabs if card.body.name == environment)
        shown = ShownEnvironment(session=session, record=record, card=card, context=context)
        panels = [await panel(shown) for panel in _PANELS]
    actions = (
        *(offer(shown) for offer in offers),
        _restart(shown),
        _redeploy(shown),
        _rollback(shown),
        _promotion(card, tabs),
    )
    return EnvironmentPage(
        card=card,
        tabs=tabs,
        deploy=_under_way(deploys.bodies_of(shown)),
        actions=tuple(action for action in actions if action is not None),
        panels=tuple(panel for panel in panels if panel is not None),
    )


async def read_environment(services: Services, project: str, environment: str) -> EnvironmentBody:
    """An environment as it is now.

    Raises:
        NotFoundError: `project.unknown`, `environment.unknown`.
    """
    context = await services.context()
    async with services.database.transaction() as session:
        found = await store.list_projects(session, project, closed_by=services.closed_by)
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


def _rollback(shown: ShownEnvironment) -> Action | None:
    """Down from the live release, as `gantry rollback` goes."""
    environment = shown.record.environment
    target = rollback_target(shown.record.releases, environment.live_release)
    if target is None:
        return None
    body = ReleaseBody.of(target, environment, shown.context.host_names)
    text = f"{_quoted(body)} goes live again, with the configuration that it ran with. The database is not changed."
    if shown.record.open_rollout is not None:
        text += " The rollout that goes on is aborted first."
    return Action(
        path=f"{shown.card.path}/rollback",
        label=f"Roll back to #{body.number}",
        icon="undo-2",
        question=f"Roll {environment.name} back to release {body.number}?",
        text=text,
        answer="Roll back",
        values=(("release", str(body.number)),),
        is_risky=True,
    )


def _redeploy(shown: ShownEnvironment) -> Action | None:
    live = shown.card.body.live
    if live is None:
        return None
    return Action(
        path=f"{shown.card.path}/redeploy",
        label="Redeploy",
        icon="rocket",
        question=f"Redeploy release {live.number}?",
        text="A new release is made of the same build, with the variables that are set now. Nothing is built.",
        answer="Redeploy",
    )


def _restart(shown: ShownEnvironment) -> Action | None:
    live = shown.card.body.live
    if live is None or not shown.card.total:
        return None
    return Action(
        path=f"{shown.card.path}/restart",
        label="Restart",
        icon="loader-circle",
        question=f"Restart release {live.number}?",
        text="Its processes are started anew, one instance after the other. No request is dropped.",
        answer="Restart",
    )


def _promotion(card: EnvironmentCard, tabs: tuple[EnvironmentCard, ...]) -> Action | None:
    """From staging to production, shown on both pages while their builds differ."""
    live = {tab.body.name: tab.body.live for tab in tabs}
    staged, produced = live.get("staging"), live.get("production")
    if staged is None or card.body.name == "development":
        return None
    if produced is not None and produced.build == staged.build:
        return None
    here = card.body.name == "production"
    # What production got later was made of something newer: the button would lead back.
    older = produced is not None and staged.created_at < produced.created_at
    label = f"Promote staging #{staged.number}" if here else "Promote to production"
    warning = "It is older than what is live in production. " if older else ""
    return Action(
        path=path_of(card.body.project, "production", "/promote"),
        label=f"{label} (older than live)" if older else label,
        icon="rocket",
        question=f"Promote release {staged.number} to production?",
        text=f"{warning}The build of {_quoted(staged)}, which is live in staging, goes to production; it is rebuilt only for public variables, such as NEXT_PUBLIC_…, with other values there.",
        answer="Promote",
        values=(("from_environment", "staging"),),
        is_main=not older,
        is_risky=older,
    )


def _quoted(release: ReleaseBody) -> str:
    return f"“{first_line(release.commit.message) or 'No commit message'}”"
