"""Templates to responses."""

import hashlib
from functools import cache

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gantry.web.assets import STATIC, VENDOR
from gantry.web.console import words
from gantry.web.console.contexts import Frame, Page


def render(
    request: Request, template: str, page: Page, frame: Frame, *, status: int = 200
) -> HTMLResponse:
    """A whole page, or only its live part when the page itself asks to be refreshed.

    Parameters:
        template: name of the folder below templates that holds `page.html` and, for pages that refresh, `live.html`.
    """
    # htmx names itself in this header; version 4 calls a refresh of one element "partial".
    partial = request.headers.get("hx-request-type") == "partial"
    name = f"{template}/{'live' if partial else 'page'}.html"
    html = templates().get_template(name).render(page=page, frame=frame, path=request.url.path)
    return HTMLResponse(html, status_code=status, headers={"Vary": "HX-Request-Type, Cookie"})


@cache
def templates() -> Environment:
    """The templates, read once."""
    environment = Environment(
        loader=PackageLoader("gantry.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "details": words.details,
        "duration": words.duration,
        "exact": words.exact,
        "first_line": words.first_line,
        "mark": words.mark,
        "size": words.size,
        "step": words.step,
        "title": words.title,
    }
    environment.globals |= {
        "ago": words.ago,
        "icon": icon,
        "static": static,
        "has_static": has_static,
    }
    return environment


@cache
def icon(name: str, css: str = "") -> Markup:
    """An icon as inline SVG; nothing when the assets were not fetched: words say the same."""
    file = VENDOR / "icons" / f"{name}.svg"
    if not file.is_file():
        return Markup("")
    svg = file.read_text()
    inner = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    # The drawing comes from the package named in the lock file, the two names from our own templates.
    return Markup(
        '<svg class="icon {}" viewBox="0 0 24 24" aria-hidden="true" focusable="false">{}</svg>'
    ).format(css, Markup(inner))  # noqa: S704


@cache
def static(name: str) -> str:
    """URL of a static file, with its content's hash so that browsers may keep it."""
    content = (STATIC / name).read_bytes() if (STATIC / name).is_file() else b""
    return f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"


def assets_changed() -> None:
    """Read icons and static files anew: they were fetched after pages had been rendered without them."""
    icon.cache_clear()
    static.cache_clear()


def has_static(name: str) -> bool:
    """Whether a vendored file is there."""
    return (STATIC / name).is_file()
