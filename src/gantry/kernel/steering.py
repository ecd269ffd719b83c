"""Headers of requests that products and frameworks take for somebody else's word: a proxy's, a platform's, their own.

One list for two houses: the edge takes them out of what visitors send, and the cache does not give others what a request
got that has one all the same.
"""

from collections.abc import Iterable

# Where a visitor comes from. A trusted proxy may say it: `x-forwarded-for` is then read, the others are its own names.
ADDRESSES = (
    "x-forwarded-for",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-remote-addr",
    "x-remote-ip",
    "x-originating-ip",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-nf-client-connection-ip",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-connecting-o2o",
    "cf-pseudo-ipv4",
    "fastly-client-ip",
    "fly-client-ip",
    "do-connecting-ip",
    "akamai-origin-hop",
)
# What was asked for, and how: the edge knows, and says it in `host`, `x-forwarded-host`, `-port` and `-proto`.
REQUESTS = (
    "forwarded",
    "x-forwarded",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-protocol",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-prefix",
    "x-forwarded-path",
    "x-forwarded-uri",
    "x-forwarded-method",
    "x-forwarded-client-cert",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-access-token",
    "x-host",
    "x-http-host-override",
    "x-original-host",
    "x-original-url",
    "x-original-uri",
    "x-original-method",
    "x-rewrite-url",
    "x-script-name",
    "x-url-scheme",
    "x-scheme",
    "front-end-https",
    # A program that makes an environment of headers would send its own requests there.
    "proxy",
    # Envoy makes the identity; a trusted proxy's would be the visitor's.
    "x-request-id",
)
# What Next.js says to itself, as it takes them out where it is asked first (INTERNAL_HEADERS of its server, and those
# of older ones). `x-middleware-prefetch` and `x-nextjs-data` are said by its pages.
FRAMEWORKS = (
    "x-middleware-subrequest",
    "x-middleware-subrequest-id",
    "x-middleware-rewrite",
    "x-middleware-redirect",
    "x-middleware-set-cookie",
    "x-middleware-skip",
    "x-middleware-override-headers",
    "x-middleware-next",
    "x-matched-path",
    "next-resume",
)
# Of the edge itself, of Envoy, and of the platforms and frameworks that products come from, which say so in these families.
FAMILIES = ("x-gantry-", "x-envoy-", "x-vercel-", "x-now-", "x-invoke-", "x-middleware-request-")
# Some clients say these in their own right, so they reach the product; no answer says that it depends on them.
_OWN_RIGHT = ("x-http-method", "x-method-", "x-middleware-")
# The edge writes these for the product, or for the cache.
_BY_EDGE = frozenset(
    ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-request-id")
)
_FAMILIES_BY_EDGE = ("x-gantry-", "x-envoy-")
_NAMES = frozenset((*REQUESTS, *FRAMEWORKS)) - _BY_EDGE
_PREFIXES = (
    *(family for family in FAMILIES if family not in _FAMILIES_BY_EDGE),
    *_OWN_RIGHT,
    "x-forwarded-",
    "x-original-",
    "x-rewrite-",
)


def removed(*, trusted: bool) -> tuple[str, ...]:
    """Names that no visitor says, beside `FAMILIES`.

    Parameters:
        trusted: a trusted proxy is at the other end of the connection, which may say where its visitor comes from.
    """
    return (*(() if trusted else ADDRESSES), *REQUESTS, *FRAMEWORKS)


def steers(names: Iterable[str]) -> bool:
    """Whether a request, as it comes from the edge, may get an answer that is for nobody else.

    Parameters:
        names: of its headers, in lower case.
    """
    return any(
        name in _NAMES
        or (name.startswith(_PREFIXES) and name not in _BY_EDGE and name not in ADDRESSES)
        for name in names
    )
