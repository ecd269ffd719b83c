"""Which backend a request goes to: pages of older builds, visitors of a canary, everybody else. Pure.

A canary needs no code in the way of a request. A visitor without a valid cookie is sent to one of as many weighted
entries as there are buckets, and each entry sets the cookie of its bucket; a visitor with one is matched by a regular
expression of all valid cookies of their side. Whoever changes their cookie is drawn anew.

Where the candidate has rules of its own, a visitor's side is found first: each side then has routes of its own. Envoy
tries routes one after the other, so a table for both sides would ask of each route whose it is. A matcher asks once.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from gantry.engines.edge.headers import CLOSED_ROUTE, header
from gantry.engines.edge.protocol import ASSETS, CACHE, Canary, Pin, Site, network_of
from gantry.kernel.edge_names import BACKEND_HEADER, bridge, is_joined, members, or_else

Json = dict[str, Any]

COOKIE = "gantry-rollout"
CANDIDATE, CURRENT = "candidate", "current"
# Where a connection keeps the address that the edge itself sees at its other end. The route table can read it, and no
# header of a request comes near it; Envoy gives a visitor from 127.0.0.1 the machine's own address in `x-forwarded-for`.
ADDRESS_STATE = "gantry.address"
_COOKIE_LIFE_S = 24 * 3600
_SIGNATURE_DIGITS = 16
_APART = "~"
_DEPLOYMENT_HEADER = "x-deployment-id"
_DEPLOYMENT_QUERY = "dpl"
_TYPE = "type.googleapis.com/"
_MATCHERS = "envoy.extensions.matching.input_matchers"


@dataclass(frozen=True, slots=True)
class Side:
    """What some visitors of a site get.

    Attributes:
        site: with the rules that hold for them.
        name: of their routes; empty where the site has one side only.
        buckets: of the site's canary, those of these visitors.
    """

    site: Site
    name: str = ""
    buckets: range = range(0)


Destination = tuple[list[Json], list[Json], Json, list[Json]]
"""Header matches, query matches, where to, and request headers to add."""


def sides(site: Site) -> tuple[Side, ...]:
    """All visitors together, or those of the candidate and then all others, where their rules differ."""
    canary = site.canary
    if canary is None:
        return (Side(site),)
    share = share_of(canary)
    if canary.rules is None:
        return (Side(site, buckets=range(canary.buckets)),)
    rules = canary.rules
    theirs = replace(
        site,
        release=canary.candidate,
        redirects=rules.redirects,
        rewrites=rules.rewrites,
        headers=rules.headers,
        cached=rules.cached,
        timeouts=rules.timeouts,
        path_timeouts=rules.path_timeouts,
    )
    both = (
        Side(theirs, CANDIDATE, range(share)),
        Side(site, CURRENT, range(share, canary.buckets)),
    )
    return tuple(side for side in both if side.buckets)


def by_side(site: Site, routes: Callable[[Side], list[Json]]) -> Json:
    """The routes of a virtual host, or the matcher that finds them."""
    found = sides(site)
    if len(found) == 1:
        return {"routes": routes(found[0])}
    assert site.canary is not None, "only a canary has two sides"
    candidate, current = ({"action": _route_list(side.name, routes(side))} for side in found)
    theirs = {"predicate": _is_candidates(site.canary, found[0].buckets), "on_match": candidate}
    return {"matcher": {"matcher_list": {"matchers": [theirs]}, "on_no_match": current}}


def by_address(networks: tuple[str, ...], *, allowed: Json, others: list[Json]) -> Json:
    """The routes of a virtual host that depend on where a visitor comes from.

    Parameters:
        allowed: routes, or the matcher that finds them, for visitors from these networks.
    """
    if not networks:
        return {"routes": others}
    ranges = [
        {"address_prefix": str(network.network_address), "prefix_len": network.prefixlen}
        for network in map(network_of, networks)
    ]
    found = {"action": _route_list("", allowed["routes"])} if "routes" in allowed else allowed
    trie = {
        "@type": f"{_TYPE}xds.type.matcher.v3.IPMatcher",
        "range_matchers": [{"ranges": ranges, "on_match": found}],
    }
    address = {
        "@type": f"{_TYPE}envoy.extensions.matching.common_inputs.network.v3.FilterStateInput",
        "key": ADDRESS_STATE,
    }
    tree = {
        "input": {"name": "address", "typed_config": address},
        "custom_match": {"name": "networks", "typed_config": trie},
    }
    return {
        "matcher": {
            "matcher_tree": tree,
            "on_no_match": {"action": _route_list(CLOSED_ROUTE, others)},
        }
    }


def destinations(side: Side, *, safe: bool) -> Iterator[Destination]:
    """In the order in which they are tried.

    Parameters:
        safe: for requests that change nothing, which may be tried again. The others never leave the build that their
            page was made by.
    """
    for headers, query, destination, added in _destinations(side, safe=safe):
        yield headers, query, _patient(destination) if safe else destination, added


def _patient(destination: Json) -> Json:
    """Where a request is tried once more after it has failed."""
    if "cluster" in destination:
        return {"cluster": patient(destination["cluster"])}
    entries = destination["weighted_clusters"]["clusters"]
    named = [{**entry, "name": patient(entry["name"])} for entry in entries]
    return {"weighted_clusters": {"clusters": named}}


def patient(cluster: str) -> str:
    """Name of the cluster whose last try waits for an instance, as long as a restart takes (decision 0100)."""
    *others, last = members(cluster)
    name = bridge(last)
    for other in reversed(others or [last]):
        name = or_else(other, name)
    return name


def _destinations(side: Side, *, safe: bool) -> Iterator[Destination]:
    site = side.site
    assert site.backend is not None, "a site without a backend has a page"
    for pin in site.pins:
        cluster = _pinned(pin, site.backend) if safe else pin.backend
        for headers, query in _of_page(pin):
            yield headers, query, {"cluster": cluster}, []
    if site.canary is not None:
        yield from _divided(site.canary, site.backend, side.buckets)
    else:
        yield [], [], {"cluster": _cluster(site)}, []


def cached_destinations(side: Side) -> Iterator[Destination]:
    """The same by way of the cache, which is told where it would have been; without paths that may be kept, none."""
    if not side.site.cached:
        return
    for headers, query, destination, _ in destinations(side, safe=True):
        if "cluster" in destination:
            cluster = destination["cluster"]
            asked = [header(BACKEND_HEADER, cluster)]
            yield headers, query, {"cluster": or_else(CACHE, cluster)}, asked
            continue
        entries = [
            {
                **entry,
                "name": or_else(CACHE, entry["name"]),
                "request_headers_to_add": [header(BACKEND_HEADER, entry["name"])],
            }
            for entry in destination["weighted_clusters"]["clusters"]
        ]
        yield headers, query, {"weighted_clusters": {"clusters": entries}}, []


def asset_destinations(side: Side) -> Iterator[tuple[str, list[Json], list[Json], str]]:
    """In the order in which they are tried: whose files, header matches, query matches, and the cluster.

    A visitor who was not drawn yet is not drawn here: they came for a page before, or will.
    """
    site = side.site
    assert site.backend is not None and site.assets is not None, "asked for sites with assets only"
    for pin in site.pins:
        for headers, query in _of_page(pin):
            whose = pin.assets or site.assets.whose
            cluster = patient(_pinned(pin, site.backend))
            yield whose, headers, query, or_else(ASSETS, cluster)
    if site.canary is not None:
        theirs, _ = _parts(site.canary, side.buckets)
        if theirs:
            candidate = with_fallback(site.canary, site.backend)
            carries = _carries(site.canary, theirs)
            yield site.assets.whose, [carries], [], or_else(ASSETS, patient(candidate))
    yield site.assets.whose, [], [], or_else(ASSETS, patient(_cluster(site)))


def joined(site: Site) -> Iterator[str]:
    """Every cluster of `site` that is several backends, each for when those before it have no answer."""
    if site.backend is None:
        return
    for side in sides(site):
        for _, _, destination, _ in (
            *destinations(side, safe=True),
            *destinations(side, safe=False),
            *cached_destinations(side),
        ):
            yield from (cluster for cluster in _clusters(destination) if is_joined(cluster))
        if site.assets is not None:
            yield from (cluster for _, _, _, cluster in asset_destinations(side))


def tries(destination: Json) -> int:
    """How many backends are asked, one where those before it have no answer."""
    return max(len(members(cluster)) for cluster in _clusters(destination))


def with_fallback(canary: Canary, current: str) -> str:
    """Name of the cluster that tries the candidate, and the current release where the candidate cannot answer."""
    return or_else(canary.candidate, current)


def apart(backend: str) -> str:
    """Name of the cluster with the same instances and counters of its own."""
    return f"{backend}{_APART}"


def counts_as(cluster: str) -> str:
    """The backend whose instances a cluster, which is no joined one, has."""
    return cluster.removesuffix(_APART)


def is_apart(cluster: str) -> bool:
    """Whether a cluster counts what is no visitor's."""
    return cluster.endswith(_APART)


def share_of(canary: Canary) -> int:
    """How many buckets are the candidate's."""
    return canary.percent * canary.buckets // 100


def cookies(canary: Canary, buckets: range) -> str:
    """A regular expression of the `cookie` headers that say one of these buckets."""
    values = "|".join(re.escape(token(canary, bucket)) for bucket in buckets)
    return rf"(?:.*;\s*)?{COOKIE}=(?:{values})(?:;.*)?"


def _cluster(site: Site) -> str:
    assert site.backend is not None, "a site without a backend has a page"
    return apart(site.backend) if site.apart else site.backend


def token(canary: Canary, bucket: int) -> str:
    """Value of the cookie of one bucket."""
    message = f"{canary.name}:{bucket}".encode()
    signature = hmac.new(canary.key, message, hashlib.sha256).hexdigest()[:_SIGNATURE_DIGITS]
    return f"{bucket}.{signature}"


def _pinned(pin: Pin, current: str) -> str:
    """Where pages of an older build ask, and whom they ask where nobody of its release is there any more."""
    return pin.backend if pin.backend == current else or_else(pin.backend, current)


def _clusters(destination: Json) -> Iterator[str]:
    if "cluster" in destination:
        yield destination["cluster"]
    else:
        yield from (entry["name"] for entry in destination["weighted_clusters"]["clusters"])


def _of_page(pin: Pin) -> Iterator[tuple[list[Json], list[Json]]]:
    """Header and query matches of what a page of that build asks for."""
    not_a_document = [
        _header("sec-fetch-dest", {"exact": "document"}, invert=True),
        _header("sec-fetch-mode", {"exact": "navigate"}, invert=True),
    ]
    yield [_header(_DEPLOYMENT_HEADER, {"exact": pin.deployment}), *not_a_document], []
    without = {"name": _DEPLOYMENT_HEADER, "present_match": False}
    asked = {"name": _DEPLOYMENT_QUERY, "string_match": {"exact": pin.deployment}}
    yield [without, *not_a_document], [asked]


def _divided(canary: Canary, current: str, buckets: range) -> Iterator[Destination]:
    candidate, share = with_fallback(canary, current), share_of(canary)
    theirs, others = _parts(canary, buckets)
    if theirs:
        yield [_carries(canary, theirs)], [], {"cluster": candidate}, []
    if others:
        yield [_carries(canary, others)], [], {"cluster": current}, []
    entries = [
        {
            "name": candidate if bucket < share else current,
            "weight": 1,
            "response_headers_to_add": [_cookie(token(canary, bucket))],
        }
        for bucket in buckets
    ]
    yield [], [], {"weighted_clusters": {"clusters": entries}}, []


def _parts(canary: Canary, buckets: range) -> tuple[range, range]:
    """Those of the candidate, and the others."""
    share = share_of(canary)
    return (
        range(buckets.start, min(buckets.stop, share)),
        range(max(buckets.start, share), buckets.stop),
    )


def _carries(canary: Canary, buckets: range) -> Json:
    return _header("cookie", {"safe_regex": {"regex": cookies(canary, buckets)}})


def _cookie(value: str) -> Json:
    attributes = f"Path=/; Max-Age={_COOKIE_LIFE_S}; HttpOnly; Secure; SameSite=Lax"
    return {
        **header("set-cookie", f"{COOKIE}={value}; {attributes}"),
        "append_action": "APPEND_IF_EXISTS_OR_ADD",
    }


def _header(name: str, how: Json, *, invert: bool = False) -> Json:
    match: Json = {"name": name, "string_match": how}
    if invert:
        # A header that is not there is neither of the two.
        match |= {"invert_match": True, "treat_missing_header_as_empty": True}
    return match


def _route_list(name: str, routes: list[Json]) -> Json:
    named = [{"name": name, **route} for route in routes] if name else routes
    return {
        "name": name or "routes",
        "typed_config": {"@type": f"{_TYPE}envoy.config.route.v3.RouteList", "routes": named},
    }


def _is_candidates(canary: Canary, buckets: range) -> Json:
    """The visitor has a cookie that says so; or none that is valid, and is drawn."""
    valid = _has_cookie(canary, range(canary.buckets))
    drawn = {"and_matcher": {"predicate": [{"not_matcher": valid}, _is_drawn(canary)]}}
    return {"or_matcher": {"predicate": [_has_cookie(canary, buckets), drawn]}}


def _has_cookie(canary: Canary, buckets: range) -> Json:
    regex = {"google_re2": {}, "regex": cookies(canary, buckets)}
    header_value = {"input": _header_input("cookie"), "value_match": {"safe_regex": regex}}
    return {"single_predicate": header_value}


def _is_drawn(canary: Canary) -> Json:
    """By the request's random identity, which is never the visitor's own."""
    share = {"numerator": canary.percent, "denominator": "HUNDRED"}
    fraction = {
        "@type": f"{_TYPE}{_MATCHERS}.runtime_fraction.v3.RuntimeFraction",
        "runtime_fraction": {"default_value": share, "runtime_key": "edge.share"},
    }
    drawn = {"name": f"{_MATCHERS}.runtime_fraction", "typed_config": fraction}
    return {"single_predicate": {"input": _header_input("x-request-id"), "custom_match": drawn}}


def _header_input(name: str) -> Json:
    return {
        "name": name,
        "typed_config": {
            "@type": f"{_TYPE}envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
            "header_name": name,
        },
    }
