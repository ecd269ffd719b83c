"""The platform itself."""

import os
from typing import Annotated

from fastapi import Query

from gantry import __version__
from gantry.features.audit import store as audit
from gantry.features.platform.bodies import HealthBody, StatusBody
from gantry.web.access import PUBLIC, Owner, Viewer
from gantry.web.api.shared import area
from gantry.web.services import Has
from gantry.web.views.status import status_body

router = area("platform")


@router.get("/health", dependencies=[PUBLIC], summary="Whether the control plane answers")
async def health() -> HealthBody:
    """Costs nothing and touches no engine: it answers as long as the control plane lives."""
    return HealthBody(status="ok", version=__version__, pid=os.getpid())


@router.get("/status", summary="Everything at a glance")
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
    return await status_body(services, probe=probe)


@router.post("/shutdown", status_code=202, summary="End the platform")
async def shutdown(services: Has, caller: Owner) -> None:
    """Ends the control plane and everything that it started. Answers before that happens."""
    async with services.state.transaction() as session:
        await audit.record(
            session,
            at=services.clock.now(),
            actor=caller.account,
            action="platform.shutdown",
            target=str(services.settings.home),
        )
    services.shutdown()
