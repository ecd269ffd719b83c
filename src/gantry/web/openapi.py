"""The API's description, for people who have never seen Gantry, and what it says in the same way of every noun."""

from typing import Annotated, Any

from fastapi import Path
from pydantic import AfterValidator

from gantry.features.projects.model import check_environment, check_project
from gantry.features.projects.store import no_project
from gantry.kernel.bodies import Answer, ErrorBody

DESCRIPTION = """Gantry takes a web product from a commit to production and keeps it there.

Everything that the console and the command line do goes through these endpoints.

- **Access.** `Authorization: Bearer <token>`; `gantry token create` makes one. Roles: `viewer` looks, `developer`
  deploys, rolls back and sets variables, `owner` destroys, makes tokens and ends the platform. Each may do what
  those before it may.
- **Errors.** Every refusal is `{"error": {...}}` with a stable `code`, a sentence, and a hint that can be typed.
- **Units.** Times are RFC 3339 in UTC, durations are seconds, sizes are bytes.
- **Doing it twice.** Uploading a snapshot or setting a variable again changes nothing.
"""


class ErrorAnswer(Answer):
    """Every refusal: `{"error": {...}}`."""

    error: ErrorBody


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "The request must be changed; `hint` says how."},
    401: {"model": ErrorAnswer, "description": "No valid token or session."},
    403: {"model": ErrorAnswer, "description": "The caller's role does not cover this."},
    404: {"model": ErrorAnswer, "description": "The thing named does not exist."},
    409: {"model": ErrorAnswer, "description": "The present state does not allow it."},
    503: {"model": ErrorAnswer, "description": "The same request may succeed later."},
}


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

ENVIRONMENT = "/projects/{project}/environments/{environment}"
"""Path of what belongs to an environment."""
