"""Snapshots of source trees."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Path, Request

from gantry.engines.sources.protocol import Snapshot
from gantry.features.builds.bodies import SourceBody
from gantry.kernel.errors import NotFoundError
from gantry.web.access import Developer, Viewer
from gantry.web.errors import too_large
from gantry.web.noun import Noun
from gantry.web.services import Has

noun = Noun("sources", "Snapshots of source trees, which builds are made from.")

# Compressed; the source store has its own, tighter bounds on what comes out of it.
MAX_UPLOAD_BYTES = 1_000_000_000

Digest = Annotated[
    str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the snapshot, hex.")
]

_upload = {
    "requestBody": {
        "required": True,
        "description": "A gzip-compressed tar of the tree.",
        "content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@noun.api.put(
    "/sources/{digest}",
    summary="Upload a snapshot",
    openapi_extra=_upload,
    max_body_size=MAX_UPLOAD_BYTES,
)
async def put_source(
    request: Request, services: Has, _caller: Developer, digest: Digest
) -> SourceBody:
    """Stores a tree under the digest of its paths, modes and contents. Uploading it again changes nothing."""
    return SourceBody.of(await services.sources.receive(_bounded(request), digest=digest))


@noun.api.get("/sources/{digest}", summary="Whether a snapshot is kept")
async def get_source(services: Has, _caller: Viewer, digest: Digest) -> SourceBody:
    """The size of a stored snapshot, or 404: then upload it."""
    return SourceBody.of(await _found(services, digest))


@noun.api.head("/sources/{digest}", summary="Whether a snapshot is kept, in the status alone")
async def head_source(services: Has, _caller: Viewer, digest: Digest) -> None:
    """200 or 404."""
    await _found(services, digest)


async def _found(services: Has, digest: str) -> Snapshot:
    found = await services.sources.get(digest)
    if found is None:
        raise NotFoundError(
            "source.unknown",
            f"snapshot {digest[:12]} was not uploaded, or is no longer kept",
            hint="PUT it to the same address, or run gantry deploy",
        )
    return found


async def _bounded(request: Request) -> AsyncIterator[bytes]:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_UPLOAD_BYTES:
        raise too_large(request.url.path)
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > MAX_UPLOAD_BYTES:
            raise too_large(request.url.path)
        yield chunk
