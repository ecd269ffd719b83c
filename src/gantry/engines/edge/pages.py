"""The pages that the edge serves by itself. Small, inline, and readable without anything else."""

import html
import json
from dataclasses import dataclass

# Nobody closes a site for seconds.
CLOSED_RETRY_S = 30

_STYLE = (
    ":root{color-scheme:light dark;--b:#fff;--f:#1b2430;--m:#6b7684;--l:#e4e8ee}"
    "@media(prefers-color-scheme:dark){:root{--b:#0e1217;--f:#e8edf3;--m:#8a96a5;--l:#232b35}}"
    "*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;"
    "background:var(--b);color:var(--f);font:16px/1.6 system-ui,sans-serif;padding:24px}"
    "main{max-width:30rem}svg{display:block;margin-bottom:24px;color:var(--m)}"
    "h1{font-size:1.4rem;line-height:1.3;margin:0 0 8px}p{margin:0 0 16px;color:var(--m)}"
    "code{font:.9em ui-monospace,monospace;background:var(--l);border-radius:4px;padding:2px 6px}"
)
_SIGN = (
    '<svg width="72" height="48" viewBox="0 0 72 48" fill="none" stroke="currentColor" '
    'stroke-width="3" aria-hidden="true"><path d="M6 46V6h60v40"/>'
    '<rect x="16" y="6" width="40" height="16" rx="2"/></svg>'
)


NOTHING_LIVE, SITE_CLOSED, UNKNOWN_HOST = "edge.nothing-live", "edge.closed", "edge.unknown-host"


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of the edge's own, for people and for programs, and the code of its reason."""

    code: str
    html: str
    json: str


def page(title: str, text: str, *, hint: str = "", refresh_s: int = 0) -> str:
    """A page with one heading and one sentence.

    Parameters:
        hint: a command to type.
        refresh_s: load again after this many seconds; 0: never.
    """
    refresh = f'<meta http-equiv="refresh" content="{refresh_s}">' if refresh_s else ""
    command = f"<p><code>{html.escape(hint)}</code></p>" if hint else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"{refresh}<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f"{_SIGN}<h1>{html.escape(title)}</h1><p>{html.escape(text)}</p>{command}</main></body></html>"
    )


def nothing_live(name: str) -> str:
    """Served for a site that has no release yet."""
    return page(
        f"Nothing is live at {name or 'this address'} yet",
        "The address is right, but no release has been deployed to it.",
        hint="gantry deploy",
        refresh_s=5,
    )


def closed(title: str, message: str) -> str:
    """Served in place of a product that is closed to its visitors."""
    return page(title, message, refresh_s=CLOSED_RETRY_S)


def unknown_host() -> str:
    """Served for names that no site has."""
    return page("There is no site at this address", "Check the name, or ask who gave it to you.")


def nothing_live_json() -> str:
    """`nothing_live` for programs."""
    return _error_json(NOTHING_LIVE, "no release has been deployed to this address yet")


def closed_json(message: str) -> str:
    """`closed` for programs."""
    return _error_json(SITE_CLOSED, message)


def unknown_host_json() -> str:
    """`unknown_host` for programs."""
    return _error_json(UNKNOWN_HOST, "there is no site at this address")


def _error_json(code: str, message: str) -> str:
    return json.dumps({"error": {"code": code, "message": message}}) + "\n"


def _page(
    code: str, title: str, text: str, message: str, *, hint: str = "", refresh_s: int = 0
) -> Page:
    whole = page(title, text, hint=hint, refresh_s=refresh_s)
    return Page(code, whole, _error_json(code, message))


UNAVAILABLE = _page(
    "edge.unavailable",
    "Back in a moment",
    "This site is not answering right now. The page tries again by itself.",
    "no instance of this site answers right now",
    refresh_s=3,
)
TOO_SLOW = _page(
    "edge.too-slow",
    "This takes too long",
    "The site received the request but did not answer in time.",
    "the site did not answer in time",
)
CUT = _page(
    "edge.cut",
    "The site did not take this request",
    "It ended the connection before it answered. If you were sending something large, it may be more than the site takes.",
    "the site ended the connection before it answered; it may not take so much",
)
BAD_ANSWER = _page(
    "edge.bad-answer",
    "The site's answer cannot be read",
    "It answered in a way that is not valid HTTP, or with headers that are too long.",
    "the site's answer is not valid HTTP, or its headers are too long",
)
BUSY = _page(
    "edge.busy",
    "Too much is going on",
    "This server has as many requests as it can take. Try again in a moment.",
    "this server has as many requests as it can take",
    refresh_s=10,
)
TOO_MANY_AT_ONCE = _page(
    "edge.too-many-at-once",
    "Too many requests at once",
    "Your network has as many requests open at this server as one visitor may have. Try again in a moment.",
    "your address has as many requests open at this server as one visitor may have",
    refresh_s=5,
)
MISDIRECTED = _page(
    "edge.misdirected",
    "This connection is for another site",
    "Its certificate is not for the name that was asked for. Open the address anew.",
    "the certificate of this connection is not for the name that was asked for",
)
LIMITED = _page(
    "edge.limited",
    "That was too often",
    "This site takes no more of these requests from you for now. Try again in a moment.",
    "this site takes no more of these requests from you for now",
)
HEADERS_TOO_LARGE = _page(
    "edge.headers-too-large",
    "This request is too long",
    "Its address and headers may have 32 KB and 200 headers. Deleting the cookies of this site often helps.",
    "the address and headers of a request may have 32 KB and 200 headers; deleting cookies often helps",
)
REQUEST_TOO_SLOW = _page(
    "edge.request-too-slow",
    "The request did not arrive",
    "Its rest was waited for in vain. Try again.",
    "the rest of the request was waited for in vain",
)
BAD_REQUEST = _page(
    "edge.bad-request",
    "This request is not valid",
    "It is not HTTP as the standard has it, so it was not passed on. In an address, characters outside of ASCII are "
    "written with percent signs.",
    "the request is not valid HTTP, and was not passed on; in an address, characters outside of ASCII are written "
    "with percent signs",
)
REFUSED = _page(
    "edge.refused",
    "This request is not possible here",
    "The server does not take requests of this kind, so it was not passed on to the site.",
    "the server does not take requests of this kind",
)
