"""Lets servers see the address that their visitors use, where the framework does not take it from a proxy by itself.

Next.js makes `request.url` of the host and port that its own server listens on. A redirect to `new URL("/", request.url)`
therefore leads to `https://localhost:PORT`, and so does every callback, link or rewrite that is made of it. Its
maintainers call that intended where it is hosted by others (vercel/next.js#36625, #79182), and its switch for a platform
that vouches for the Host header, `trustHostHeader`, has no effect on the server of `output: "standalone"`.

So the artifact's copy of Next.js, in a standalone output or beside a server of the product's own, takes the edge's word: `x-forwarded-host`, which the edge always sets and never lets
through from a visitor. It is the visitor's own host, so a release's own address stays that release. The three places
read the same in Next.js 13.5 to 16.4.

Astro believes no `Host` and no `X-Forwarded-Host` whose name is not among the `security.allowedDomains` of its configuration
(since 5.14.2), where there is none by default: `Astro.url` is `https://localhost/`, and a form is refused as one of another
site. Adapters of hosted platforms answer for it; here the edge does, which serves known names only.
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


_ASTRO_SERVER = "dist/server"
_NO_DOMAINS = re.compile(r'(?<="checkOrigin":)(true|false),"allowedDomains":\[\]')


def believe_the_edge(product: Path) -> None:
    """Let an Astro server believe the names that it is asked for, unless its own configuration names some.

    Parameters:
        product: the product's folder in a copy that no product can write to any more. Links in it are not followed.
    """
    server = product / _ASTRO_SERVER
    if server.resolve() != server.absolute() or not (server / "entry.mjs").is_file():
        return
    for entry in entries(server):
        if entry.kind == "l" or not entry.path.endswith(".mjs"):
            continue
        path = server / entry.path
        text = path.read_text(encoding="utf-8")
        # One pattern without conditions: any name, any port, either protocol.
        changed = _NO_DOMAINS.sub(r'\1,"allowedDomains":[{}]', text)
        if changed != text:
            _replace(path, changed)


def _replace(path: Path, text: str) -> None:
    """Another file under the same name: this one may be a further name of one in the package store."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
