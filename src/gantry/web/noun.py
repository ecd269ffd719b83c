"""What a noun brings to the web: routes of the API, pages of the console, and marks of its states."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from gantry.kernel.names import API_PREFIX
from gantry.web.frame import Action, ShownEnvironment
from gantry.web.openapi import REFUSALS


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


Offer = Callable[[ShownEnvironment], Action | None]
"""Makes a button for the page of an environment, or `None` where there is nothing to offer."""


class Noun:
    """A noun of the product, as one file of this package shows it.

    Parameters:
        name: of its folder below `templates`, and of its marks in templates.
        description: of its tag in the API's description; empty where its routes stand under the tag of another.
        tag: of its routes in the API's description; its name unless it says otherwise.
        marks: state -> how it is shown.
        offers: its button on the page of an environment.

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
        offers: Offer | None = None,
    ) -> None:
        self.name, self.tag, self.description = name, tag or name, description
        self.marks = marks or {}
        self.offers = offers
        self.api = APIRouter(prefix=API_PREFIX, tags=[self.tag], responses=REFUSALS)
        self.console = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
