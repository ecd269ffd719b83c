"""Ends a platform: by asking its control plane, or without one."""

import asyncio
import os
import signal

import httpx

from gantry.app.engines import make_engines
from gantry.app.token_file import read_token
from gantry.config.settings import Settings
from gantry.engines.runtime.protocol import ProcessState
from gantry.features.instances.ending import end_process
from gantry.kernel.errors import TransientError
from gantry.kernel.names import API_PREFIX


def request_end(settings: Settings, pid: int | None) -> None:
    """Ask the control plane to end everything, itself last; one that does not answer is told by a signal to end.

    Parameters:
        pid: of the control plane.

    Raises:
        TransientError: `control.unreachable` when it cannot be told either.
    """
    transport = httpx.HTTPTransport(uds=str(settings.paths.api_socket))
    try:
        with httpx.Client(transport=transport, base_url="http://control", timeout=10) as client:
            client.post(
                f"{API_PREFIX}/shutdown",
                headers={"authorization": f"Bearer {read_token(settings.paths)}"},
            ).raise_for_status()
    except httpx.HTTPError as error:
        # Its database may be dead, say. It ends itself then, and what it leaves running is ended after it.
        try:
            if pid is not None:
                os.kill(pid, signal.SIGTERM)
                return
        except ProcessLookupError:
            return
        except PermissionError:
            pass
        raise TransientError(
            "control.unreachable",
            f"the control plane (pid {pid or 'unknown'}) holds its lock but does not answer: {error}",
            hint="end its process, then run gantry down again",
        ) from error


def end_platform(settings: Settings) -> None:
    """End every process of the platform that still runs; nothing running is no error."""
    asyncio.run(_end(settings))


async def _end(settings: Settings) -> None:
    engines = make_engines(settings)
    try:
        statuses = await engines.runtime.statuses()
        running = [key for key, status in statuses.items() if status.state is ProcessState.RUNNING]
        products = [key for key in running if not engines.is_engine(key)]
        await asyncio.gather(
            *(end_process(engines.runtime, engines.clock, key) for key in products)
        )
        await engines.stop()
    finally:
        await engines.runtime.aclose()
