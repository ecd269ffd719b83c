"""How the edge speaks HTTP with visitors: limits, trace and request identities, compression, pages, access log. Pure."""

from typing import Any

from gantry.engines.edge import pages
from gantry.engines.edge.headers import (
    ANSWERED_BY_EDGE,
    CLOSED_ROUTE,
    REACHED,
    header,
    note_filter,
)
from gantry.kernel.edge_names import BACKEND_HEADER, COPIES_HEADER, RESULT_HEADER
from gantry.kernel.names import RELEASE_HEADER

Json = dict[str, Any]

_TYPE = "type.googleapis.com/"
_FILTERS = "envoy.extensions.filters.http"
# What visitors say about where they come from, or what only the edge may say, is not passed on.
_NOT_FROM_VISITORS = (
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "forwarded",
    "x-real-ip",
    "x-envoy-external-address",
    "x-envoy-original-path",
    RELEASE_HEADER,
    "x-gantry-mirror",
    "x-gantry-assets",
    BACKEND_HEADER,
    COPIES_HEADER,
)
# text/event-stream is not among them: a compressor would hold events back.
_COMPRESSED = (
    "text/html", "text/plain", "text/css", "text/xml", "text/javascript", "text/markdown", "text/x-component",
    "application/javascript", "application/json", "application/manifest+json", "application/xml",
    "application/wasm", "image/svg+xml", "font/ttf",
)  # fmt: skip
# Nobody healthy, connection failed or cut, tries used up, no such cluster, overflow, reset.
_NOBODY_ANSWERED = ("UH", "UF", "UC", "URX", "NC", "UO", "LR", "UR")
_TOO_SILENT = ("UT", "SI", "UPE")


def connection_manager(name: str, routes_file: str) -> Json:
    """The filter that turns a connection into requests and finds their route in `routes_file`."""
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{_TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "codec_type": "AUTO",
            "rds": {
                "route_config_name": name,
                "config_source": {
                    "path_config_source": {"path": routes_file},
                    "resource_api_version": "V3",
                },
            },
            "use_remote_address": True,
            "always_set_request_id_in_response": True,
            "server_header_transformation": "PASS_THROUGH",
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "early_header_mutation_extensions": [_without_forged_headers()],
            "http_filters": [
                _compressor_of_choice(),
                note_filter(),
                _router(),
            ],
            "local_reply_config": _own_pages(),
            "access_log": [_access_log()],
            **_limits(),
        },
    }


def inner_manager(route: Json) -> Json:
    """Of the listener that the cache asks: everything was done to the request before, and goes on being done outside."""
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{_TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "inner",
            "codec_type": "HTTP1",
            "route_config": {
                "name": "inner",
                "virtual_hosts": [
                    {
                        "name": "inner",
                        "domains": ["*"],
                        "routes": [route],
                        "response_headers_to_add": [header(RELEASE_HEADER, REACHED)],
                    }
                ],
                "request_headers_to_remove": [BACKEND_HEADER],
                "response_headers_to_remove": [
                    "server",
                    "x-envoy-upstream-service-time",
                    RESULT_HEADER,
                ],
            },
            "use_remote_address": False,
            "skip_xff_append": True,
            "generate_request_id": False,
            "preserve_external_request_id": True,
            "server_header_transformation": "PASS_THROUGH",
            "local_reply_config": _own_pages(),
            "http_filters": [_router()],
            **_limits(),
        },
    }


def _limits() -> Json:
    """Routes replace `stream_idle_timeout`; it holds for requests that match none."""
    return {
        "normalize_path": True,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "stream_idle_timeout": "300s",
        "request_headers_timeout": "30s",
        "drain_timeout": "10s",
        "common_http_protocol_options": {
            "idle_timeout": "3600s",
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 128,
            "initial_stream_window_size": 262_144,
            "initial_connection_window_size": 1_048_576,
        },
    }


def _without_forged_headers() -> Json:
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": f"{_TYPE}envoy.extensions.http.early_header_mutation"
            ".header_mutation.v3.HeaderMutation",
            "mutations": [{"remove": header} for header in _NOT_FROM_VISITORS],
        },
    }


def _router() -> Json:
    return {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_TYPE}{_FILTERS}.router.v3.Router"},
    }


def _compressor_of_choice() -> Json:
    """One compressor for each request, or none: in a row, all of them would look at all requests and answers.

    Not zstd: Envoy's holds a page that is made bit by bit back until it is whole (decision 0023).
    """
    accepted = {
        "name": "accept-encoding",
        "typed_config": {
            "@type": f"{_TYPE}envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
            "header_name": "accept-encoding",
        },
    }
    matchers = [
        {
            "predicate": {
                "single_predicate": {
                    "input": accepted,
                    "value_match": {"contains": word, "ignore_case": True},
                }
            },
            "on_match": {
                "action": {
                    "name": kind,
                    "typed_config": {
                        "@type": f"{_TYPE}{_FILTERS}.composite.v3.ExecuteFilterAction",
                        "typed_config": _compressor(kind),
                    },
                }
            },
        }
        for word, kind in (("br", "brotli"), ("gzip", "gzip"))
    ]
    return {
        "name": "compressor",
        "typed_config": {
            "@type": f"{_TYPE}envoy.extensions.common.matching.v3.ExtensionWithMatcher",
            "extension_config": {
                "name": "envoy.filters.http.composite",
                "typed_config": {"@type": f"{_TYPE}{_FILTERS}.composite.v3.Composite"},
            },
            "xds_matcher": {"matcher_list": {"matchers": matchers}},
        },
    }


def _compressor(kind: str) -> Json:
    libraries: dict[str, tuple[str, Json]] = {
        "brotli": ("brotli.compressor.v3.Brotli", {"quality": 4}),
        "gzip": ("gzip.compressor.v3.Gzip", {"compression_level": "COMPRESSION_LEVEL_4"}),
    }
    library, settings = libraries[kind]
    return {
        "name": f"envoy.filters.http.compressor.{kind}",
        "typed_config": {
            "@type": f"{_TYPE}{_FILTERS}.compressor.v3.Compressor",
            "response_direction_config": {
                "common_config": {
                    "min_content_length": 512,
                    "content_type_matcher": [
                        {"prefix": content, "ignore_case": True} for content in _COMPRESSED
                    ],
                },
                # A page keeps its ETag, or browsers would load again what has not changed.
                "weaken_etag_on_compress": True,
            },
            "compressor_library": {
                "name": kind,
                "typed_config": {
                    "@type": f"{_TYPE}envoy.extensions.compression.{library}",
                    **settings,
                },
            },
        },
    }


def _own_pages() -> Json:
    """The edge's own page where it would say `no healthy upstream`; what the product answers is never touched."""
    return {
        "mappers": [
            _mapper(_NOBODY_ANSWERED, "application/json", pages.unavailable_json()),
            _mapper(_NOBODY_ANSWERED, "", pages.unavailable()),
            _mapper(_TOO_SILENT, "application/json", pages.too_slow_json()),
            _mapper(_TOO_SILENT, "", pages.too_slow()),
            # A closed site's page names the release behind it.
            {"filter": _closed()},
            {"filter": _any_error(), "headers_to_add": [_by_edge()]},
        ]
    }


def _closed() -> Json:
    return {
        "extension_filter": {
            "name": "envoy.access_loggers.extension_filters.cel",
            "typed_config": {
                "@type": f"{_TYPE}envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                "expression": f"xds.route_name == '{CLOSED_ROUTE}'",
            },
        }
    }


def _any_error() -> Json:
    least = {"default_value": 400, "runtime_key": "edge.least_error"}
    return {"status_code_filter": {"comparison": {"op": "GE", "value": least}}}


def _by_edge() -> Json:
    """An instance was chosen and did not answer: nobody should take the answer for its own."""
    return header(RELEASE_HEADER, ANSWERED_BY_EDGE)


def _mapper(flags: tuple[str, ...], accept: str, body: str) -> Json:
    flagged: Json = {"response_flag_filter": {"flags": list(flags)}}
    if accept:
        wanted = {"name": "accept", "string_match": {"contains": accept, "ignore_case": True}}
        flagged = {"and_filter": {"filters": [flagged, {"header_filter": {"header": wanted}}]}}
    return {
        "filter": flagged,
        "body": {"inline_string": body},
        "body_format_override": {
            "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
            "content_type": accept or "text/html; charset=utf-8",
        },
        "headers_to_add": [
            {"header": {"key": "cache-control", "value": "no-store"}},
            {"header": {"key": "retry-after", "value": "3"}},
            _by_edge(),
        ],
    }


def _access_log() -> Json:
    """Lines of JSON in the process's log, which the runtime bounds."""
    return {
        "name": "envoy.access_loggers.stdout",
        "typed_config": {
            "@type": f"{_TYPE}envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {
                "json_format": {
                    "at": "%START_TIME%",
                    "host": "%REQ(:AUTHORITY)%",
                    "method": "%REQ(:METHOD)%",
                    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
                    "status": "%RESPONSE_CODE%",
                    "flags": "%RESPONSE_FLAGS%",
                    "details": "%RESPONSE_CODE_DETAILS%",
                    "duration_ms": "%DURATION%",
                    "bytes": "%BYTES_SENT%",
                    "release": REACHED,
                    "answered_by": f"%RESP({RELEASE_HEADER})%",
                    "cache": f"%RESP({RESULT_HEADER})%",
                    "upstream": "%UPSTREAM_HOST%",
                    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
                    "request_id": "%REQ(X-REQUEST-ID)%",
                    "trace": "%REQ(TRACEPARENT)%",
                }
            },
        },
    }
