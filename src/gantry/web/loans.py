"""Addresses of databases for clients of people's own."""

from gantry.features.services.loans import LoanBody, LoanRequest, LoanService
from gantry.web.access import Developer
from gantry.web.noun import Noun
from gantry.web.openapi import ENVIRONMENT, KnownEnvironment, KnownProject
from gantry.web.services import Has

noun = Noun("loans", "Addresses of databases for clients of people's own, each with an end.")


@noun.api.post(f"{ENVIRONMENT}/loans", status_code=201, summary="Lend a database")
async def lend(
    services: Has,
    caller: Developer,
    project: KnownProject,
    environment: KnownEnvironment,
    request: LoanRequest,
) -> LoanBody:
    """Makes a role of its own for the environment's Postgres database, and says its address: once, and for a client on
    the platform's machine (or at the other end of a tunnel to it). Who makes tables with it makes them for the product."""
    loans = LoanService(services.database, services.databases, services.clock, services.ids)
    return await loans.lend(project, environment, request, by=caller.account)
