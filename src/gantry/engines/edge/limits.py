"""How often visitors may ask for some paths of a site. Pure.

Each limit is a filter of its own that is there for the sites that have as many, with a bucket for each visitor: so each has
its status, its `retry-after` and its own counter. A cookie or header that visitors are told apart by is noted first, by the
filter that notes paths (`headers.py`): Envoy's limits read no cookies. Who does not send it is told apart by address, or
leaving it out would be the way around.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from gantry.config.routes import MAX_LIMITS
from gantry.engines.edge.headers import header
from gantry.engines.edge.patterns import compile_pattern
from gantry.engines.edge.protocol import Limit, Site

Json = dict[str, Any]

# How Envoy calls the answer, which is how the page for it is found.
LIMITED_DETAILS = "local_rate_limited"
COUNTED = r"^limit\.[^.]+\.\d+\.http_local_rate_limit\.rate_limited$"
COUNTED_SUFFIX = ".http_local_rate_limit.rate_limited"
# Visitors that one limit knows at once; the one who was not seen for the longest is forgotten first.
_MAX_VISITORS = 10_000
_TYPE = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
_NOTES = "gantry.limits"
_ON, _VISITOR, _ADDRESS = "on", "visitor", "masked_remote_address"
# Of a long value its end: where it is signed, the beginning is the same for many.
_MAX_KEY_LENGTH = 128
_EVERY: Json = {"default_value": {"numerator": 100}}
_ENDLESS: Json = {"max_tokens": 2**32 - 1, "tokens_per_fill": 2**32 - 1, "fill_interval": "1s"}
_CODES = {429: "TooManyRequests", 503: "ServiceUnavailable"}


def limit_filters() -> list[Json]:
    """Are there for the sites that ask for them."""
    return [
        {
            "name": _name(number),
            "disabled": True,
            "typed_config": {"@type": _TYPE, "stat_prefix": "limit"},
        }
        for number in range(MAX_LIMITS)
    ]


def limits(site: Site) -> Json:
    """The filters' settings for a site.

    Raises:
        UserError: `route.bad-pattern`.
    """
    return {
        _name(number): _settings(limit, f"limit.{site.backend}.{number}", number)
        for number, limit in enumerate(site.limits)
    }


def visitor_notes(site: Site) -> list[Json]:
    """What the noting filter writes down of a request, for limits that tell visitors apart by a cookie or a header."""
    return [
        {
            limit.per: limit.name,
            "on_header_present": {
                "metadata_namespace": _NOTES,
                "key": str(number),
                "regex_value_rewrite": {
                    "pattern": {"regex": f"^.*?(.{{1,{_MAX_KEY_LENGTH}}})$"},
                    "substitution": r"\1",
                },
            },
        }
        for number, limit in enumerate(site.limits)
        if limit.name
    ]


def refused(stats: Mapping[str, str]) -> Mapping[str, Mapping[int, int]]:
    """Release -> number of a limit -> requests that it refused, of Envoy's statistics that match `COUNTED`."""
    found: dict[str, Counter[int]] = {}
    for name, value in stats.items():
        _, release, number, *_ = name.split(".")
        found.setdefault(release, Counter())[int(number)] += int(value)
    return found


def _name(number: int) -> str:
    return f"gantry.limit.{number}"


def _settings(limit: Limit, stat_prefix: str, number: int) -> Json:
    bucket = {
        "max_tokens": limit.burst,
        "tokens_per_fill": limit.requests,
        "fill_interval": f"{limit.period_s:g}s",
    }
    keys = [_VISITOR, _ADDRESS] if limit.name else [_ADDRESS]
    return {
        "@type": _TYPE,
        "stat_prefix": stat_prefix,
        "status": {"code": _CODES[limit.status]},
        "filter_enabled": _EVERY,
        "filter_enforced": _EVERY,
        # Of requests that no limit is for.
        "token_bucket": _ENDLESS,
        "always_consume_default_token_bucket": False,
        "max_dynamic_descriptors": _MAX_VISITORS,
        "descriptors": [
            {"entries": [{"key": _ON, "value": _ON}, {"key": key}], "token_bucket": bucket}
            for key in keys
        ],
        "rate_limits": [{"actions": actions} for actions in _actions(limit, number)],
        "response_headers_to_add": [
            header("retry-after", str(math.ceil(limit.period_s / limit.requests)))
        ],
    }


def _actions(limit: Limit, number: int) -> Iterator[list[Json]]:
    """What a request counts for; nothing where one of a list does not apply."""
    path = {
        "name": ":path",
        "string_match": {
            "safe_regex": {"regex": rf"(?:{compile_pattern(limit.source).regex})(?:\?.*)?"}
        },
    }
    address = {_ADDRESS: {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}}
    if not limit.name:
        yield [_on([path]), address]
        return
    noted = {
        "descriptor_key": _VISITOR,
        "metadata_key": {"key": _NOTES, "path": [{"key": str(number)}]},
        "source": "DYNAMIC",
        "skip_if_absent": False,
    }
    yield [_on([path]), {"metadata": noted}]
    yield [_on([path, _without(limit)]), address]


def _on(matches: list[Json]) -> Json:
    return {
        "header_value_match": {
            "descriptor_key": _ON,
            "descriptor_value": _ON,
            "headers": matches,
        }
    }


def _without(limit: Limit) -> Json:
    """The request does not have what its visitors are told apart by, or has it empty."""
    if limit.per == "header":
        how = {"name": limit.name, "string_match": {"safe_regex": {"regex": ".+"}}}
    else:
        pattern = rf"(?:.*;\s*)?{re.escape(limit.name)}=[^;]+.*"
        how = {"name": "cookie", "string_match": {"safe_regex": {"regex": pattern}}}
    return {**how, "invert_match": True, "treat_missing_header_as_empty": True}
