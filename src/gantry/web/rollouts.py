"""Rollouts: how the traffic of an environment moves, the two releases side by side, and what people ask of it."""

from collections.abc import Iterator, Mapping
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
from gantry.web.frame import EnvironmentCard, Panel, Shown, path_of, see
from gantry.web.noun import ENVIRONMENT, KnownEnvironment, KnownProject, Mark, Noun
from gantry.web.services import Has, Services

noun = Noun(
    "rollouts",
    "How traffic moves to a new release, and what is said of it.",
    marks={
        "running": Mark("Under way", "busy", "loader-circle"),
        "paused": Mark("Paused", "warn", "circle-pause"),
        "waiting": Mark("Waits for approval", "warn", "clock"),
        "failed": Mark("Taken back", "bad", "circle-x"),
        "aborted": Mark("Aborted", "quiet", "ban"),
        # of verdicts
        "pass": Mark("Good", "good", "circle-check"),
        "fail": Mark("Bad", "bad", "circle-x"),
        "inconclusive": Mark("Not known yet", "quiet", "circle-dashed"),
    },
)

_ROLLOUT = f"{ENVIRONMENT}/rollout"
_SHOWN_AFTER_FAILURE = timedelta(hours=1)


async def _body(services: Services, rollout: Rollout) -> RolloutBody:
    async with services.state.transaction() as session:
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


@noun.console.post("/projects/{project}/{environment}/rollout/{wish}")
async def rollout_button(
    services: Has, caller: Developer, project: str, environment: str, wish: WishName
) -> RedirectResponse:
    """Pause, resume, promote or abort the rollout."""
    await services.rollouts.request(project, environment, RolloutCommand(wish), by=caller.account)
    return see(path_of(project, environment, "#rollout"))


async def panel(shown: Shown) -> "RolloutPanel | None":
    """The panel on the environment's page: of the newest rollout, while it goes on and for an hour after it failed."""
    record, now = shown.record.rollout, shown.context.now
    if record is None:
        return None
    body = RolloutBody.of(record, shown.record.environment, now)
    if body.state == "passed":
        return None
    # One that was taken back is shown for a while, because somebody will ask why.
    if body.ended_at is not None and now - body.ended_at > _SHOWN_AFTER_FAILURE:
        return None
    return RolloutPanel(shown.card, body)


_OPEN = ("running", "paused", "waiting")
_TEXTS = {
    "promote": "The next stage begins now, without waiting for the verdict; after the last all traffic moves.",
    "abort": "All traffic goes back to the release before, and the deploy fails.",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One check."""

    check: str
    sentence: str
    candidate: str
    current: str
    outcome: str


@dataclass(frozen=True, slots=True)
class RolloutPanel(Panel):
    """A rollout beside what was live before.

    Attributes:
        wishes: of each button its action, icon, label and question; no question, no dialog.
    """

    template: ClassVar[str] = "rollouts/panel.html"
    texts: ClassVar[Mapping[str, str]] = _TEXTS

    card: EnvironmentCard
    body: RolloutBody

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return self.body.state in _OPEN

    @property
    def rows(self) -> Iterator[Row]:
        """The checks of the last verdict, with the values of both releases."""
        verdict = self.body.verdict
        for reason in verdict.reasons if verdict is not None else ():
            yield Row(
                check=reason.check,
                sentence=reason.sentence,
                candidate=reason.candidate_text,
                current=reason.current_text,
                outcome=reason.outcome,
            )

    @property
    def wishes(self) -> Iterator[tuple[str, str, str, str]]:
        if self.body.state == "running":
            yield "pause", "circle-pause", "Pause", ""
        else:
            yield "resume", "play", "Resume", ""
        yield (
            "abort",
            "undo-2",
            "Abort",
            f"Abort the rollout of release {self.body.candidate_number}?",
        )
        yield "promote", "skip-forward", "Next stage", "Go on to the next stage now?"
