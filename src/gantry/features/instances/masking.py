"""Every secret that a process of an environment may print."""

from collections.abc import Iterable

from gantry.engines.database.protocol import Session
from gantry.features.releases import store as releases
from gantry.features.services import store as services
from gantry.features.variables.service import VariableService


async def secrets_of(
    session: Session, variables: VariableService, environment: str, kept: Iterable[str]
) -> tuple[str, ...]:
    """The values to mask: the environment's variables as they are, those that some releases run with, and the passwords
    of its services, which also stand inside of URLs.

    Parameters:
        environment: its identity.
        kept: releases that may run with older values.
    """
    values = list((await variables.reveal(session, environment)).values())
    for release in kept:
        values += variables.open_all(await releases.variables_sealed(session, release)).values()
    provided = await services.list_for_environment(session, environment)
    values += [variables.box.open(resource.secret_sealed) for resource in provided]
    return tuple(values)
