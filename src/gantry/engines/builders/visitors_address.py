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

The servers of React Router and Remix run on Express, which takes `http` for the protocol unless it is told that a proxy is
to be believed, and neither has a setting for it.
"""

import re
from collections.abc import Callable
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


_MAX_BYTES = 32_000_000
_ASTRO_SERVER = "dist/server"
_NO_DOMAINS = '"allowedDomains":[]'
# One pattern without conditions: any name, any port, either protocol.
_ANY_DOMAIN = '"allowedDomains":[{}]'
_EXPRESS_SERVERS = ("@react-router/serve", "@remix-run/serve")
_EXPRESS = re.compile(r'\bapp\.disable\("x-powered-by"\);(?! app\.set)')
_BELIEVING = r'\g<0> app.set("trust proxy", true);'


def believe_the_edge(tree: Path, folder: str) -> None:
    """Let servers of Astro, React Router and Remix believe what the edge says of a request.

    Parameters:
        tree: a copy that no product can write to any more. Links in it are not followed.
        folder: the product's, relative to it.
    """
    root = tree.resolve()
    if (root / folder / _ASTRO_SERVER / "entry.mjs").is_file():
        for path in sorted((root / folder / _ASTRO_SERVER).rglob("*.mjs")):
            _change(path, _with_domains)
    for place in {root, root / folder}:
        for package in _EXPRESS_SERVERS:
            kept = f".pnpm/{package.replace('/', '+')}@*/node_modules/"
            for above in ("", kept):
                for path in (place / "node_modules").glob(f"{above}{package}/dist/cli.js"):
                    _change(path, lambda text: _EXPRESS.sub(_BELIEVING, text))


def _with_domains(text: str) -> str:
    """The manifest of an Astro server; a product that names domains there keeps what it says."""
    return text.replace(_NO_DOMAINS, _ANY_DOMAIN) if '"checkOrigin":' in text else text


def _change(path: Path, change: Callable[[str], str]) -> None:
    if path.resolve() != path or not path.is_file() or path.stat().st_size > _MAX_BYTES:
        return  # a link, or behind one
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return  # no program of a framework's
    if (changed := change(text)) != text:
        _replace(path, changed)


def _replace(path: Path, text: str) -> None:
    """Another file under the same name: this one may be a further name of one in the package store."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
