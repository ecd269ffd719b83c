"""Releases of an environment, and rolling back to one."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from fastapi import Form, Query
from fastapi.responses import RedirectResponse

from gantry.features.projects import store as projects
from gantry.features.releases import store
from gantry.features.releases.bodies import ReleaseBody
from gantry.features.releases.rules import rollback_target
from gantry.web.access import Developer, Viewer
from gantry.web.frame import EnvironmentCard, Panel, ShownEnvironment, see
from gantry.web.noun import Mark, Noun
from gantry.web.openapi import ENVIRONMENT, KnownEnvironment, KnownProject
from gantry.web.services import Has

noun = Noun(
    "releases",
    tag="projects",
    marks={
        "live": Mark("Live", "good", "circle-check"),
        "warm": Mark("Warm", "busy", "circle-dot"),
        "pending": Mark("Pending", "quiet", "circle-dashed"),
        "running": Mark("Running", "busy", "loader-circle"),
        "withdrawn": Mark("Withdrawn", "warn", "undo-2"),
        "retired": Mark("Retired", "quiet", "circle"),
        "failed": Mark("Failed", "bad", "circle-x"),
    },
)

MAX_SHOWN = 25


@noun.api.get(f"{ENVIRONMENT}/releases", summary="List releases")
async def list_releases(
    services: Has,
    _caller: Viewer,
    project: KnownProject,
    environment: KnownEnvironment,
    limit: Annotated[int, Query(ge=1, le=200, description="At most this many.")] = 50,
) -> tuple[ReleaseBody, ...]:
    """An environment's releases, newest first, and which of them can be rolled back to."""
    async with services.database.transaction() as session:
        found = await projects.get_environment(session, project, environment)
        listed = await store.list_built(session, (found.id,), newest_of=found.id, newest=limit)
        were_live = await store.list_were_live(session, found.id)
    target = rollback_target(were_live, found.live_release)
    return tuple(
        ReleaseBody.of(built, found, services.host_names, target=target) for built in listed[:limit]
    )


@dataclass(frozen=True, slots=True)
class ReleasesPanel(Panel):
    """The newest releases of an environment, each with its mark.

    Attributes:
        nothing_below: a rollback that names no release leads nowhere, though something is live.
    """

    template: ClassVar[str] = "releases/panel.html"

    card: EnvironmentCard
    releases: tuple[tuple[ReleaseBody, str], ...]
    nothing_below: bool


async def panel(shown: ShownEnvironment) -> ReleasesPanel:
    """The panel on the environment's page."""
    environment = shown.record.environment
    target = rollback_target(shown.record.releases, environment.live_release)
    bodies = [
        ReleaseBody.of(built, environment, shown.context.host_names, target=target)
        for built in shown.record.releases[:MAX_SHOWN]
    ]
    return ReleasesPanel(
        shown.card,
        tuple((body, _mark(body)) for body in bodies),
        nothing_below=target is None and environment.live_release is not None,
    )


def _mark(body: ReleaseBody) -> str:
    if body.live:
        return "live"
    if body.withdrawn:
        return "withdrawn"
    # It ran for visitors and still runs, so that going back to it takes no time.
    return "warm" if body.state == "running" and body.live_at else body.state


@noun.console.post("/projects/{project}/{environment}/rollback")
async def rollback_button(
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    release: Annotated[int, Form(ge=1)],
) -> RedirectResponse:
    """Queue the return to a release."""
    deploy = await services.deploys.roll_back(
        project, environment, to_release=release, by=caller.account
    )
    return see(f"/deploys/{deploy.id}")
