"""What several areas of the API say in the same way."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import AfterValidator

from gantry.features.projects.model import check_environment, check_project
from gantry.features.projects.store import no_project
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


def _new_project(name: str) -> str:
    check_project(name)
    return name


def _new_environment(name: str) -> str:
    check_environment(name)
    return name


def _stored(name: str) -> str:
    if "\0" in name:  # which no text of the database has
        raise no_project(name)
    return name


_project = Path(max_length=63, description="Name of the project.")
_environment = Path(max_length=63, description="`development`, `staging` or `production`.")

# Of what the request may make: the rule of gantry.toml.
ProjectName = Annotated[str, _project, AfterValidator(_new_project)]
EnvironmentName = Annotated[str, _environment, AfterValidator(_new_environment)]
# Of what is there: also of a name from before the rule, to be looked at and destroyed.
KnownProject = Annotated[str, _project, AfterValidator(_stored)]
KnownEnvironment = Annotated[str, _environment, AfterValidator(_stored)]
Digest = Annotated[
    str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the snapshot, hex.")
]
DeployId = Annotated[str, Path(max_length=40, description="Identity of the deploy, `dep-...`.")]
