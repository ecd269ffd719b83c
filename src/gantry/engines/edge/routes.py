"""Sites as Envoy virtual hosts. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gantry.config.patterns import WHOLE_URL
from gantry.config.routes import MAX_HEADERS
from gantry.engines.assets.protocol import HEADER as ASSETS_HEADER, MISSING as ASSETS_MISSING
from gantry.engines.edge import pages
from gantry.engines.edge.headers import (
    CLOSED_ROUTE,
    HTTPS_PORT,
    RulesByRoute,
    count,
    header,
    notes,
    response_headers,
)
from gantry.engines.edge.limits import limits, visitor_notes
from gantry.engines.edge.patterns import PathRegex, compile_pattern
from gantry.engines.edge.protocol import EdgeConfig, Redirect, Rewrite, Site, Timeouts
from gantry.engines.edge.script import MARK, merged, must_merge, strong_tags
from gantry.engines.edge.visitors import (
    Side,
    asset_destinations,
    by_address,
    by_side,
    cached_destinations,
    destinations,
    sides,
    tries,
)
from gantry.kernel.edge_names import (
    AWAY,
    BACKEND_HEADER,
    COPIES_HEADER,
    REASON_HEADER,
    RESULT_HEADER,
    members,
)
from gantry.kernel.errors import UserError
from gantry.kernel.names import RELEASE_HEADER

Json = dict[str, Any]

Rewritten = tuple[list[Json], Json, Json]
"""Header matches of a rewrite, its action, and what its route says besides."""

CHALLENGE_PATH = "/.well-known/acme-challenge/"
_CODES: Mapping[int, str] = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}
# Tells the product that nobody will see its answer.
MIRROR_HEADER = "x-gantry-mirror"
_SAFE: Json = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}
_HAS_QUERY: Json = {"name": ":path", "string_match": {"contains": "?"}}
_WEAK_TAG: Json = {"name": "if-match", "string_match": {"contains": 'W/"'}}
_RETRY_UNSENT = "connect-failure,refused-stream,reset-before-request"
_RETRY_SAFE = f"{_RETRY_UNSENT},reset"
_BACK_OFF: Json = {"base_interval": "0.025s", "max_interval": "0.5s"}
# A process that is killed loses its connections before the socket that it listens on, which still takes new ones for a
# moment: the only further try should come later, anywhere in this time.
_LATER: Json = {"base_interval": "0.2s", "max_interval": "0.5s"}
_NEXT_ONE: Json = {
    "name": "envoy.retry_priorities.previous_priorities",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.retry.priority"
        ".previous_priorities.v3.PreviousPrioritiesConfig",
        "update_frequency": 1,
    },
}
# A WebSocket that says nothing at all for an hour is gone, and so is what the edge asks itself.
_SOCKET_IDLE_S = 3600.0
# Tries to connect bridge the restart of a single instance, three seconds in the mean.
_MAX_CONNECTS = 16


def https_virtual_hosts(config: EdgeConfig, https_port: int) -> list[Json]:
    """Every site, and a page for names that no site has."""
    hosts = [_site(site, https_port) for site in config.sites]
    page = _pages(404, pages.UNKNOWN_HOST, pages.unknown_host(), pages.unknown_host_json())
    return [*hosts, {"name": "unknown", "domains": ["*"], "routes": page}]


def http_virtual_hosts(config: EdgeConfig, https_port: int) -> list[Json]:
    """Answers to ACME challenges; everything else is sent to https."""
    challenges = [
        {
            "match": {"path": f"{CHALLENGE_PATH}{token}"},
            "direct_response": {"status": 200, "body": {"inline_string": answer}},
            "response_headers_to_add": [header("content-type", "text/plain")],
        }
        for token, answer in sorted(config.acme_challenges.items())
    ]
    to_https = {
        "match": {"prefix": "/"},
        "redirect": {
            "https_redirect": True,
            # Envoy writes a port that it is told, also the one that every browser takes.
            **({} if https_port == HTTPS_PORT else {"port_redirect": https_port}),
            "response_code": "PERMANENT_REDIRECT",
        },
    }
    return [{"name": "http", "domains": ["*"], "routes": [*challenges, to_https]}]


def _site(site: Site, https_port: int) -> Json:
    host = {"name": site.hosts[0], "domains": list(site.hosts)}
    if site.backend is None:
        page = pages.NOTHING_LIVE, pages.nothing_live(site.title), pages.nothing_live_json()
        return {**host, **_unless_closed(site, {"routes": _pages(503, *page)})}
    rules = _header_rules(site)
    cached = any(side.site.cached for side in sides(site))
    return {
        **host,
        **_unless_closed(site, by_side(site, _routes)),
        "response_headers_to_add": response_headers(site, rules, https_port, cached=cached),
        "typed_per_filter_config": {**notes(rules, visitor_notes(site)), **limits(site)},
    }


def _unless_closed(site: Site, routes: Json) -> Json:
    """The routes or matcher of a site, or the page of a closed one for everybody whom it does not let through."""
    closed = site.closed
    if closed is None:
        return routes
    bodies = pages.closed(closed.title, closed.message), pages.closed_json(closed.message)
    page = _pages(503, pages.SITE_CLOSED, *bodies, retry_s=pages.CLOSED_RETRY_S)
    named = [{"name": CLOSED_ROUTE, **_with_release(route, site.release)} for route in page]
    return by_address(closed.allowed, allowed=routes, others=named)


def _with_release(route: Json, release: str) -> Json:
    """The page says what is behind it, so that a switch of releases can be confirmed from outside."""
    if not release:
        return route
    added = [*route["response_headers_to_add"], header(RELEASE_HEADER, release)]
    return {**route, "response_headers_to_add": added}


def _routes(side: Side) -> list[Json]:
    site = side.site
    rewrites: tuple[Rewrite | None, ...] = (*site.rewrites, None)
    return [
        *(route for redirect in site.redirects for route in _redirect(site, redirect)),
        # As on Vercel, a file that is there comes before rewrites.
        *_assets(side),
        *(route for rewrite in rewrites for route in _pass_on(side, rewrite)),
    ]


def _header_rules(site: Site) -> RulesByRoute:
    """Those of each side, where they differ and Envoy takes as many."""
    found = {side.name: side.site.headers for side in sides(site)}
    if len(set(found.values())) == 1:
        return {"": next(iter(found.values()))}
    return found if count(found) <= MAX_HEADERS else {"": site.headers}


def _pages(status: int, reason: str, html: str, json: str, *, retry_s: int = 5) -> list[Json]:
    """One page for everything that is asked: for programs, and for people."""
    wants_json = _header_match("accept", "application/json", contains=True)
    return [
        {
            "match": match,
            "direct_response": {"status": status, "body": {"inline_string": body}},
            "response_headers_to_add": [
                header("content-type", content_type),
                header("cache-control", "no-store"),
                header(REASON_HEADER, reason),
                header("retry-after", f"{retry_s}"),
            ],
        }
        for match, content_type, body in (
            ({"prefix": "/", "headers": [wants_json]}, "application/json", json),
            ({"prefix": "/"}, "text/html; charset=utf-8", html),
        )
    ]


def _redirect(site: Site, redirect: Redirect) -> Iterator[Json]:
    pattern = compile_pattern(redirect.source)
    action: Json = {"response_code": _CODES[redirect.status]}
    target = redirect.destination
    if (url := WHOLE_URL.fullmatch(target)) is not None:
        scheme, host, port, rest = url.groups()
        action |= {"scheme_redirect": scheme, "host_redirect": host}
        if port is not None:
            action["port_redirect"] = int(port)
        target = rest if rest.startswith("/") else f"/{rest}"
    headers = [_host_match(redirect.host)] if redirect.host else []
    if must_merge(target):
        yield {
            "match": _redirected(pattern, [*headers, _HAS_QUERY]),
            "redirect": {**action, **_regex_rewrite(pattern, target)},
            **merged(target),
            **_own_answer(site),
        }
    yield {
        "match": _redirected(pattern, headers),
        "redirect": {**action, **_regex_rewrite(pattern, target)},
        **_own_answer(site),
    }


def _redirected(pattern: PathRegex, headers: list[Json]) -> Json:
    return {
        "safe_regex": {"regex": pattern.regex},
        **({"headers": headers} if headers else {}),
    }


def _own_answer(site: Site) -> Json:
    """No instance is asked that could say whose rule it is."""
    if not site.release:
        return {}
    return {"response_headers_to_add": [header(RELEASE_HEADER, site.release)]}


def _pass_on(side: Side, rewrite: Rewrite | None) -> Iterator[Json]:
    rewritten = tuple(_rewritten(rewrite)) if rewrite is not None else (([], {}, {}),)
    for rule in side.site.path_timeouts:
        matched = _path_match(compile_pattern(rule.source).regex)
        for path, action, besides in rewritten:
            for route in _by_kind(side, rule.timeouts, [*path, matched], action):
                yield {**route, **besides}
    for path, action, besides in rewritten:
        for route in _by_kind(side, side.site.timeouts, path, action):
            yield {**route, **besides}


def _by_kind(side: Side, timeouts: Timeouts, path: list[Json], action: Json) -> Iterator[Json]:
    """WebSockets, requests that may be repeated, and all others.

    Envoy tries one after the other for each request: what rules most requests out quickest comes first in each, and
    the regular expression of `path` last.
    """
    site = side.site
    upgrade = _header_match("upgrade", "websocket")
    plain, safe = list(destinations(side, safe=False)), list(destinations(side, safe=True))
    cached = list(cached_destinations(side))
    socket = replace(timeouts, idle_s=max(timeouts.idle_s, _SOCKET_IDLE_S))
    for before, after, allowed, more, where in (
        ([upgrade], [], socket, {}, plain),
        (_streams(site), [_SAFE], timeouts, {}, safe if _streams(site) else []),
        ([], [_SAFE, *_cached(site)], timeouts, {}, cached),
        ([], [_SAFE], timeouts, _mirror(site), safe),
        ([_WEAK_TAG], [], timeouts, {}, plain),
        ([], [], timeouts, {}, plain),
    ):
        copies = _copies(site) if where is cached else []
        away = _header_match(RESULT_HEADER, AWAY) if where is cached else None
        for headers, query, destination, added in where:
            retry = (
                _retry_unsent(fall_back=tries(destination) > 1)
                if where is plain
                else _retry_once_more(tries(destination), missing=away)
            )
            yield {
                "match": {
                    "prefix": "/",
                    "headers": [*before, *headers, *after, *path],
                    **({"query_parameters": query} if query else {}),
                },
                "route": {**destination, **_waits(allowed, retry), **action, **more},
                **({"request_headers_to_add": [*added, *copies]} if added or copies else {}),
                **(strong_tags() if _WEAK_TAG in before else {}),
            }


def _streams(site: Site) -> list[Json]:
    """Event streams are neither kept nor copied, where the edge does either."""
    if site.mirror is None and not site.cached:
        return []
    return [_header_match("accept", "text/event-stream", contains=True)]


def _waits(timeouts: Timeouts, retry_policy: Json) -> Json:
    """A response may take as long as it moves; what is bounded is the silence.

    Envoy has one bound for the silence of a stream from its first byte to its last; a shorter one for the first byte of
    the answer is that of a try, which Envoy ignores once an answer has begun.
    """
    first, silence = timeouts.response_s, max(timeouts.response_s, timeouts.idle_s)
    if first < silence:
        retry_policy = {**retry_policy, "per_try_timeout": _seconds(first)}
    return {"timeout": "0s", "idle_timeout": _seconds(silence), "retry_policy": retry_policy}


def _copies(site: Site) -> list[Json]:
    """Not of what visitors ask, which the cache answers for the current release: of what the cache asks."""
    return [] if site.mirror is None else [header(COPIES_HEADER, site.mirror)]


def _cached(site: Site) -> Iterator[Json]:
    """The visitor's path is one whose answers may be kept; a rewrite comes later."""
    if site.cached:
        yield _path_match("|".join(compile_pattern(source).regex for source in site.cached))


def inner_route() -> Json:
    """Of the listener that the cache asks: the request says where it is to go."""
    return {
        "match": {"prefix": "/"},
        "route": {
            "cluster_header": BACKEND_HEADER,
            # The visitor's own route bounds the silence.
            **_waits(Timeouts(_SOCKET_IDLE_S, _SOCKET_IDLE_S), _retry_once_more(2)),
            "request_mirror_policies": [_copy({"cluster_header": COPIES_HEADER})],
        },
    }


def _assets(side: Side) -> Iterator[Json]:
    """Files: from the store, and from an instance where the store says that it has none of that name, or is away."""
    site = side.site
    if site.assets is None:
        return
    missing = _header_match(ASSETS_HEADER, ASSETS_MISSING)
    for prefix in site.assets.prefixes:
        for whose, headers, query, cluster in asset_destinations(side):
            yield {
                "match": {
                    "prefix": f"{prefix}/",
                    "headers": [_SAFE, *headers],
                    **({"query_parameters": query} if query else {}),
                },
                "route": {
                    "cluster": cluster,
                    **_waits(
                        site.timeouts,
                        _retry_once_more(len(members(cluster)), missing=missing),
                    ),
                },
                "request_headers_to_add": [header(ASSETS_HEADER, whose)],
            }


def _mirror(site: Site) -> Json:
    if site.mirror is None:
        return {}
    return {"request_mirror_policies": [_copy({"cluster": site.mirror})]}


def _copy(whereto: Json) -> Json:
    return {
        **whereto,
        "disable_shadow_host_suffix_append": True,
        "request_headers_mutations": [
            {"append": header(MIRROR_HEADER, "1")},
            {"remove": COPIES_HEADER},
        ],
    }


def _rewritten(rewrite: Rewrite) -> Iterator[Rewritten]:
    if not rewrite.destination.startswith("/"):
        raise UserError(
            "route.bad-rewrite",
            f"a rewrite stays inside the product, but {rewrite.source} leads to {rewrite.destination}",
            hint="write a path that begins with /, or a redirect",
        )
    # A fragment never reaches a server.
    destination = rewrite.destination.partition("#")[0].rstrip("?&")
    pattern = compile_pattern(rewrite.source, spare=must_merge(destination))
    path = _path_match(pattern.regex)
    headers = [_host_match(rewrite.host)] if rewrite.host else []
    if must_merge(destination):
        action = _regex_rewrite(pattern, destination, brings_query=True)
        yield [_HAS_QUERY, *headers, path], action, merged(destination, rewrites=True)
    yield [*headers, path], _regex_rewrite(pattern, destination), {}


def _retry_unsent(*, fall_back: bool) -> Json:
    """What was not sent may be tried until somebody takes it: on another instance where there is one; of a canary, on the
    current release where the candidate has none.
    """
    policy: Json = {
        "retry_on": _RETRY_UNSENT,
        "num_retries": _MAX_CONNECTS,
        "retry_back_off": _BACK_OFF,
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
    return {**policy, "retry_priority": _NEXT_ONE} if fall_back else policy


def _retry_once_more(backends: int, *, missing: Json | None = None) -> Json:
    """Each backend once. The last is a bridge, which tries to connect as often as it takes, and sends once: so a request
    that ends its instance reaches two, and one that finds its instance gone is answered when it is back.

    Parameters:
        backends: how many the cluster joins.
        missing: the header of an answer that is none: what was asked is not there.
    """
    policy: Json = {
        "retry_on": _RETRY_SAFE,
        "num_retries": backends - 1,
        "retry_back_off": _BACK_OFF if missing is not None else _LATER,
        "retry_priority": _NEXT_ONE,
    }
    if missing is not None:
        policy["retry_on"] = f"{_RETRY_SAFE},retriable-headers"
        policy["retriable_headers"] = [missing]
    return policy


def _header_match(name: str, value: str, *, contains: bool = False) -> Json:
    how: Json = {"contains": value} if contains else {"exact": value}
    return {"name": name, "string_match": {**how, "ignore_case": True}}


def _path_match(regex: str) -> Json:
    """The path, whatever the query."""
    return {
        "name": ":path",
        "string_match": {"safe_regex": {"regex": rf"(?:{regex})(?:\?.*)?"}},
    }


def _host_match(host: str) -> Json:
    """The name that the visitor asked for, with or without the port."""
    regex = rf"{re.escape(host)}(?::[0-9]+)?"
    return {
        "name": ":authority",
        "string_match": {"safe_regex": {"regex": f"(?i){regex}"}},
    }


def _regex_rewrite(pattern: PathRegex, destination: str, *, brings_query: bool = False) -> Json:
    """How the path changes.

    Parameters:
        brings_query: the path has the visitor's query behind a mark.
    """
    regex, substitution = pattern.regex, pattern.substitution(destination)
    if brings_query:
        regex = f"{regex}(?:{MARK}(.*))?"
        substitution = f"{substitution}\\{pattern.last_group + 1}"
    return {"regex_rewrite": {"pattern": {"regex": f"^{regex}$"}, "substitution": substitution}}


def _seconds(seconds: float) -> str:
    return f"{seconds:g}s"
