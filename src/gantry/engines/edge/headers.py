"""Response headers as Envoy adds them. Pure.

A rule for some paths has two parts. A filter notes which rules match the visitor's path; then an expression (CEL) gives
the value where that was noted and nothing elsewhere, and Envoy adds no header without a value. So a rule costs two lines,
however many there are. The expressions could match by themselves, but only patterns of at most 100 instructions.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gantry.config.routes import MAX_HEADERS
from gantry.engines.edge.patterns import compile_pattern
from gantry.engines.edge.protocol import HeaderRule, Site
from gantry.kernel.errors import UserError
from gantry.kernel.names import RELEASE_HEADER
from gantry.kernel.units import counted

Json = dict[str, Any]

_STRICT_TRANSPORT_S = 365 * 24 * 3600
HTTPS_PORT = 443
_EVERYWHERE = frozenset({"/(.*)", "/:path*"})
NOTE_FILTER = "envoy.filters.http.header_to_metadata"
_NOTE_TYPE = "type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config"
_NOTES = "gantry.headers"
_NOTED = "yes"
# An instance's name at the edge is that of its release; metadata would cost three times as much (decision 0024).
REACHED = "%UPSTREAM_HOST_NAME%"
# Empty for the cache, whose answers say themselves whose they are.
_REACHED_OR_KEPT = "%UPSTREAM_METADATA(gantry:release)%"
# Where an instance was chosen, and the edge answers in its place.
ANSWERED_BY_EDGE = "edge"
# Name of the routes of a closed site's page.
CLOSED_ROUTE = "closed"


RulesByRoute = Mapping[str, tuple[HeaderRule, ...]]
"""Name of some routes -> the rules for their answers. An empty name stands for all routes."""


def response_headers(
    site: Site, rules: RulesByRoute, https_port: int, *, cached: bool
) -> list[Json]:
    """All that is added to the answers of `site`; of two rules for one header and path the later wins.

    Parameters:
        cached: some answers may come from the cache.

    Raises:
        UserError: `route.too-many-headers`, `route.bad-pattern`.
    """
    added = [header(RELEASE_HEADER, _REACHED_OR_KEPT if cached else REACHED)]
    if site.noindex:
        added.append(header("x-robots-tag", "noindex"))
    if https_port == HTTPS_PORT and not any(_is_local(host) for host in site.hosts):
        # Browsers apply it to every port of the name, so it is only true where https has its own port.
        strict = header("strict-transport-security", f"max-age={_STRICT_TRANSPORT_S}")
        added.append({**strict, "append_action": "ADD_IF_ABSENT"})
    if count(rules) > MAX_HEADERS:
        raise UserError(
            "route.too-many-headers",
            f"{counted(count(rules), 'header')} for {site.hosts[0]}; the limit is {MAX_HEADERS}",
            hint="join rules, or set the headers in the product",
        )
    return added + [
        value
        for route, key, rule in _named(rules)
        for value in _of_rule(route, key, rule, closed=site.closed is not None)
    ]


def count(rules: RulesByRoute) -> int:
    """How many headers they are."""
    return sum(len(rule.headers) for _, _, rule in _named(rules))


def header(name: str, value: str) -> Json:
    """A header that replaces one of that name; `value` is a format of Envoy's."""
    return {
        "header": {"key": name, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def notes(rules: RulesByRoute, besides: Iterable[Json] = ()) -> Json:
    """The filter's settings for a site: which rules match the path that the visitor asked for.

    Parameters:
        besides: what else is to be noted of a request.

    Raises:
        UserError: `route.bad-pattern`.
    """
    noted = [
        {
            "header": ":path",
            "on_header_present": {
                "metadata_namespace": _NOTES,
                "key": key,
                # Where the pattern does not match, the path itself is noted.
                "regex_value_rewrite": {
                    "pattern": {"regex": rf"^(?:{compile_pattern(rule.source).regex})(?:\?.*)?$"},
                    "substitution": _NOTED,
                },
            },
        }
        for _, key, rule in _named(rules)
        if rule.source not in _EVERYWHERE
    ]
    noted += besides
    if not noted:
        return {}
    return {NOTE_FILTER: {"@type": _NOTE_TYPE, "request_rules": noted}}


def note_filter() -> Json:
    """Is there for sites that say what is to be noted."""
    return {"name": NOTE_FILTER, "typed_config": {"@type": _NOTE_TYPE}, "disabled": True}


def _named(rules: RulesByRoute) -> Iterator[tuple[str, str, HeaderRule]]:
    """Name of the routes, key of the note, and the rule."""
    for route, those in rules.items():
        for number, rule in enumerate(those):
            yield route, f"{route or 'rule'}-{number}", rule


def _of_rule(route: str, key: str, rule: HeaderRule, *, closed: bool) -> Iterator[Json]:
    when = []
    if closed:
        # The page is not the product's: it must not be kept, and its style is inline.
        when.append(f"xds.route_name != '{CLOSED_ROUTE}'")
    if route:
        when.append(f"xds.route_name == '{route}'")
    if rule.source not in _EVERYWHERE:
        when.append(f"metadata.filter_metadata['{_NOTES}']['{key}'] == '{_NOTED}'")
    for name, value in rule.headers:
        if when:
            yield header(name, f"%CEL({' && '.join(when)} ? {_quoted(value)} : '')%")
        else:
            yield header(name, value.replace("%", "%%"))


def _quoted(text: str) -> str:
    """A CEL string that holds no character that means something to Envoy's formats."""
    return (
        "'" + "".join(c if c.isalnum() and c.isascii() else f"\\u{ord(c):04x}" for c in text) + "'"
    )


def _is_local(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")
