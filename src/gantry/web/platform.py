"""The platform itself: its health, everything at a glance, and its end."""

import asyncio
import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from fastapi import Query, Request
from fastapi.responses import HTMLResponse

from gantry import __version__
from gantry.config.fields import project_name_fault
from gantry.engines.probes.protocol import ProbeResult
from gantry.features.audit import store as audit
from gantry.features.crons import store as crons
from gantry.features.platform import store
from gantry.features.platform.bodies import (
    CapabilityBody,
    EnvironmentBody,
    HealthBody,
    PartBody,
    ProjectBody,
    ReachedBody,
    StatusBody,
)
from gantry.features.platform.capabilities import CAPABILITIES, Capability, Maturity, by_maturity
from gantry.features.platform.concerns import Concern, FailedCron, Weight, concerns
from gantry.features.projects import store as project_store
from gantry.features.projects.model import Environment
from gantry.features.releases import store as releases
from gantry.features.releases.model import Release
from gantry.features.traffic import Traffic, joined
from gantry.kernel.errors import TransientError
from gantry.kernel.names import RELEASE_HEADER
from gantry.web.access import PUBLIC, Owner, Viewer
from gantry.web.frame import EnvironmentCard, Page, frame_of, in_order, path_of
from gantry.web.noun import Mark, Noun
from gantry.web.render import render
from gantry.web.services import Has, Services

_log = logging.getLogger(__name__)
_MINUTES_OF_BAR = 2
BAR_HEIGHT = 24

noun = Noun(
    "platform",
    "The platform itself: whether and how it runs.",
    marks={
        Maturity.STABLE: Mark("Stable", "good", "circle-check"),
        Maturity.BETA: Mark("Beta", "busy", "circle-dot"),
        Maturity.EXPERIMENTAL: Mark("Experimental", "warn", "triangle-alert"),
        Maturity.PLANNED: Mark("Planned", "quiet", "clock"),
        # of what needs attention
        Weight.BAD: Mark("Broken", "bad", "circle-alert"),
        Weight.WARN: Mark("Look at this", "warn", "triangle-alert"),
        Weight.NOTE: Mark("Intended", "quiet", "circle-pause"),
    },
)


@noun.api.get("/health", dependencies=[PUBLIC], summary="Whether the control plane answers")
async def health() -> HealthBody:
    """Costs nothing and touches no engine: it answers as long as the control plane lives."""
    return HealthBody(status="ok", version=__version__, pid=os.getpid())


@noun.api.get("/status", summary="Everything at a glance")
async def status(
    services: Has,
    _caller: Viewer,
    *,
    probe: Annotated[
        bool,
        Query(description="Also ask the public port which release answers for each environment."),
    ] = False,
) -> StatusBody:
    """Projects with their environments, releases and instances, and the parts of the platform.

    With `probe=true` Gantry sends one request through its own public port for each environment that is live, as a
    visitor would, and reports the release that answered in `reached`.
    """
    return await read_status(services, probe=probe)


@noun.api.get("/capabilities", summary="What this version can do")
async def capabilities(_caller: Viewer) -> tuple[CapabilityBody, ...]:
    """Every capability with one label: `stable`, `beta`, `experimental`, or `planned` (nothing of it can be used yet)."""
    return tuple(CapabilityBody.of(capability) for capability in CAPABILITIES)


@noun.api.post("/shutdown", status_code=202, summary="End the platform")
async def shutdown(services: Has, caller: Owner) -> None:
    """Ends the control plane and everything that it started. Answers before that happens."""
    async with services.database.transaction() as session:
        await audit.record(
            session,
            at=services.clock.now(),
            actor=caller.account,
            action="platform.shutdown",
            target=str(services.settings.home),
        )
    services.shutdown()


@dataclass(frozen=True, slots=True)
class OverviewPage(Page):
    """Everything at a glance.

    Attributes:
        projects: each environment with the last hour of its visitors; `None` where that is not known now.
        warnings: of the platform itself.
        concerns: of projects, each with where it is said in full.
    """

    template: ClassVar[str] = "platform"

    projects: tuple[
        tuple[ProjectBody, tuple[tuple[EnvironmentCard, "TrafficBars | None"], ...]], ...
    ]
    parts: tuple[PartBody, ...]
    warnings: tuple[str, ...]
    concerns: tuple[tuple[Concern, str], ...]


@noun.console.get("/")
async def overview(request: Request, services: Has, caller: Viewer) -> HTMLResponse:
    """What needs attention, and every project and environment."""
    projects, parts = await _read(services)
    found = await _concerns(services, projects) if projects else ()
    cards = [(project, in_order(project.environments)) for project in projects]
    bars = await _bars(services, [card.body for _, shown in cards for card in shown])
    page = OverviewPage(
        projects=tuple(
            (project, tuple((card, bars.get(card.path)) for card in shown))
            for project, shown in cards
        ),
        parts=parts,
        warnings=await _warnings(services, parts, projects),
        concerns=tuple((concern, _place_of(concern)) for concern in found),
    )
    return render(request, page, frame_of(services, caller, here="overview"))


async def _concerns(services: Services, projects: tuple[ProjectBody, ...]) -> tuple[Concern, ...]:
    async with services.database.transaction() as session:
        failed = await crons.list_failed(session)
    return concerns(
        projects,
        await services.domains.list_all(),
        (FailedCron(*of_cron) for of_cron in failed),
        services.clock.now(),
    )


@dataclass(frozen=True, slots=True)
class TrafficBars:
    """The last hour of an environment's visitors, as bars of some minutes each.

    Attributes:
        bars: where each begins, its height, and the height of what failed of it; all in the picture's units.
    """

    total: int
    failed: int
    bars: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, traffic: Traffic) -> "TrafficBars":
        """The bars of an hour."""
        steps = range(0, len(traffic.requests), _MINUTES_OF_BAR)
        sums = [
            (
                sum(traffic.requests[begin : begin + _MINUTES_OF_BAR]),
                sum(traffic.failed[begin : begin + _MINUTES_OF_BAR]),
            )
            for begin in steps
        ]
        most = max((requests for requests, _ in sums), default=0) or 1
        bars = (
            (place, ceil(BAR_HEIGHT * requests / most), ceil(BAR_HEIGHT * failed / most))
            for place, (requests, failed) in enumerate(sums)
        )
        return cls(traffic.total, traffic.total_failed, tuple(bars))


async def _bars(
    services: Services, bodies: Sequence[EnvironmentBody]
) -> Mapping[str, TrafficBars | None]:
    """Path of an environment's page -> its last hour, for those that have something live."""
    hosts = {
        path_of(body.project, body.name): (urlsplit(body.url).hostname or "", *body.domains)
        for body in bodies
        if body.live is not None
    }
    try:
        traffic = await services.traffic.look({host for names in hosts.values() for host in names})
    except TransientError as error:
        # The edge is gone, which is said above; everything else can be shown.
        _log.info("the traffic of the last hour is not known: %s", error.message)
        return {}
    return {
        place: TrafficBars.of(joined([traffic[host] for host in names]))
        for place, names in hosts.items()
    }


def _place_of(concern: Concern) -> str:
    """Where a concern is said in full."""
    if concern.deploy:
        return f"/deploys/{concern.deploy}"
    if concern.subject and not concern.part:
        return f"/domains#domain-{concern.subject}"
    return path_of(concern.project, concern.environment, concern.part)


@dataclass(frozen=True, slots=True)
class CapabilitiesPage(Page):
    """What this version can do, by how far it may be relied on."""

    template: ClassVar[str] = "platform/capabilities"
    refreshes: ClassVar[bool] = False

    groups: tuple[tuple[Maturity, tuple[Capability, ...]], ...]


@noun.console.get("/capabilities")
async def capabilities_page(request: Request, services: Has, caller: Viewer) -> HTMLResponse:
    """The list behind docs/roadmap.md, for the version that runs."""
    page = CapabilitiesPage(by_maturity())
    return render(request, page, frame_of(services, caller))


async def read_status(services: Services, *, probe: bool) -> StatusBody:
    """The whole platform; with `probe` every environment's public address is asked as well."""
    projects, parts = await _read(services)
    if probe:
        projects = await _probe_all(services, projects)
    warnings = await _warnings(services, parts, projects)
    of_projects = (_environment_warnings(body) for item in projects for body in item.environments)
    return StatusBody(
        version=__version__,
        home=str(services.settings.home),
        console_url=services.settings.url(services.settings.console_host),
        parts=parts,
        projects=projects,
        warnings=(*warnings, *chain.from_iterable(of_projects)),
    )


async def _read(services: Services) -> tuple[tuple[ProjectBody, ...], tuple[PartBody, ...]]:
    context = await services.context()
    async with services.database.transaction() as session:
        found = await store.list_projects(session, closed_by=services.closed_by)
    projects = tuple(ProjectBody.of(record, context) for record in found)
    return projects, await services.parts()


async def _probe_all(
    services: Services, projects: tuple[ProjectBody, ...]
) -> tuple[ProjectBody, ...]:
    live = [body for project in projects for body in project.environments if body.live]
    wanted = {body.live.id for body in live if body.live is not None}
    async with services.database.transaction() as session:
        targets = await project_store.list_environments(session)
        known = {release.id: release for release in await releases.list_some(session, wanted)}
    places = {(target.project, target.name): target for target in targets}
    answers = await asyncio.gather(*(_probe(services, body, places, known) for body in live))
    numbers = await _numbers(services, projects, {answer.release for answer in answers})
    reached = {
        (body.project, body.name): answer.model_copy(
            update={"release_number": numbers.get(answer.release)}
        )
        for body, answer in zip(live, answers, strict=True)
    }
    return tuple(
        project.model_copy(
            update={
                "environments": tuple(
                    body.model_copy(update={"reached": reached.get((body.project, body.name))})
                    for body in project.environments
                )
            }
        )
        for project in projects
    )


async def _probe(
    services: Services,
    environment: EnvironmentBody,
    places: Mapping[tuple[str, str], Environment],
    known: Mapping[str, Release],
) -> ReachedBody:
    assert environment.live is not None, "asked for live environments only"
    target = places.get((environment.project, environment.name))
    live = known.get(environment.live.id)
    answer = (
        await services.probe.reached(target, live)
        if target is not None and live is not None
        else ProbeResult(0, 0.0, "it was removed just now")
    )
    release = answer.headers.get(RELEASE_HEADER, "")
    return ReachedBody(
        release=release,
        release_number=None,
        status=answer.status,
        elapsed_s=round(answer.elapsed_s, 4),
        expected=release in _expected(environment),
        error=answer.error,
    )


def _expected(environment: EnvironmentBody) -> set[str]:
    """A visitor who was not drawn yet may get either side of a rollout."""
    live, candidate = environment.live, environment.candidate
    found = {live.id} if live is not None else set()
    return found | ({candidate.release} if candidate is not None and candidate.percent else set())


async def _numbers(
    services: Services, projects: tuple[ProjectBody, ...], answered: set[str]
) -> dict[str, int]:
    """Numbers of the releases that answered; the live ones are known already."""
    bodies = (body.live for project in projects for body in project.environments)
    known = {live.id: live.number for live in bodies if live is not None}
    others = answered - known.keys() - {""}
    if not others:
        return known
    async with services.database.transaction() as session:
        return known | await releases.numbers(session, others)


async def _warnings(
    services: Services, parts: tuple[PartBody, ...], projects: tuple[ProjectBody, ...]
) -> tuple[str, ...]:
    """Of the platform itself, and of names that it cannot serve."""
    warnings = [f"{part.name} does not run: {part.detail}" for part in parts if not part.running]
    edge = await services.edge.status()
    if edge.rejected:
        warnings.append(f"the edge refused its last configuration: {edge.rejected}")
    for project in projects:
        fault = project_name_fault(project.name)
        if fault is not None:
            warnings.append(
                f"{project.name}: the name of this project {fault}. It gets no address that is another's, and no deploy: "
                f"deploy it under another name, then gantry destroy --project {shlex.quote(project.name)}"
            )
    return tuple(warnings)


def _environment_warnings(environment: EnvironmentBody) -> list[str]:
    live, reached = environment.live, environment.reached
    name = f"{environment.project}/{environment.name}"
    if live is None:
        return []
    found = [f"{name}: {refused.sentence}" for refused in environment.refused_domains]
    serving = [body for body in environment.instances if body.release == live.id]
    if live.framework != "static" and not any(body.state == "healthy" for body in serving):
        found.append(f"{name}: no instance of the live release {live.number} is healthy")
    if reached is not None and not reached.expected:
        said = reached.release or reached.error or f"status {reached.status}"
        found.append(f"{name}: release {live.number} is live, but a request reached {said}")
    return found
