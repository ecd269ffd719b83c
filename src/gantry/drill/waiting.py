"""Waiting for what comes when it comes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

_T = TypeVar("_T")
_POLL_S = 0.25


async def until(
    ask: Callable[[], Awaitable[_T | None]], within_s: float, *, every_s: float = _POLL_S
) -> _T | None:
    """The first answer that is not `None`; `None` when there was none in time."""
    end_s = time.monotonic() + within_s
    while True:
        answer = await ask()
        if answer is not None or time.monotonic() > end_s:
            return answer
        await asyncio.sleep(every_s)
