"""Rules of a shared cache: which answers it may keep, for how long, and whom it may give them to. Pure.

Sources: RFC 9111 (caching), RFC 5861 (stale answers), RFC 9213 (`CDN-Cache-Control`), RFC 9110 (conditions, ranges).
Stricter than they allow: only what a product marks for shared caches is kept, never by a guess; a `no-cache` answer is
not kept at all, and a visitor's wish for a fresh answer is not followed, or anybody could switch the cache off.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from gantry.kernel.steering import steers

Headers = tuple[tuple[bytes, bytes], ...]

_KEPT_STATUSES = frozenset({200, 203, 204, 300, 301, 308, 404, 410})
_NEVER = frozenset({"no-store", "private", "no-cache"})
_NO_STALE = frozenset({"must-revalidate", "proxy-revalidate"})
# For this cache only: browsers that follow `stale-while-revalidate` would show what was purged here.
_SHARED_ONLY = frozenset(
    {"s-maxage", "stale-while-revalidate", "stale-if-error", "proxy-revalidate"}
)
_DIRECTIVE = re.compile(r'([!#$%&\'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,;]+))?')
_MAX_LIFETIME_S = 31_536_000
_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)  # fmt: skip
# GET and HEAD have no body here.
_NOT_SENT = _HOP_BY_HOP | {b"content-length", b"expect"}
_CONDITIONS = frozenset(
    (b"if-none-match", b"if-modified-since", b"if-match", b"if-unmodified-since")
)
# Next.js: an editor who looks at a draft, and its own requests for a new version of a page.
_OWN_COOKIES = re.compile(rb"(?:^|;\s*)(?:__prerender_bypass|__next_preview_data)=")
_OWN_HEADERS = frozenset((b"authorization", b"x-prerender-revalidate"))
_MAX_VARIED = 16


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long an answer may be given, in seconds since it was made.

    Attributes:
        fresh_s: without asking.
        stale_s: then for so long while a newer one is fetched.
        error_s: and for so long, also counted from the end of `fresh_s`, when a newer one cannot be had.
    """

    fresh_s: float
    stale_s: float = 0.0
    error_s: float = 0.0

    @property
    def longest_s(self) -> float:
        """After this it is of no use."""
        return self.fresh_s + max(self.stale_s, self.error_s)


def first(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The value of a header; several lines are one with commas (RFC 9110, 5.3). Names are lower case."""
    found = [value for key, value in headers if key == name]
    return found[0] if len(found) == 1 else b", ".join(found)


def length(headers: Headers) -> int | None:
    """How long an answer says that it is, in bytes; `None` where it does not."""
    text = first(headers, b"content-length")
    return int(text) if text.isdigit() else None


def directives(text: str) -> Mapping[str, str]:
    """The directives of a `Cache-Control` header, names in lower case. Of two of one name the first counts."""
    found: dict[str, str] = {}
    for match in _DIRECTIVE.finditer(text):
        found.setdefault(match[1].lower(), (match[2] or "").strip('"'))
    return found


def may_ask(method: str, headers: Headers) -> bool:
    """Whether a request may be answered with what others got."""
    if method not in ("GET", "HEAD"):
        return False
    names = [name for name, _ in headers]
    # What one visitor got with them must not be given to others ("web cache poisoning").
    if not _OWN_HEADERS.isdisjoint(names) or steers(name.decode("latin-1") for name in names):
        return False
    return not _OWN_COOKIES.search(first(headers, b"cookie"))


def lifetime(status: int, headers: Headers) -> Lifetime | None:
    """How long an answer to GET lives here; `None`: it must not be kept."""
    if status not in _KEPT_STATUSES or _forbidden(headers):
        return None
    general = directives(first(headers, b"cache-control").decode("latin-1"))
    targeted = directives(first(headers, b"cdn-cache-control").decode("latin-1"))
    given = targeted or general
    if _NEVER & set(given):
        return None
    fresh_s = _seconds(given.get("s-maxage"))
    if fresh_s is None and (targeted or "public" in given):
        fresh_s = _seconds(given.get("max-age"))
    if fresh_s is None:
        return None
    fresh_s = max(0.0, fresh_s - (_seconds(first(headers, b"age").decode("latin-1")) or 0.0))
    if _NO_STALE & set(given):
        return Lifetime(fresh_s) if fresh_s else None
    found = Lifetime(
        fresh_s,
        _seconds(given.get("stale-while-revalidate")) or 0.0,
        _seconds(given.get("stale-if-error")) or 0.0,
    )
    return found if found.longest_s else None


def renewed(entry_status: int, entry_lifetime: Lifetime, unchanged: Headers) -> Lifetime | None:
    """How long an answer lives on that the product says is unchanged (RFC 9111, 4.3.4); `None`: not any more."""
    if any(name in (b"cache-control", b"cdn-cache-control") for name, _ in unchanged):
        return lifetime(entry_status, unchanged)
    return entry_lifetime


def _forbidden(headers: Headers) -> bool:
    if any(name in (b"set-cookie", b"content-range") for name, _ in headers):
        return True
    varied = names_varied(headers)
    return "*" in varied or len(varied) > _MAX_VARIED


def _seconds(text: str | None) -> float | None:
    """A number of seconds; `None` where there is none, 0 where it makes no sense (RFC 9111, 4.2.1)."""
    if not text:
        return None
    return float(min(int(text), _MAX_LIFETIME_S)) if text.isdecimal() and len(text) < 20 else 0.0


def names_varied(headers: Headers) -> tuple[str, ...]:
    """Request headers that choose between answers: also of a product that compresses and does not say so."""
    text = first(headers, b"vary").decode("latin-1").lower()
    names = {name.strip() for name in text.split(",") if name.strip()}
    if first(headers, b"content-encoding"):
        names.add("accept-encoding")
    return tuple(sorted(names))


def variant(names: Iterable[str], request: Headers) -> tuple[bytes, ...]:
    """What distinguishes a request where `names` are varied."""
    return tuple(first(request, name.encode("latin-1")) for name in names)


def tags(headers: Headers) -> frozenset[str]:
    """What an answer can be purged by."""
    text = first(headers, b"cache-tag").decode("latin-1")
    return frozenset(tag.strip() for tag in text.split(",") if tag.strip())


def to_upstream(headers: Headers, *, keeping: bool) -> Headers:
    """A visitor's headers as they are passed on.

    Parameters:
        keeping: the answer is to be kept: it must be whole, and in one of two encodings instead of dozens.
    """
    passed = [(name, value) for name, value in headers if name not in _NOT_SENT]
    if not keeping:
        return tuple(passed)
    passed = [
        (name, value)
        for name, value in passed
        if name not in _CONDITIONS and name not in (b"range", b"if-range", b"accept-encoding")
    ]
    return (*passed, (b"accept-encoding", encoding(headers)))


def encoding(headers: Headers) -> bytes:
    """`gzip` for those who take it, `identity` for others: what products compress with, everybody takes."""
    for part in first(headers, b"accept-encoding").decode("latin-1").lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() in ("gzip", "*"):
            return b"identity" if re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight) else b"gzip"
    return b"identity"


def to_visitor(headers: Headers, *, kept: bool) -> Headers:
    """An answer's headers as visitors see them.

    Parameters:
        kept: it is kept here, so what it says to shared caches has been done.
    """
    passed = [(name, value) for name, value in headers if name not in _HOP_BY_HOP]
    if not kept:
        return tuple(passed)
    ours = (b"cache-control", b"cdn-cache-control", b"cache-tag", b"age")
    left = [
        f"{name}={value}" if value else name
        for name, value in directives(first(headers, b"cache-control").decode("latin-1")).items()
        if name not in _SHARED_ONLY
    ]
    if not any(directive.startswith("max-age") for directive in left):
        # As hosts with a cache of their own do: browsers ask each time, and the answer comes from here.
        left = ["public", "max-age=0", "must-revalidate"]
    return (
        *((name, value) for name, value in passed if name not in ours),
        (b"cache-control", ", ".join(left).encode("latin-1")),
    )


def is_unchanged(request: Headers, answer: Headers) -> bool:
    """Whether the visitor has this very answer already (RFC 9110, 13.2.2)."""
    asked = first(request, b"if-none-match")
    if asked:
        tag = first(answer, b"etag").removeprefix(b"W/")
        known = {entity_tag.strip().removeprefix(b"W/") for entity_tag in asked.split(b",")}
        return bool(tag) and (tag in known or b"*" in known)
    since = _date(first(request, b"if-modified-since"))
    made = _date(first(answer, b"last-modified"))
    return since is not None and made is not None and made <= since


def part(request: Headers, answer: Headers, size: int) -> tuple[int, int] | None:
    """The one range of bytes that the visitor asks for, as begin and end; `None`: they get the whole.

    A range that cannot be is begin = end = -1: status 416.
    """
    match = re.fullmatch(rb"bytes=(\d{0,18})-(\d{0,18})", first(request, b"range").strip())
    if match is None or match[1] == match[2] == b"":
        return None
    condition = first(request, b"if-range")
    tag = first(answer, b"etag")
    if condition and (condition != tag or tag.startswith(b"W/")):
        return None
    if not match[1]:
        begin, end = max(0, size - int(match[2])), size
    else:
        begin = int(match[1])
        end = min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < begin:
            return None  # no range at all (RFC 9110, 14.1.1)
    return (begin, end) if begin < end else (-1, -1)


def _date(text: bytes) -> float | None:
    try:
        return parsedate_to_datetime(text.decode("latin-1")).timestamp() if text else None
    except (ValueError, OverflowError):
        return None
