"""Everything at a glance, and which release a real request reaches."""

import asyncio
import shlex

from gantry import __version__
from gantry.config.fields import project_name_fault
from gantry.features.platform.bodies import (
    EnvironmentBody,
    PartBody,
    ProjectBody,
    ReachedBody,
    StatusBody,
)
from gantry.features.releases import store as releases
from gantry.kernel.errors import NotFoundError
from gantry.kernel.names import RELEASE_HEADER
from gantry.web.services import Services
from gantry.web.views import environments
from gantry.web.views.reader import Reader


async def status_body(services: Services, *, probe: bool) -> StatusBody:
    """The whole platform; with `probe` every environment's public address is asked as well."""
    seen = await environments.look(services)
    async with services.state.transaction() as session:
        projects = await environments.project_bodies(Reader(services, session), seen)
    if probe:
        projects = await _probe_all(services, projects)
    parts = await services.parts()
    return StatusBody(
        version=__version__,
        home=str(services.settings.home),
        console_url=services.settings.url(services.settings.console_host),
        parts=parts,
        projects=projects,
        warnings=await _warnings(services, parts, projects),
    )


async def _probe_all(
    services: Services, projects: tuple[ProjectBody, ...]
) -> tuple[ProjectBody, ...]:
    everyone = [each for project in projects for each in project.environments if each.live]
    answers = await asyncio.gather(*(_reach(services, each) for each in everyone))
    reached = {
        (each.project, each.name): answer for each, answer in zip(everyone, answers, strict=True)
    }
    return tuple(
        project.model_copy(
            update={
                "environments": tuple(
                    each.model_copy(update={"reached": reached.get((each.project, each.name))})
                    for each in project.environments
                )
            }
        )
        for project in projects
    )


async def _reach(services: Services, environment: EnvironmentBody) -> ReachedBody:
    host = environment.url.removeprefix("https://").split(":")[0]
    answer = await services.prober.get(
        f"https://127.0.0.1:{services.settings.https_port}/", host=host
    )
    release = answer.headers.get(RELEASE_HEADER, "")
    return ReachedBody(
        release=release,
        release_number=await _number(services, environment, release),
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


async def _number(services: Services, environment: EnvironmentBody, release: str) -> int | None:
    if environment.live is not None and environment.live.id == release:
        return environment.live.number
    if not release:
        return None
    async with services.state.transaction() as session:
        try:
            return (await releases.get(session, release)).number
        except NotFoundError:
            return None


async def _warnings(
    services: Services, parts: tuple[PartBody, ...], projects: tuple[ProjectBody, ...]
) -> tuple[str, ...]:
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
        for environment in project.environments:
            warnings.extend(_environment_warnings(environment))
    return tuple(warnings)


def _environment_warnings(environment: EnvironmentBody) -> list[str]:
    live, reached = environment.live, environment.reached
    name = f"{environment.project}/{environment.name}"
    if live is None:
        return []
    found = []
    serving = [each for each in environment.instances if each.release == live.id]
    if live.framework != "static" and not any(each.state == "healthy" for each in serving):
        found.append(f"{name}: no instance of the live release {live.number} is healthy")
    if reached is not None and not reached.expected:
        said = reached.release or reached.error or f"status {reached.status}"
        found.append(f"{name}: release {live.number} is live, but a request reached {said}")
    return found
