"""What several areas of the API say in the same way."""

from typing import Annotated, Any

from fastapi import APIRouter, Path

from gantry.kernel.bodies import Answer, ErrorBody
from gantry.kernel.names import API_PREFIX


class ErrorAnswer(Answer):
    """Every refusal: `{"error": {...}}`."""

    error: ErrorBody


_refusals: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "The request must be changed; `hint` says how."},
    401: {"model": ErrorAnswer, "description": "No valid token or session."},
    403: {"model": ErrorAnswer, "description": "The caller's role does not cover this."},
    404: {"model": ErrorAnswer, "description": "The thing named does not exist."},
    409: {"model": ErrorAnswer, "description": "The present state does not allow it."},
    503: {"model": ErrorAnswer, "description": "The same request may succeed later."},
}


def area(tag: str) -> APIRouter:
    """A router for one area."""
    return APIRouter(prefix=API_PREFIX, tags=[tag], responses=_refusals)


ProjectName = Annotated[str, Path(max_length=63, description="Name of the project.")]
EnvironmentName = Annotated[
    str, Path(max_length=63, description="`development`, `staging` or `production`.")
]
Digest = Annotated[
    str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the snapshot, hex.")
]
DeployId = Annotated[str, Path(max_length=40, description="Identity of the deploy, `dep-...`.")]
