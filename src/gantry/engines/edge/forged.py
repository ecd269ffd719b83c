"""What visitors may not say: headers that products, and what they are made with, take for somebody else's word. Pure."""

from typing import Any

Json = dict[str, Any]

_TYPE = "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3"
# Where a visitor comes from. A trusted proxy may say it: `x-forwarded-for` is then read, the others are its own names.
_ADDRESSES = (
    "x-forwarded-for",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-remote-addr",
    "x-remote-ip",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "fastly-client-ip",
    "fly-client-ip",
)
# What was asked for, and how: the edge knows, and says it in `host`, `x-forwarded-host`, `-port` and `-proto`.
_REQUESTS = (
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
    "x-host",
    "x-original-host",
    "x-original-url",
    "x-original-uri",
    "x-original-method",
    "x-rewrite-url",
    "x-url-scheme",
    "front-end-https",
    # A program that makes an environment of headers would send its own requests there.
    "proxy",
    # Envoy makes the identity; a trusted proxy's would be the visitor's.
    "x-request-id",
)
# What Next.js says to itself, as it takes them out where it is asked first (INTERNAL_HEADERS of its server, and those
# of older ones). `x-middleware-prefetch` and `x-nextjs-data` are said by its pages.
_FRAMEWORKS = (
    "x-middleware-subrequest",
    "x-middleware-subrequest-id",
    "x-middleware-rewrite",
    "x-middleware-redirect",
    "x-middleware-set-cookie",
    "x-middleware-skip",
    "x-middleware-override-headers",
    "x-middleware-next",
    "x-matched-path",
    "x-invoke-path",
    "x-invoke-query",
    "x-invoke-status",
    "x-invoke-error",
    "x-invoke-output",
    "next-resume",
)
# Of the edge itself, of Envoy, and of the platforms that products come from, which say so in these families.
_FAMILIES = ("x-gantry-", "x-envoy-", "x-vercel-", "x-now-")


def removed(*, trusted: bool) -> Json:
    """Takes all of it out before anything else looks at a request.

    Parameters:
        trusted: a trusted proxy is at the other end of the connection.
    """
    names = (*(() if trusted else _ADDRESSES), *_REQUESTS, *_FRAMEWORKS)
    families = [{"prefix": family, "ignore_case": True} for family in _FAMILIES]
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": f"{_TYPE}.HeaderMutation",
            "mutations": [
                *({"remove": name} for name in names),
                *({"remove_on_match": {"key_matcher": family}} for family in families),
            ],
        },
    }
