"""Lets a Next.js server see the address that its visitors use.

Next.js makes `request.url` of the host and port that its own server listens on. A redirect to `new URL("/", request.url)`
therefore leads to `https://localhost:PORT`, and so does every callback, link or rewrite that is made of it. Its
maintainers call that intended where it is hosted by others (vercel/next.js#36625, #79182), and its switch for a platform
that vouches for the Host header, `trustHostHeader`, has no effect on the server of `output: "standalone"`.

So the artifact's copy of Next.js, in a standalone output or beside a server of the product's own, takes the edge's word: `x-forwarded-host`, which the edge always sets and never lets
through from a visitor. It is the visitor's own host, so a release's own address stays that release. The three places
read the same in Next.js 13.5 to 16.4.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from gantry.kernel.trees import entries

UNKNOWN = (
    "this version of Next.js does not make request.url where it is known to: redirects that are made of it may "
    "lead visitors to https://localhost"
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where Next.js writes an address.

    Attributes:
        file: below the package's folder.
        pattern: what it writes there; its group `own` is the address of its server, as JavaScript.
        made: what is written instead.
    """

    file: str
    pattern: re.Pattern[str]
    made: str


_SERVER = "next/dist/server/next-server.js"
_ROUTER = "next/dist/server/lib/router-utils/resolve-routes.js"
_ASKED = "(req.headers['x-forwarded-host'] ?? req.headers.host)"
_OF_REQUEST = rf"const initUrl = {_ASKED} ? `${{protocol}}://${{{_ASKED}}}${{req.url}}` : \g<own>;"
_PLACES = (
    # request.url of pages and route handlers.
    _Place(_SERVER, re.compile(r"const initUrl = (?P<own>this\.fetchHostname [^;\n]+);"), _OF_REQUEST),
    # request.url of middleware.
    _Place(
        _SERVER,
        re.compile(r"(?P<own>\$\{this\.fetchHostname \|\| ['\"]localhost['\"]\}:\$\{this\.port\})"),
        rf"${{{_ASKED.replace('req.', 'params.request.')} ?? `\g<own>`}}",
    ),
    # What the answers of middleware are compared with: a rewrite to the same address stays inside.
    _Place(_ROUTER, re.compile(r"const initUrl = (?P<own>config\.experimental\.trustHostHeader [^;\n]+);"), _OF_REQUEST),
)  # fmt: skip


def show_visitors_address(root: Path) -> bool:
    """Change the Next.js in what was built, in every place or in none; whether it was changed.

    Parameters:
        root: a copy that no product can write to any more. Links in it are not followed.
    """
    texts = {
        entry.path: (root / entry.path).read_text(encoding="utf-8")
        for entry in entries(root)
        if entry.kind != "l" and f"/{entry.path}".endswith((f"/{_SERVER}", f"/{_ROUTER}"))
    }
    for place in _PLACES:
        paths = [path for path in texts if path.endswith(place.file)]
        if not paths:
            return False
        for path in paths:
            texts[path], times = place.pattern.subn(place.made, texts[path])
            if not times:
                return False
    for path, text in texts.items():
        _replace(root / path, text)
    return True


def _replace(path: Path, text: str) -> None:
    """Another file under the same name: this one may be a further name of one in the package store."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
