"""Sites as Envoy virtual hosts. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any

from gantry.engines.edge import pages
from gantry.engines.edge.patterns import Pattern, compile_pattern
from gantry.engines.edge.protocol import EdgeConfig, HeaderRule, Redirect, Rewrite, Site
from gantry.kernel.errors import UserError

Json = dict[str, Any]

RELEASE_HEADER = "x-gantry-release"
CHALLENGE_PATH = "/.well-known/acme-challenge/"
# Every set of rules that a path may match becomes routes of its own: 2^n of them.
MOST_HEADER_RULES = 6
_CODES: Mapping[int, str] = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}
_SAFE_METHODS = "GET|HEAD|OPTIONS"
_RETRY_UNSENT = "connect-failure,refused-stream,reset-before-request"
# A stream or WebSocket that says nothing at all for an hour is gone.
_STREAM_IDLE_S = 3600.0


def https_virtual_hosts(config: EdgeConfig) -> list[Json]:
    """Every site, and a page for names that no site has."""
    hosts = [_site(site) for site in config.sites]
    return [*hosts, _page_host("unknown", ["*"], 404, pages.unknown_host())]


def http_virtual_hosts(config: EdgeConfig, https_port: int) -> list[Json]:
    """Answers to ACME challenges; everything else is sent to https."""
    challenges = [
        {
            "match": {"path": f"{CHALLENGE_PATH}{token}"},
            "direct_response": {"status": 200, "body": {"inline_string": answer}},
            "response_headers_to_add": [_header("content-type", "text/plain")],
        }
        for token, answer in sorted(config.acme_challenges.items())
    ]
    to_https = {
        "match": {"prefix": "/"},
        "redirect": {
            "https_redirect": True,
            "port_redirect": https_port,
            "response_code": "PERMANENT_REDIRECT",
        },
    }
    return [{"name": "http", "domains": ["*"], "routes": [*challenges, to_https]}]


def _site(site: Site) -> Json:
    if site.backend is None:
        body = pages.nothing_live(site.title)
        return _page_host(site.hosts[0], list(site.hosts), 503, body)
    added = [_header(RELEASE_HEADER, "%UPSTREAM_METADATA(gantry:release)%")]
    if site.noindex:
        added.append(_header("x-robots-tag", "noindex"))
    everywhere, some = _split(site.headers)
    for rule in everywhere:
        added += [_header(name, value) for name, value in rule.headers]
    return {
        "name": site.hosts[0],
        "domains": list(site.hosts),
        "routes": [
            *(_redirect(redirect) for redirect in site.redirects),
            *_pass_on(site, some),
        ],
        "response_headers_to_add": added,
    }


def _page_host(name: str, domains: list[str], status: int, body: str) -> Json:
    return {
        "name": name,
        "domains": domains,
        "routes": [
            {
                "match": {"prefix": "/"},
                "direct_response": {"status": status, "body": {"inline_string": body}},
                "response_headers_to_add": [
                    _header("content-type", "text/html; charset=utf-8"),
                    _header("cache-control", "no-store"),
                    _header("retry-after", "5"),
                ],
            }
        ],
    }


def _redirect(redirect: Redirect) -> Json:
    pattern = compile_pattern(redirect.source)
    action: Json = {"response_code": _CODES[redirect.status]}
    target = redirect.destination
    for scheme in ("https://", "http://"):
        if target.startswith(scheme):
            host, slash, path = target.removeprefix(scheme).partition("/")
            action["scheme_redirect"] = scheme.removesuffix("://")
            name, colon, port = host.partition(":")
            action["host_redirect"] = name
            if colon:
                action["port_redirect"] = int(port)
            target = slash + path or "/"
    action["regex_rewrite"] = _regex_rewrite(pattern, target)
    return {"match": {"safe_regex": {"regex": pattern.regex}}, "redirect": action}


def _pass_on(site: Site, rules: tuple[HeaderRule, ...]) -> Iterator[Json]:
    """Rewrites first, then everything; each once for every set of header rules, the largest set first."""
    for chosen in _subsets(rules):
        headers = [_header(name, value) for rule in chosen for name, value in rule.headers]
        conditions = [_path_condition(compile_pattern(rule.source)) for rule in chosen]
        for rewrite in site.rewrites:
            yield from _variants(site, conditions, headers, rewrite)
        yield from _variants(site, conditions, headers, None)


def _variants(
    site: Site, conditions: list[Json], headers: list[Json], rewrite: Rewrite | None
) -> Iterator[Json]:
    """Streams, then requests that may be repeated, then all others."""
    match: Json = {"prefix": "/"}
    action: Json = {}
    if rewrite is not None:
        pattern = compile_pattern(rewrite.source)
        match = {"safe_regex": {"regex": pattern.regex}}
        action["regex_rewrite"] = _regex_rewrite(pattern, rewrite.destination)
    stream = _header_match("accept", "text/event-stream", contains=True)
    upgrade = _header_match("upgrade", "websocket")
    safe = {
        "name": ":method",
        "string_match": {"safe_regex": {"regex": _SAFE_METHODS}},
    }
    for more, idle_s, retry in (
        ([upgrade], _STREAM_IDLE_S, _RETRY_UNSENT),
        ([stream], _STREAM_IDLE_S, f"{_RETRY_UNSENT},reset"),
        ([safe], site.request_timeout_s, f"{_RETRY_UNSENT},reset"),
        ([], site.request_timeout_s, _RETRY_UNSENT),
    ):
        route: Json = {
            "match": {**match, "headers": [*conditions, *more]},
            "route": {
                "cluster": site.backend,
                # A response may take as long as it moves; what is bounded is the silence.
                "timeout": "0s",
                "idle_timeout": f"{idle_s:g}s",
                "retry_policy": _retry_policy(retry),
                **action,
            },
        }
        if site.stream_timeout_s is not None and more and more[0] in (stream, upgrade):
            route["route"]["max_stream_duration"] = {
                "max_stream_duration": f"{site.stream_timeout_s:g}s"
            }
        if headers:
            route["response_headers_to_add"] = headers
        yield route


def _retry_policy(retry_on: str) -> Json:
    """Enough tries to bridge the restart of a single instance (about a second), on another instance where there is
    one.
    """
    return {
        "retry_on": retry_on,
        "num_retries": 12,
        "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.4s"},
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host"
                    ".previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 5,
    }


def _split(rules: Iterable[HeaderRule]) -> tuple[tuple[HeaderRule, ...], tuple[HeaderRule, ...]]:
    """Rules for every path, which cost nothing, and rules for some."""
    everywhere: list[HeaderRule] = []
    some: list[HeaderRule] = []
    for rule in rules:
        (everywhere if rule.source in ("/(.*)", "/:path*") else some).append(rule)
    if len(some) > MOST_HEADER_RULES:
        raise UserError(
            "route.too-many-headers",
            f"{len(some)} header rules for parts of a site; at most {MOST_HEADER_RULES} are possible",
            hint="join rules of one path, or set the headers in the product",
        )
    return tuple(everywhere), tuple(some)


def _subsets(rules: tuple[HeaderRule, ...]) -> Iterator[tuple[HeaderRule, ...]]:
    for size in range(len(rules), -1, -1):
        yield from combinations(rules, size)


def _path_condition(pattern: Pattern) -> Json:
    return {
        "name": ":path",
        "string_match": {"safe_regex": {"regex": rf"{pattern.regex}(?:\?.*)?"}},
    }


def _header_match(name: str, value: str, *, contains: bool = False) -> Json:
    how: Json = {"contains": value} if contains else {"exact": value}
    return {"name": name, "string_match": {**how, "ignore_case": True}}


def _regex_rewrite(pattern: Pattern, destination: str) -> Json:
    return {
        "pattern": {"regex": f"^{pattern.regex}$"},
        "substitution": pattern.substitution(destination),
    }


def _header(name: str, value: str) -> Json:
    return {
        "header": {"key": name, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
