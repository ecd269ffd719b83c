"""Visitors of a test's edge: a client like a browser, and strict ones that ask as fast as they can."""

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from gantry.drill import client as strict_client
from tests.support.edge import Lab, ToThisMachine


def client(edge: Lab) -> httpx.AsyncClient:
    """A client that trusts the local authority."""
    return httpx.AsyncClient(transport=ToThisMachine(verify=edge.context()), timeout=20)


def url(edge: Lab, path: str = "/", host: str = "a.localhost", scheme: str = "https") -> str:
    """The address of a path on the public port."""
    return f"{scheme}://{host}:{edge.settings.https_port}{path}"


@asynccontextmanager
async def visitors(
    edge: Lab, connections: int = 40, path: str = "/"
) -> AsyncIterator[dict[str, Any]]:
    """Run strict clients, which ask as fast as they can, while the block runs; afterwards what they saw."""
    stop = edge.settings.home / f"stop-{random.randrange(10**9)}"
    client = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            strict_client.__file__,
            "a.localhost",
            str(edge.settings.https_port),
            path,
        ),
        *(str(edge.authority.root_file), str(connections), str(stop)),
        stdout=asyncio.subprocess.PIPE,
    )
    seen: dict[str, Any] = {}
    try:
        yield seen
    finally:
        stop.touch()
        out, _ = await client.communicate()
    seen.update(json.loads(out))
    if seen.get("failures"):
        seen["edge says"] = await _failed_in_log(edge)


async def _failed_in_log(edge: Lab) -> list[str]:
    """Of the edge's last requests those that it has answered with an error, with why; its log is a second behind."""
    await asyncio.sleep(2)  # only a test that fails waits
    log = await edge.edge.requests()
    return [
        f"{request.at:%T.%f} {request.status} {request.flags} {request.details} tries {request.attempts}"
        f" {request.duration_ms} ms {request.release}"
        for request in log.requests
        if request.status >= 500 or request.status == 0
    ][-10:]
