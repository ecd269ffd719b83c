"""Routes of a site whose candidate has rules of its own: the visitor's side is found first, then what it says. Pure.

Envoy tries routes one after the other, so a table for both sides would ask of each route whose it is. A matcher asks once.
"""

from collections.abc import Callable
from typing import Any

from gantry.engines.edge.protocol import Canary, Site
from gantry.engines.edge.visitors import Side, cookies, sides

Json = dict[str, Any]

_TYPE = "type.googleapis.com/"
_MATCHERS = "envoy.extensions.matching.input_matchers"


def by_side(site: Site, routes: Callable[[Side], list[Json]]) -> Json:
    """The routes of a virtual host, or the matcher that finds them."""
    found = sides(site)
    if len(found) == 1:
        return {"routes": routes(found[0])}
    assert site.canary is not None, "only a canary has two sides"
    candidate, current = ({"action": _routes(side, routes(side))} for side in found)
    theirs = {"predicate": _is_candidates(site.canary, found[0].buckets), "on_match": candidate}
    return {"matcher": {"matcher_list": {"matchers": [theirs]}, "on_no_match": current}}


def _routes(side: Side, routes: list[Json]) -> Json:
    named = [{"name": side.name, **route} for route in routes]
    return {
        "name": side.name,
        "typed_config": {"@type": f"{_TYPE}envoy.config.route.v3.RouteList", "routes": named},
    }


def _is_candidates(canary: Canary, buckets: range) -> Json:
    """He has a cookie that says so; or none that is valid, and is drawn."""
    anybody = _carries(canary, range(canary.buckets))
    drawn = {"and_matcher": {"predicate": [{"not_matcher": anybody}, _drawn(canary)]}}
    return {"or_matcher": {"predicate": [_carries(canary, buckets), drawn]}}


def _carries(canary: Canary, buckets: range) -> Json:
    regex = {"google_re2": {}, "regex": cookies(canary, buckets)}
    return {"single_predicate": {"input": _input("cookie"), "value_match": {"safe_regex": regex}}}


def _drawn(canary: Canary) -> Json:
    """By the request's random identity, which is never the visitor's own."""
    share = {"numerator": canary.percent, "denominator": "HUNDRED"}
    fraction = {
        "@type": f"{_TYPE}{_MATCHERS}.runtime_fraction.v3.RuntimeFraction",
        "runtime_fraction": {"default_value": share, "runtime_key": "edge.share"},
    }
    drawn = {"name": f"{_MATCHERS}.runtime_fraction", "typed_config": fraction}
    return {"single_predicate": {"input": _input("x-request-id"), "custom_match": drawn}}


def _input(name: str) -> Json:
    return {
        "name": name,
        "typed_config": {
            "@type": f"{_TYPE}envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
            "header_name": name,
        },
    }
