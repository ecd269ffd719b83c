"""How the edge speaks HTTP with visitors: limits, trace and request identities, compression, pages, access log. Pure."""

from typing import Any

from gantry.engines.edge import forged, replies
from gantry.engines.edge.headers import REACHED, header, note_filter
from gantry.engines.edge.limits import limit_filters
from gantry.engines.edge.protocol import network_of
from gantry.engines.edge.script import PATH_NOTE, PATH_NOTES, script_filter
from gantry.engines.edge.shares import NO_HOST, share_filter
from gantry.kernel.edge_names import BACKEND_HEADER, REASON_HEADER, RESULT_HEADER
from gantry.kernel.names import RELEASE_HEADER

Json = dict[str, Any]

_TYPE = "type.googleapis.com/"
_FILTERS = "envoy.extensions.filters.http"
# text/event-stream is not among them: a compressor would hold events back.
_COMPRESSED = (
    "text/html", "text/plain", "text/css", "text/xml", "text/javascript", "text/markdown", "text/x-component",
    "application/javascript", "application/json", "application/manifest+json", "application/xml",
    "application/wasm", "image/svg+xml", "font/ttf",
)  # fmt: skip
# The address and headers of a request. Node takes 16 of its own accord, most proxies 8 to 32.
MAX_HEADERS_KB = 32
# What is kept of a connection or a stream when the other side does not read on.
CONNECTION_BUFFER_BYTES = 65_536
# How long a request may be on its way, with its body: 4 GB at 10 Mbit/s.
MAX_REQUEST_S = 3_600


def connection_manager(name: str, routes_file: str, trusted: tuple[str, ...] = ()) -> Json:
    """The filter that turns a connection into requests and finds their route in `routes_file`.

    Parameters:
        trusted: networks of proxies, of which one is at the other end of this connection: what they say of where a
            visitor comes from is believed.
    """
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
            **_visitors_address(trusted),
            "always_set_request_id_in_response": True,
            "server_header_transformation": "PASS_THROUGH",
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "early_header_mutation_extensions": [forged.removed(trusted=bool(trusted))],
            "http_filters": [
                share_filter(),
                _compressor_of_choice(),
                note_filter(),
                *limit_filters(),
                script_filter(),
                _router(),
            ],
            "local_reply_config": replies.local_replies(),
            "access_log": [_access_log(kept=False), _access_log(kept=True)],
            # From the first byte to the last: an upload that moves is not cut by silence, and a trickle has an end.
            "request_timeout": f"{MAX_REQUEST_S}s",
            **_limits(),
        },
    }


def _visitors_address(trusted: tuple[str, ...]) -> Json:
    if not trusted:
        return {"use_remote_address": True}
    xff = "envoy.extensions.http.original_ip_detection.xff.v3"
    networks = [
        {"address_prefix": str(network.network_address), "prefix_len": network.prefixlen}
        for network in map(network_of, trusted)
    ]
    return {
        "use_remote_address": False,
        "original_ip_detection_extensions": [
            {
                "name": "envoy.http.original_ip_detection.xff",
                "typed_config": {
                    "@type": f"{_TYPE}{xff}.XffConfig",
                    "xff_trusted_cidrs": {"cidrs": networks},
                    "skip_xff_append": False,
                },
            }
        ],
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
            "local_reply_config": replies.local_replies(),
            "http_filters": [_router()],
            # What the edge adds comes on top of what visitors may send.
            **_limits(headers_kb=2 * MAX_HEADERS_KB),
        },
    }


def _limits(*, headers_kb: int = MAX_HEADERS_KB) -> Json:
    """docs/rooms/edge.md says why for each. Routes replace `stream_idle_timeout`; it holds for requests that match none."""
    return {
        "normalize_path": True,
        "merge_slashes": False,
        "strip_trailing_host_dot": True,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "stream_idle_timeout": "300s",
        "request_headers_timeout": "30s",
        "drain_timeout": "10s",
        "max_request_headers_kb": headers_kb,
        "proxy_100_continue": True,
        "common_http_protocol_options": {
            "idle_timeout": "300s",
            "headers_with_underscores_action": "DROP_HEADER",
            "max_headers_count": 200,
        },
        "http_protocol_options": {
            "accept_http_10": True,
            "default_host_for_http_10": NO_HOST,
            "enable_trailers": True,
            "ignore_http_11_upgrade": [{"safe_regex": {"regex": _all_but("websocket")}}],
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": CONNECTION_BUFFER_BYTES,
            "initial_connection_window_size": 262_144,
            # One bad request of a browser does not end its other requests.
            "override_stream_error_on_invalid_http_message": True,
        },
    }


def _all_but(word: str) -> str:
    """A regular expression of all other words, whatever their case; RE2 has no look-around."""
    same = [f"[{char}{char.upper()}]" for char in word]
    shorter = (
        f"{''.join(same[:index])}(?:[^{char}{char.upper()}].*)?" for index, char in enumerate(word)
    )
    return "|".join((*shorter, f"{''.join(same)}.+"))


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
                # A part has a place in the whole as it is: Envoy would compress it by itself.
                "uncompressible_response_codes": [206],
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


def _access_log(*, kept: bool) -> Json:
    """Lines of JSON in the process's log, which the runtime bounds. Queries are left out: they hold what only the visitor
    should know, such as a link that logs in.

    Parameters:
        kept: of the requests whose path has the query in it for a moment; the script has kept what was asked.
    """
    noted = {
        "filter": PATH_NOTES,
        "path": [{"key": PATH_NOTE}],
        # A path begins with a slash. Envoy's filter knows no inversion.
        "value": {"string_match": {"prefix": "/" if kept else "none"}},
    }
    asked = f"%DYNAMIC_METADATA({PATH_NOTES}:{PATH_NOTE})%"
    plain = "%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%"
    return {
        "name": "envoy.access_loggers.stdout",
        "filter": {"metadata_filter": {"matcher": noted, "match_if_key_not_found": not kept}},
        "typed_config": {
            "@type": f"{_TYPE}envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {
                "json_format": {
                    "at": "%START_TIME%",
                    "host": "%REQ(:AUTHORITY)%",
                    "method": "%REQ(:METHOD)%",
                    "path": asked if kept else plain,
                    "status": "%RESPONSE_CODE%",
                    "flags": "%RESPONSE_FLAGS%",
                    "details": "%RESPONSE_CODE_DETAILS%",
                    "reason": f"%RESP({REASON_HEADER})%",
                    "duration_ms": "%DURATION%",
                    "bytes": "%BYTES_SENT%",
                    "release": REACHED,
                    "answered_by": f"%RESP({RELEASE_HEADER})%",
                    "cache": f"%RESP({RESULT_HEADER})%",
                    "upstream": "%UPSTREAM_HOST%",
                    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
                    "request_id": "%REQ(X-REQUEST-ID)%",
                    "trace": "%REQ(TRACEPARENT)%",
                },
                "formatters": [
                    {
                        "name": "envoy.formatter.req_without_query",
                        "typed_config": {
                            "@type": f"{_TYPE}envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery"
                        },
                    }
                ],
            },
        },
    }
