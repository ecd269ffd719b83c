"""The public ports as Envoy listeners. Pure."""

from typing import Any

from gantry.engines.edge import pages
from gantry.engines.edge.protocol import Certificate

Json = dict[str, Any]

_TYPE = "type.googleapis.com/"
# The tracer must name a place for its spans; none is ever sampled, so none is ever sent.
NOWHERE = "nowhere"
_HTTP = "envoy.extensions.filters.http"
_COMPRESSED = (
    "text/html", "text/plain", "text/css", "text/xml", "text/javascript", "text/markdown", "text/x-component",
    "application/javascript", "application/json", "application/manifest+json", "application/xml",
    "application/wasm", "image/svg+xml", "font/ttf",
)  # fmt: skip
_FAILED_FLAGS = ("UH", "UF", "UC", "URX", "NC", "UO", "LR", "UR")


def listener(
    name: str,
    address: str,
    port: int,
    routes_file: str,
    certificates: tuple[Certificate, ...],
    folder: str,
) -> Json:
    """A public port. With certificates it speaks TLS, HTTP/2 and HTTP/1.1."""
    chain: Json = {"filters": [_connection_manager(name, routes_file)]}
    if certificates:
        chain["transport_socket"] = _tls(certificates, folder)
    return {
        "@type": f"{_TYPE}envoy.config.listener.v3.Listener",
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "per_connection_buffer_limit_bytes": 262_144,
        "listener_filters": [
            {
                "name": "envoy.filters.listener.tls_inspector",
                "typed_config": {
                    "@type": f"{_TYPE}envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
                },
            }
        ]
        if certificates
        else [],
        "filter_chains": [chain],
    }


def _tls(certificates: tuple[Certificate, ...], folder: str) -> Json:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPE}envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                # Chosen by the name that the visitor asks for; the first answers unknown names.
                "tls_certificate_sds_secret_configs": [
                    {
                        "name": one.name,
                        "sds_config": {
                            "path_config_source": {"path": f"{folder}/sds-{one.name}.json"},
                            "resource_api_version": "V3",
                        },
                    }
                    for one in certificates
                ],
            },
        },
    }


def _connection_manager(name: str, routes_file: str) -> Json:
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{_TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "codec_type": "AUTO",
            "use_remote_address": True,
            "server_header_transformation": "PASS_THROUGH",
            "always_set_request_id_in_response": True,
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
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "rds": {
                "route_config_name": name,
                "config_source": {
                    "path_config_source": {"path": routes_file},
                    "resource_api_version": "V3",
                },
            },
            # What visitors say about where they come from is not passed on as if the edge had seen it.
            "early_header_mutation_extensions": [
                {
                    "name": "envoy.http.early_header_mutation.header_mutation",
                    "typed_config": {
                        "@type": f"{_TYPE}envoy.extensions.http.early_header_mutation"
                        ".header_mutation.v3.HeaderMutation",
                        "mutations": [
                            {"remove": header}
                            for header in (
                                "x-forwarded-for",
                                "x-forwarded-host",
                                "x-forwarded-port",
                                "x-forwarded-proto",
                                "forwarded",
                                "x-real-ip",
                                "x-envoy-external-address",
                                "x-gantry-release",
                            )
                        ],
                    },
                }
            ],
            "http_filters": [
                *(_compressor(kind) for kind in ("zstd", "brotli", "gzip")),
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": f"{_TYPE}{_HTTP}.router.v3.Router"},
                },
            ],
            "local_reply_config": _local_replies(),
            "tracing": _tracing(),
            "access_log": [_access_log()],
        },
    }


def _compressor(kind: str) -> Json:
    libraries: dict[str, tuple[str, Json]] = {
        "zstd": ("zstd.compressor.v3.Zstd", {"compression_level": 3}),
        "brotli": ("brotli.compressor.v3.Brotli", {"quality": 4}),
        "gzip": ("gzip.compressor.v3.Gzip", {"compression_level": "COMPRESSION_LEVEL_4"}),
    }
    library = libraries[kind]
    return {
        "name": f"envoy.filters.http.compressor.{kind}",
        "typed_config": {
            "@type": f"{_TYPE}{_HTTP}.compressor.v3.Compressor",
            "response_direction_config": {
                # text/event-stream is not among them: a compressor would hold events back.
                "common_config": {"min_content_length": 512, "content_type": list(_COMPRESSED)},
                "disable_on_etag_header": False,
            },
            "compressor_library": {
                "name": kind,
                "typed_config": {
                    "@type": f"{_TYPE}envoy.extensions.compression.{library[0]}",
                    **library[1],
                },
            },
        },
    }


def _local_replies() -> Json:
    """The edge's own page where it would say `no healthy upstream`; what the product answers is never touched."""
    return {
        "mappers": [
            {
                "filter": {"response_flag_filter": {"flags": list(_FAILED_FLAGS)}},
                "body": {"inline_string": pages.unavailable()},
                "body_format_override": {
                    "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
                    "content_type": "text/html; charset=utf-8",
                },
                "headers_to_add": [
                    {"header": {"key": "cache-control", "value": "no-store"}},
                    {"header": {"key": "retry-after", "value": "3"}},
                ],
            }
        ]
    }


def _tracing() -> Json:
    """No spans are exported; this makes the edge begin a W3C trace where the visitor brings none."""
    return {
        "random_sampling": {"value": 0},
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": f"{_TYPE}envoy.config.trace.v3.OpenTelemetryConfig",
                "service_name": "edge",
                "http_service": {
                    "http_uri": {"uri": "http://nowhere/", "cluster": NOWHERE, "timeout": "1s"}
                },
            },
        },
    }


def _access_log() -> Json:
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
                    "duration_ms": "%DURATION%",
                    "bytes": "%BYTES_SENT%",
                    "release": "%UPSTREAM_METADATA(gantry:release)%",
                    "upstream": "%UPSTREAM_HOST%",
                    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
                    "request_id": "%REQ(X-REQUEST-ID)%",
                }
            },
        },
    }
