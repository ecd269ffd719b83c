"""Rollouts: how the traffic of an environment moves, and the commands that people give."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, ClassVar

from fastapi import Path
from fastapi.responses import RedirectResponse

from gantry.features.projects import store as projects
from gantry.features.rollouts import store
from gantry.features.rollouts.bodies import RolloutBody, WishName
from gantry.features.rollouts.model import Rollout, RolloutCommand
from gantry.web.access import Developer, Viewer
from gantry.web.frame import EnvironmentCard, Panel, ShownEnvironment, path_of, see
from gantry.web.noun import Mark, Noun
from gantry.web.openapi import ENVIRONMENT, KnownEnvironment, KnownProject
from gantry.web.services import Has, Services

noun = Noun(
    "rollouts",
    "How traffic moves to a new release, and what is said of it.",
    marks={
        "running": Mark("In progress", "busy", "loader-circle"),
        "paused": Mark("Paused", "warn", "circle-pause"),
        "waiting": Mark("Waiting for approval", "warn", "clock"),
        "failed": Mark("Rolled back", "bad", "circle-x"),
        "aborted": Mark("Aborted", "quiet", "ban"),
        # of verdicts
        "pass": Mark("Pass", "good", "circle-check"),
        "fail": Mark("Fail", "bad", "circle-x"),
        "inconclusive": Mark("Inconclusive", "quiet", "circle-dashed"),
    },
)

_ROLLOUT = f"{ENVIRONMENT}/rollout"
_OPEN = ("running", "paused", "waiting")
_SHOWN_AFTER_FAILURE = timedelta(hours=1)


async def _body(services: Services, rollout: Rollout) -> RolloutBody:
    async with services.database.transaction() as session:
        environment = await projects.get_environment_by_id(session, rollout.environment)
        (record,) = await store.list_newest(session, (environment.id,))
    return RolloutBody.of(record, environment, services.clock.now())


@noun.api.get(_ROLLOUT, summary="The newest rollout")
async def get_rollout(
    services: Has, _caller: Viewer, project: KnownProject, environment: KnownEnvironment
) -> RolloutBody:
    """The newest rollout of an environment, with its stages and what was said of the candidate in each."""
    return await _body(services, await services.rollouts.latest(project, environment))


@noun.api.post(_ROLLOUT + "/{wish}", status_code=202, summary="Pause, resume, promote or abort")
async def ask_rollout(
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    wish: Annotated[WishName, Path(description="What the rollout should do.")],
) -> RolloutBody:
    """`pause` keeps the shares as they are; `resume` goes on; `promote` begins the next stage now, and moves all
    traffic after the last; `abort` gives all traffic back to the current release and fails the deploy.
    """
    rollout = await services.rollouts.request(
        project, environment, RolloutCommand(wish), by=caller.account
    )
    return await _body(services, rollout)


@noun.console.post("/projects/{project}/{environment}/rollout/{command}")
async def rollout_button(
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    command: WishName,
) -> RedirectResponse:
    """Pause, resume, promote or abort the rollout."""
    await services.rollouts.request(
        project, environment, RolloutCommand(command), by=caller.account
    )
    return see(path_of(project, environment, "#rollout"))


@dataclass(frozen=True, slots=True)
class Button:
    """A command that a person may give to the rollout.

    Attributes:
        question, explanation: of the dialog that asks first; no question, no dialog.
    """

    command: WishName
    icon: str
    label: str
    question: str = ""
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class RolloutPanel(Panel):
    """A rollout: the candidate and the current release side by side."""

    template: ClassVar[str] = "rollouts/panel.html"

    card: EnvironmentCard
    body: RolloutBody

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return self.body.state in _OPEN

    @property
    def buttons(self) -> Iterator[Button]:
        """The commands that make sense now."""
        if self.body.state == "running":
            yield Button("pause", "circle-pause", "Pause")
        else:
            yield Button("resume", "play", "Resume")
        yield Button(
            "abort",
            "undo-2",
            "Abort",
            f"Abort the rollout of release {self.body.candidate_number}?",
            f"All traffic goes back to release {self.body.current_number}, and the deploy fails.",
        )
        yield Button(
            "promote",
            "skip-forward",
            "Next stage",
            "Go on to the next stage now?",
            "It begins without waiting for the verdict. After the last stage all traffic moves.",
        )


async def panel(shown: ShownEnvironment) -> RolloutPanel | None:
    """The panel on the environment's page: of the newest rollout, while it goes on and for an hour after it failed."""
    record, now = shown.record.rollout, shown.context.now
    if record is None:
        return None
    body = RolloutBody.of(record, shown.record.environment, now)
    if body.state == "passed":
        return None
    # A failed one is shown for a while, because somebody will ask why.
    if body.ended_at is not None and now - body.ended_at > _SHOWN_AFTER_FAILURE:
        return None
    return RolloutPanel(shown.card, body)
