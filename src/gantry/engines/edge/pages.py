"""The pages that the edge serves by itself. Small, inline, and readable without anything else."""

import html
import json

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


def unavailable() -> str:
    """Served when no instance of the live release answers."""
    return page(
        "Back in a moment",
        "This site is not answering right now. The page tries again by itself.",
        refresh_s=3,
    )


def too_slow() -> str:
    """Served when the product said nothing for as long as a request may be silent."""
    return page(
        "This takes too long",
        "The site received the request but did not answer in time.",
    )


def unavailable_json() -> str:
    """`unavailable` for programs."""
    return _error_json("edge.unavailable", "no instance of this site answers right now")


def too_slow_json() -> str:
    """`too_slow` for programs."""
    return _error_json("edge.too-slow", "the site did not answer in time")


def nothing_live_json() -> str:
    """`nothing_live` for programs."""
    return _error_json("edge.nothing-live", "no release has been deployed to this address yet")


def closed_json(message: str) -> str:
    """`closed` for programs."""
    return _error_json("edge.closed", message)


def unknown_host_json() -> str:
    """`unknown_host` for programs."""
    return _error_json("edge.unknown-host", "there is no site at this address")


def _error_json(code: str, message: str) -> str:
    return json.dumps({"error": {"code": code, "message": message}}) + "\n"
