"""How many instances run, by hand."""

import psutil

from gantry.features.scales import ScaleBody, ScaleRequest, ScaleService
from gantry.web.access import Developer, Viewer
from gantry.web.noun import Noun
from gantry.web.openapi import ENVIRONMENT, KnownEnvironment, KnownProject
from gantry.web.services import Has, Services

noun = Noun("scales", "How many instances run, by hand.")

_SCALE = f"{ENVIRONMENT}/scale"


def _service(services: Services) -> ScaleService:
    return ScaleService(services.database, services.clock, _machine_bytes, services.wake)


def _machine_bytes() -> int:
    return int(psutil.virtual_memory().total)


@noun.api.get(_SCALE, summary="How many instances should run")
async def get_scale(
    services: Has, _caller: Viewer, project: KnownProject, environment: KnownEnvironment
) -> ScaleBody:
    """Of each process of the live release; what was asked for by hand is told from what gantry.toml asks for."""
    return await _service(services).get(project, environment)


@noun.api.post(_SCALE, summary="Change how many instances run")
async def set_scale(
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    request: ScaleRequest,
) -> ScaleBody:
    """At once, until another release goes live. Instances that are too many leave the edge first, and end when their
    visitors have had the time that `drain` gives them."""
    return await _service(services).set(project, environment, request, by=caller.account)


@noun.api.post(f"{_SCALE}/reset", summary="Return to what gantry.toml asks for")
async def reset_scale(
    services: Has, caller: Developer, project: KnownProject, environment: KnownEnvironment
) -> ScaleBody:
    """Forgets what was asked for by hand."""
    return await _service(services).reset(project, environment, by=caller.account)
