"""Templates to responses."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from functools import cache

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gantry.kernel.units import (
    counted,
    first_line,
    format_ago,
    format_elapsed,
    format_size,
    format_until,
)
from gantry.web.assets import STATIC, VENDOR
from gantry.web.frame import Frame, Page
from gantry.web.noun import Noun


def render(request: Request, page: Page, frame: Frame, *, status: int = 200) -> HTMLResponse:
    """A whole page, or only its live part when the page itself asks to be refreshed."""
    # htmx names itself in this header; version 4 calls a refresh of one element "partial".
    partial = page.refreshes and request.headers.get("hx-request-type") == "partial"
    name = f"{page.template}/{'live' if partial else 'page'}.html"
    environment = request.app.state.templates
    assert isinstance(environment, Environment)
    html = environment.get_template(name).render(page=page, frame=frame, path=request.url.path)
    return HTMLResponse(html, status_code=status, headers={"Vary": "HX-Request-Type, Cookie"})


def templates(nouns: Iterable[Noun]) -> Environment:
    """The templates, with the marks of every noun."""
    environment = Environment(
        loader=PackageLoader("gantry.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": format_elapsed,
        "exact": exact,
        "first_line": first_line,
        "size": size,
        "title": title,
    }
    environment.globals |= {
        "ago": format_ago,
        "until": format_until,
        "icon": icon,
        "counted": counted,
        "static": static,
        "has_static": has_static,
        "marks": {noun.name: noun.marks for noun in nouns},
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


def has_static(name: str) -> bool:
    """Whether a vendored file is there."""
    return (STATIC / name).is_file()


def assets_changed() -> None:
    """Read icons and static files anew: they were fetched after pages had been rendered without them."""
    icon.cache_clear()
    static.cache_clear()


def exact(at: datetime | None) -> str:
    """The moment itself, for a tooltip."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def size(size_bytes: int) -> str:
    """A size; a dash for nothing."""
    return format_size(size_bytes) if size_bytes else "–"


def title(name: str) -> str:
    """A name or sentence that begins with a capital letter."""
    return name[:1].upper() + name[1:]
