"""The frame around every page, and the roles that pages need."""

from collections.abc import Iterable

from gantry import __version__
from gantry.features.accounts.model import Caller
from gantry.features.platform.bodies import EnvironmentBody
from gantry.web.console.contexts import EnvironmentCard, Frame
from gantry.web.services import Services


def frame_of(services: Services, caller: Caller | None = None, *, here: str = "") -> Frame:
    """The frame for a caller."""
    return Frame(
        version=__version__,
        now=services.clock.now(),
        account=caller.account if caller else "",
        role=caller.role if caller else None,
        here=here,
    )


def card_of(body: EnvironmentBody) -> EnvironmentCard:
    """An environment in one word and three numbers."""
    live = body.live
    serving = [each for each in body.instances if live is not None and each.release == live.id]
    healthy = sum(each.state == "healthy" for each in serving)
    if live is None:
        state = "empty"
    elif (live.framework == "static" and not serving) or (healthy == len(serving) and serving):
        state = "healthy"
    else:
        state = "degraded" if healthy else "down"
    memory_bytes = sum(each.memory_bytes for each in body.instances)
    return EnvironmentCard(body, state, healthy, len(serving), memory_bytes)


def in_order(bodies: Iterable[EnvironmentBody]) -> tuple[EnvironmentCard, ...]:
    """The environments of a project, the one that matters most first."""
    order = {"production": 0, "staging": 1, "development": 2}
    return tuple(
        card_of(body)
        for body in sorted(bodies, key=lambda each: (order.get(each.name, 3), each.name))
    )
