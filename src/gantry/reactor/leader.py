"""One of several control planes on the same database acts; the others wait, answer requests, and take over."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from gantry.reactor.loops import Loops

_log = logging.getLogger(__name__)

HoldLeadership = Callable[[], AbstractAsyncContextManager[asyncio.Event]]
"""Waits until this control plane leads; yields what is set when it does not any more."""


@asynccontextmanager
async def alone() -> AsyncIterator[asyncio.Event]:
    """Lead at once and for good: nobody else has this database."""
    yield asyncio.Event()


@dataclass(slots=True)
class Leader:
    """Lets the loops act for the platform while this control plane leads.

    Attributes:
        leads: whether it does now.
    """

    hold: HoldLeadership
    loops: Loops
    leads: bool = False

    async def run(self) -> None:
        """Wait for leadership, lead until it is lost, and wait again, until cancelled."""
        while True:
            async with self.hold() as lost:
                _log.info("this control plane leads")
                self.leads = True
                self.loops.lead()
                try:
                    await lost.wait()
                finally:
                    self.leads = False
                    await self.loops.follow()
            _log.warning(
                "this control plane has lost its session with the database, and leads no more"
            )
