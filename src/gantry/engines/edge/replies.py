"""What the edge answers by itself where Envoy would say a word or two, or nothing. Pure.

Each answer has words for people, JSON for programs, and a reason in `x-gantry-reason` that the access log keeps. What the
product answers is never touched.
"""

from dataclasses import dataclass
from typing import Any

from gantry.engines.edge import pages
from gantry.engines.edge.headers import ANSWERED_BY_EDGE, CLOSED_ROUTE, header
from gantry.engines.edge.limits import LIMITED_DETAILS
from gantry.engines.edge.shares import REFUSED_DETAILS
from gantry.kernel.edge_names import REASON_HEADER
from gantry.kernel.names import RELEASE_HEADER

Json = dict[str, Any]

_TYPE = "type.googleapis.com/"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class _Reply:
    """One kind of answer.

    Attributes:
        filter: when it is given; the first that fits counts.
        retry_s: when it is worth asking again; 0: not without a change.
        status: in place of Envoy's own.
    """

    filter: Json
    page: pages.Page
    retry_s: int = 0
    status: int = 0


def local_replies() -> Json:
    """Every answer of the edge's own."""
    mappers = [
        mapper for reply in _replies() for mapper in (_mapper(reply, _JSON), _mapper(reply, ""))
    ]
    return {
        "mappers": [
            *mappers,
            # A closed site's page names the release behind it.
            {"filter": _expression(f"xds.route_name == '{CLOSED_ROUTE}'")},
            # Pages of route tables, which bring their own words.
            {"filter": _status_from(400), "headers_to_add": [_by_edge()]},
        ]
    }


def _replies() -> tuple[_Reply, ...]:
    sends = _header_matches(":method", {"safe_regex": {"regex": "POST|PUT|PATCH"}})
    return (
        # Response timeout, silence, the request's own time; before others, which go with them after a second try.
        _Reply(_flags("UT", "SI", "DT"), pages.TOO_SLOW, retry_s=3),
        _Reply(_all(_flags("UC", "UR"), sends), pages.CUT),
        # The product's answer is no HTTP, or too long.
        _Reply(_flags("UPE"), pages.BAD_ANSWER, status=502),
        # Nobody healthy, connection failed or cut, tries used up, no such cluster, overflow, reset.
        _Reply(
            _flags("UH", "UF", "UC", "URX", "NC", "UO", "LR", "UR"), pages.UNAVAILABLE, retry_s=3
        ),
        # Envoy has no memory or connections left.
        _Reply(_flags("OM"), pages.BUSY, retry_s=10),
        _Reply(_status(421), pages.MISDIRECTED),
        _Reply(
            _expression(f"response.code_details == '{REFUSED_DETAILS}'"),
            pages.TOO_MANY_AT_ONCE,
            retry_s=5,
        ),
        # A limit of the site's own; its answer says when it is worth asking again.
        _Reply(_expression(f"response.code_details == '{LIMITED_DETAILS}'"), pages.LIMITED),
        _Reply(_status(431), pages.HEADERS_TOO_LARGE),
        _Reply(_status(408), pages.REQUEST_TOO_SLOW),
        _Reply(_all(_status(400), _not_direct()), pages.BAD_REQUEST),
        _Reply(_all(_status_from(400), _not_direct()), pages.REFUSED),
    )


def _mapper(reply: _Reply, accept: str) -> Json:
    matches = [reply.filter]
    if accept:
        matches.append(_header_matches("accept", {"contains": accept, "ignore_case": True}))
    body = reply.page.json if accept else reply.page.html
    added = [header("cache-control", "no-store"), _reason(reply.page), _by_edge()]
    if reply.retry_s:
        added.append(header("retry-after", str(reply.retry_s)))
    return {
        "filter": _all(*matches),
        **({"status_code": reply.status} if reply.status else {}),
        "body": {"inline_string": body},
        "body_format_override": {
            "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
            "content_type": accept or "text/html; charset=utf-8",
        },
        "headers_to_add": added,
    }


def _reason(page: pages.Page) -> Json:
    return header(REASON_HEADER, page.code)


def _by_edge() -> Json:
    """An instance may have been chosen that did not answer: nobody should take the answer for its own."""
    return header(RELEASE_HEADER, ANSWERED_BY_EDGE)


def _all(*filters: Json) -> Json:
    return {"and_filter": {"filters": list(filters)}} if len(filters) > 1 else filters[0]


def _flags(*flags: str) -> Json:
    return {"response_flag_filter": {"flags": list(flags)}}


def _status(status: int) -> Json:
    return _compared("EQ", status)


def _status_from(least: int) -> Json:
    return _compared("GE", least)


def _compared(how: str, status: int) -> Json:
    value = {"default_value": status, "runtime_key": f"edge.status_{status}"}
    return {"status_code_filter": {"comparison": {"op": how, "value": value}}}


def _header_matches(name: str, how: Json) -> Json:
    return {"header_filter": {"header": {"name": name, "string_match": how}}}


def _not_direct() -> Json:
    """Not a page of a route table."""
    return _expression("response.code_details != 'direct_response'")


def _expression(expression: str) -> Json:
    return {
        "extension_filter": {
            "name": "envoy.access_loggers.extension_filters.cel",
            "typed_config": {
                "@type": f"{_TYPE}envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                "expression": expression,
            },
        }
    }
