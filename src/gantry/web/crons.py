"""Scheduled commands: when they run, how their runs ended, what they printed, and a run by hand."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from fastapi import Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from gantry.features.crons.bodies import CronBody, CronOutputBody, CronRunBody
from gantry.features.crons.model import Run
from gantry.web.access import Developer, Viewer
from gantry.web.frame import Page, frame_of, path_of, see
from gantry.web.noun import Mark, Noun
from gantry.web.openapi import ENVIRONMENT, KnownEnvironment, KnownProject
from gantry.web.render import render
from gantry.web.services import Has, Services
from gantry.web.streams import Follower, HasMasks, Masks

noun = Noun(
    "crons",
    "Commands that run on a schedule, and their runs.",
    marks={
        "asked": Mark("Starting", "busy", "loader-circle"),
        "running": Mark("Running", "busy", "loader-circle"),
        "succeeded": Mark("Succeeded", "good", "circle-check"),
        "failed": Mark("Failed", "bad", "circle-x"),
        "skipped": Mark("Skipped", "quiet", "circle-dashed"),
        "never": Mark("Not run yet", "quiet", "clock"),
    },
)

_CRONS = f"{ENVIRONMENT}/crons"
_CRON = _CRONS + "/{cron}"
_PAGE = "/projects/{project}/{environment}/crons"
_MAX_RUNS = 500
_SHOWN_RUNS = 50
_MAX_LINES = 5_000

# A name of the manifest and the digits of a moment: what is neither exists nowhere.
CronName = Annotated[
    str, Path(max_length=63, pattern=r"^[A-Za-z0-9_.-]+$", description="Name of the command.")
]
RunId = Annotated[str, Path(max_length=40, pattern=r"^[0-9]+$", description="Id of the run.")]


@noun.api.get(_CRONS, summary="List scheduled commands")
async def list_crons(
    services: Has, _caller: Viewer, project: KnownProject, environment: KnownEnvironment
) -> tuple[CronBody, ...]:
    """The commands of the live release, each with its next moment and its newest run."""
    return await services.crons.list(project, environment)


@noun.api.get(f"{_CRON}/runs", summary="List a command's runs")
async def list_runs(
    services: Has,
    _caller: Viewer,
    project: KnownProject,
    environment: KnownEnvironment,
    cron: CronName,
    limit: Annotated[int, Query(ge=1, le=_MAX_RUNS, description="At most this many.")] = 20,
) -> tuple[CronRunBody, ...]:
    """The newest runs, newest first, of the schedule and by hand. The newest 500 of each command are remembered."""
    return await services.crons.runs(project, environment, cron, limit=limit)


@noun.api.post(f"{_CRON}/runs", status_code=202, summary="Run a command now")
async def run_cron(
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    cron: CronName,
) -> CronRunBody:
    """Asks for a run beside the schedule, as the schedule would start it. It begins within a second; the command's
    `overlap` says what happens while another run lasts."""
    return await services.crons.request(project, environment, cron, by=caller.account)


@noun.api.get(f"{_CRON}/runs/latest", summary="Read the newest run's output")
async def read_latest(
    services: Has,
    _caller: Viewer,
    masks: HasMasks,
    project: KnownProject,
    environment: KnownEnvironment,
    cron: CronName,
    tail: Annotated[int, Query(ge=0, le=_MAX_LINES, description="Last lines.")] = _MAX_LINES,
) -> CronOutputBody:
    """The newest run with what it printed so far, or what its path answered."""
    run = await services.crons.get(project, environment, cron, "")
    return await _output(services, masks, run, tail)


@noun.api.get(_CRON + "/runs/{run}", summary="Read a run's output")
async def read_run(
    services: Has,
    _caller: Viewer,
    masks: HasMasks,
    project: KnownProject,
    environment: KnownEnvironment,
    cron: CronName,
    run: RunId,
    tail: Annotated[int, Query(ge=0, le=_MAX_LINES, description="Last lines.")] = _MAX_LINES,
) -> CronOutputBody:
    """A run with what it printed so far, or what its path answered."""
    found = await services.crons.get(project, environment, cron, run)
    return await _output(services, masks, found, tail)


async def _output(services: Services, masks: Masks, run: Run, lines: int) -> CronOutputBody:
    statuses = await services.runtime.statuses()
    async with services.database.transaction() as session:
        redact = await masks.of(session, run.environment, filter(None, [run.release]))
    shown = CronRunBody.of(run, services.clock.now())
    if run.output is not None:
        return CronOutputBody(run=shown, text=redact(run.output), kept=True)
    log = await Follower(services).first(run.process_id, redact, lines=lines)
    return CronOutputBody(run=shown, text=log.text, kept=run.process_id in statuses)


@dataclass(frozen=True, slots=True)
class CronsPage(Page):
    """The scheduled commands of an environment."""

    template: ClassVar[str] = "crons"

    project: str
    environment: str
    path: str
    crons: tuple[CronBody, ...]


@noun.console.get(_PAGE)
async def crons_page(
    request: Request,
    services: Has,
    caller: Viewer,
    project: KnownProject,
    environment: KnownEnvironment,
) -> HTMLResponse:
    """Every command with its schedule and its newest run, live."""
    crons = await services.crons.list(project, environment)
    page = CronsPage(project, environment, path_of(project, environment), crons)
    return render(request, page, frame_of(services, caller, here="overview"))


@dataclass(frozen=True, slots=True)
class CronPage(Page):
    """One scheduled command.

    Attributes:
        cron: `None` where only its runs are left.
        shown: the run whose output stands on the page; `None` before the first.
    """

    template: ClassVar[str] = "crons/cron"

    project: str
    environment: str
    path: str
    name: str
    cron: CronBody | None
    runs: tuple[CronRunBody, ...]
    shown: CronOutputBody | None


@noun.console.get(_PAGE + "/{cron}")
async def cron_page(
    request: Request,
    services: Has,
    caller: Viewer,
    masks: HasMasks,
    project: KnownProject,
    environment: KnownEnvironment,
    cron: CronName,
    run: Annotated[str, Query(max_length=40, pattern=r"^[0-9]*$")] = "",
) -> HTMLResponse:
    """The runs of a command, and the output of one of them: the newest unless `run` names another."""
    service = services.crons
    runs = await service.runs(project, environment, cron, limit=_SHOWN_RUNS)
    listed = await service.list(project, environment)
    shown = None
    if runs:
        found = await service.get(project, environment, cron, run or runs[0].id)
        shown = await _output(services, masks, found, _MAX_LINES)
    page = CronPage(
        project=project,
        environment=environment,
        path=path_of(project, environment),
        name=cron,
        cron=next((body for body in listed if body.name == cron), None),
        runs=runs,
        shown=shown,
    )
    return render(request, page, frame_of(services, caller, here="overview"))


@noun.console.post(_PAGE + "/{cron}/run")
async def run_button(
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    cron: CronName,
) -> RedirectResponse:
    """Run a command now, and show its run."""
    run = await services.crons.request(project, environment, cron, by=caller.account)
    return see(path_of(project, environment, f"/crons/{cron}?run={run.id}"))
