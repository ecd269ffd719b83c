"""What surrounds every page, and an environment as the overview, its own page and its logs show it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from fastapi.responses import RedirectResponse

from gantry import __version__
from gantry.engines.database.protocol import Session
from gantry.features.accounts.model import Caller, Role
from gantry.features.platform.bodies import EnvironmentBody
from gantry.features.platform.model import Context, EnvironmentRecord
from gantry.web.services import Services

_ORDER = {"production": 0, "staging": 1, "development": 2}


@dataclass(frozen=True, slots=True)
class Frame:
    """What surrounds every page.

    Attributes:
        now: the moment for which relative times are worded.
        account, role: of the caller; empty and `None` when nobody is logged in.
        here: which entry of the navigation is the present one.
    """

    version: str
    now: datetime
    account: str = ""
    role: Role | None = None
    here: str = ""

    @property
    def may_change(self) -> bool:
        """Whether buttons that change something are shown."""
        return self.role is not None and self.role.covers(Role.DEVELOPER)

    @property
    def may_own(self) -> bool:
        """Whether the owner's pages are shown."""
        return self.role is Role.OWNER


def frame_of(services: Services, caller: Caller | None = None, *, here: str = "") -> Frame:
    """The frame for a caller."""
    return Frame(
        version=__version__,
        now=services.clock.now(),
        account=caller.account if caller else "",
        role=caller.role if caller else None,
        here=here,
    )


class Page:
    """Base of what a page's template may use. A template that needs more needs a field here first.

    Attributes:
        template: folder below `templates` with `page.html` and, for pages that refresh themselves, `live.html`.
    """

    __slots__ = ()
    template: ClassVar[str]
    refreshes: ClassVar[bool] = True


class Panel:
    """Base of a section of the environment's page; its template knows it as `panel`.

    Attributes:
        template: path below `templates`.
    """

    __slots__ = ()
    template: ClassVar[str]


@dataclass(frozen=True, slots=True)
class EnvironmentCard:
    """An environment in short.

    Attributes:
        state: `empty`, `healthy`, `degraded` or `down`, of the live release's instances; `closed` where visitors get a
            page in place of it.
        healthy, total: instances of the live release.
        memory_bytes: of all its instances.
    """

    body: EnvironmentBody
    state: str
    healthy: int
    total: int
    memory_bytes: int

    @property
    def path(self) -> str:
        """Where its page is."""
        return path_of(self.body.project, self.body.name)

    @classmethod
    def of(cls, body: EnvironmentBody) -> "EnvironmentCard":
        """The card of an environment."""
        live = body.live
        serving = [item for item in body.instances if live is not None and item.release == live.id]
        healthy = sum(item.state == "healthy" for item in serving)
        if body.closed is not None:
            state = "closed"
        elif live is None:
            state = "empty"
        elif (live.framework == "static" and not serving) or (healthy == len(serving) and serving):
            state = "healthy"
        else:
            state = "degraded" if healthy else "down"
        memory_bytes = sum(item.memory_bytes for item in body.instances)
        return cls(body, state, healthy, len(serving), memory_bytes)


def path_of(project: str, environment: str, part: str = "") -> str:
    """Where the page of an environment is, or of a page below it: `/variables`."""
    return f"/projects/{project}/{environment}{part}"


def see(path: str) -> RedirectResponse:
    """Show a page after a button was pressed."""
    return RedirectResponse(path, status_code=303)


def in_order(bodies: Iterable[EnvironmentBody]) -> tuple[EnvironmentCard, ...]:
    """The environments of a project, the one that matters most first."""
    return tuple(
        EnvironmentCard.of(body)
        for body in sorted(bodies, key=lambda body: (_ORDER.get(body.name, 3), body.name))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A button of the environment's page that changes something after a question.

    Attributes:
        path: what it posts to.
        label, icon: of the button.
        question, text, answer: what is asked before, what will happen, and the label of the answer that goes on.
        values: what is posted.
        is_main: it is what the page is for just now.
        is_risky: the question warns.
    """

    path: str
    label: str
    icon: str
    question: str
    text: str
    answer: str
    values: tuple[tuple[str, str], ...] = ()
    is_main: bool = False
    is_risky: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownEnvironment:
    """An environment whose page is being made, with everything that a panel is made from.

    Attributes:
        session: of the transaction in which the page is read; a panel may ask one statement more.
    """

    session: Session
    record: EnvironmentRecord
    card: EnvironmentCard
    context: Context
