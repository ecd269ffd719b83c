"""The audit log: who changed what, and when."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from fastapi import Query, Request
from fastapi.responses import HTMLResponse

from gantry.features.audit import store
from gantry.features.audit.bodies import AuditBody
from gantry.kernel.errors import IntegrityError
from gantry.web.access import Owner
from gantry.web.frame import Page, frame_of
from gantry.web.noun import Noun
from gantry.web.render import render
from gantry.web.services import Has

noun = Noun("audit", "Who changed what, and when.")

_SHOWN = 200


@noun.api.get("/audit", summary="Read the audit log")
async def read_audit(
    services: Has,
    _caller: Owner,
    limit: Annotated[int, Query(ge=1, le=1_000, description="At most this many.")] = 100,
) -> tuple[AuditBody, ...]:
    """The newest entries, newest first. Each entry's hash covers the one before it."""
    async with services.database.transaction() as session:
        entries = await store.latest(session, limit=limit)
    return tuple(AuditBody.of(entry) for entry in entries)


@dataclass(frozen=True, slots=True)
class AuditPage(Page):
    """The audit log.

    Attributes:
        entries: the newest ones, each with its details on one line.
        total: how many entries the whole log has.
        fault: why the chain of hashes is broken; empty while every entry is as it was written.
    """

    template: ClassVar[str] = "audit"

    entries: tuple[tuple[AuditBody, str], ...]
    total: int
    fault: str


@noun.console.get("/audit")
async def audit_page(request: Request, services: Has, caller: Owner) -> HTMLResponse:
    """The newest entries, and whether the whole log is as it was written."""
    total, fault = 0, ""
    async with services.database.transaction() as session:
        entries = await store.latest(session, limit=_SHOWN)
        try:
            total = await store.verify(session)
        except IntegrityError as error:
            fault = error.message
    listed = tuple((AuditBody.of(entry), _details(entry.details)) for entry in entries)
    page = AuditPage(listed, total, fault)
    return render(request, page, frame_of(services, caller, here="audit"))


def _details(given: Mapping[str, Any]) -> str:
    """Details of an entry on one line; what is empty is left out."""
    shown = {name: value for name, value in given.items() if value not in (None, "", [])}
    return " · ".join(f"{name}: {_listed(value)}" for name, value in shown.items())


def _listed(value: object) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
