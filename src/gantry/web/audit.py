"""The audit log: who changed what, and when."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar
from urllib.parse import urlencode

from fastapi import Query, Request
from fastapi.responses import HTMLResponse

from gantry.features.audit import store
from gantry.features.audit.bodies import AuditBody
from gantry.features.audit.sentences import LOGINS, SUBJECTS
from gantry.features.audit.store import EntryFilter
from gantry.kernel.errors import IntegrityError
from gantry.web.access import Owner
from gantry.web.frame import Page, frame_of
from gantry.web.noun import Noun
from gantry.web.render import render
from gantry.web.services import Has

noun = Noun("audit", "Who changed what, and when.")

_SHOWN = 100
# What the page may be asked for -> as people read it.
CHOICES: Mapping[str, str] = {
    "": "Everything but logins",
    "deploys": "Deploys and rollouts",
    "variables": "Variables",
    "commands": "Commands and crons",
    "traffic": "Traffic and instances",
    "access": "Tokens and logins",
    "platform": "Environments and the platform",
    "all": "Everything",
}

Before = Annotated[
    int | None, Query(ge=1, le=2**62, description="Only entries older than this one.")
]


@noun.api.get("/audit", summary="Read the audit log")
async def read_audit(
    services: Has,
    _caller: Owner,
    *,
    limit: Annotated[int, Query(ge=1, le=1_000, description="At most this many.")] = 100,
    actor: Annotated[str, Query(max_length=200, description="Only what they did.")] = "",
    target: Annotated[
        str, Query(max_length=200, description="Only where this is a part of the target.")
    ] = "",
    before: Before = None,
) -> tuple[AuditBody, ...]:
    """The newest entries, newest first. Each entry's hash covers the one before it."""
    wanted = EntryFilter(actor=_text(actor), target=_text(target), before=before)
    async with services.database.transaction() as session:
        entries = await store.latest(session, wanted, limit=limit)
    return tuple(AuditBody.of(entry) for entry in entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage(Page):
    """The audit log. It does not refresh itself: each look verifies the whole log.

    Attributes:
        entries: the newest ones of those that are wanted, each with its details as they were recorded.
        older: address of the page after this one; empty on the last.
        is_newest: this is the first page.
        total: how many entries the whole log has.
        fault: why the chain of hashes is broken; empty while every entry is as it was written.
        actors, choices: what may be looked for.
        actor, what, target: what is looked for.
    """

    template: ClassVar[str] = "audit"
    refreshes: ClassVar[bool] = False

    entries: tuple[tuple[AuditBody, tuple[tuple[str, str], ...]], ...]
    older: str
    is_newest: bool
    total: int
    fault: str
    actors: tuple[str, ...]
    choices: Mapping[str, str]
    actor: str
    what: str
    target: str


@noun.console.get("/audit")
async def audit_page(
    request: Request,
    services: Has,
    caller: Owner,
    *,
    actor: Annotated[str, Query(max_length=200)] = "",
    what: Annotated[str, Query(max_length=40)] = "",
    target: Annotated[str, Query(max_length=200)] = "",
    before: Before = None,
) -> HTMLResponse:
    """The newest entries, in words, with a search; and whether the whole log is as it was written."""
    asked = {
        "actor": _text(actor),
        "what": what if what in CHOICES else "",
        "target": _text(target),
    }
    wanted = EntryFilter(
        actor=asked["actor"],
        subjects=SUBJECTS.get(asked["what"], ()),
        without=() if asked["what"] else LOGINS,
        target=asked["target"],
        before=before,
    )
    total, fault = 0, ""
    async with services.database.transaction() as session:
        found = await store.latest(session, wanted, limit=_SHOWN + 1)
        actors = await store.list_actors(session)
        try:
            total = await store.verify(session)
        except IntegrityError as error:
            fault = error.message
    shown = found[:_SHOWN]
    more = (
        {**{name: value for name, value in asked.items() if value}, "before": shown[-1].seq}
        if shown
        else {}
    )
    page = AuditPage(
        entries=tuple((AuditBody.of(entry), _details(entry.details)) for entry in shown),
        older=f"/audit?{urlencode(more)}" if len(found) > _SHOWN else "",
        is_newest=before is None,
        total=total,
        fault=fault,
        actors=actors,
        choices=CHOICES,
        **asked,
    )
    return render(request, page, frame_of(services, caller, here="audit"))


def _text(given: str) -> str:
    # No text of the database has it.
    return given.replace("\0", "")


def _details(given: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Details of an entry as they were recorded; what is empty is left out."""
    shown = ((name, value) for name, value in given.items() if value not in (None, "", []))
    return tuple((name, _plain(value)) for name, value in shown)


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value)
