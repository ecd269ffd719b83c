"""What a noun brings to the web: routes of the API, pages of the console, and how its states look."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse
from pydantic import AfterValidator

from gantry.features.projects.model import check_environment, check_project
from gantry.features.projects.store import no_project
from gantry.kernel.bodies import Answer, ErrorBody
from gantry.kernel.names import API_PREFIX


class ErrorAnswer(Answer):
    """Every refusal: `{"error": {...}}`."""

    error: ErrorBody


_REFUSALS: dict[int | str, dict[str, Any]] = {
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


@dataclass(frozen=True, slots=True)
class Mark:
    """How a state is shown: a shape and a word, and only then a colour.

    Attributes:
        tone: `good`, `busy`, `bad`, `warn` or `quiet`.
        icon: name of an icon.
    """

    word: str
    tone: str
    icon: str


class Noun:
    """A noun of the product, as one file of this package shows it.

    Parameters:
        name: of its folder below `templates`, and of its marks in templates.
        description: of its tag in the API's description; empty where its routes stand under the tag of another.
        tag: of its routes in the API's description; its name unless it says otherwise.
        marks: state -> how it is shown.

    Attributes:
        api: its routes below `/api/v1`.
        console: its pages and buttons.
    """

    def __init__(
        self,
        name: str,
        description: str = "",
        *,
        tag: str = "",
        marks: Mapping[str, Mark] | None = None,
    ) -> None:
        self.name, self.tag, self.description = name, tag or name, description
        self.marks = marks or {}
        self.api = APIRouter(prefix=API_PREFIX, tags=[self.tag], responses=_REFUSALS)
        self.console = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
