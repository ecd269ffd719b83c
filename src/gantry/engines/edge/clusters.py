"""Backends as Envoy clusters. Pure."""

from typing import Any

from gantry.engines.edge.connections import CONNECTION_BUFFER_BYTES
from gantry.engines.edge.protocol import CACHE, Backend, Endpoint
from gantry.engines.edge.visitors import apart, counts_as
from gantry.kernel.edge_names import bridged

Json = dict[str, Any]

_TYPE = "type.googleapis.com/"
# Requests that the cache's process has memory for at once, with the longest headers and nothing else free: measured, it
# takes 248 MB then, and may have 328.
_MAX_TO_CACHE = 2_048
# In percent: of several backends the first gets all requests as long as one instance in a hundred is healthy. Envoy's own
# 140 % would send three in ten visitors of a candidate with two instances back when one of them is not healthy.
_WHATEVER_IS_LEFT = 10_000
# Where a connection through the bridge keeps which backend it leads to, and the listener that it goes through.
BRIDGE_METADATA, BRIDGE_LISTENER = "gantry.bridge", "bridge"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def cluster(backend: Backend) -> Json:
    """One cluster: its endpoints are fixed, and each has to pass a health check before it is used."""
    return {
        "@type": f"{_TYPE}envoy.config.cluster.v3.Cluster",
        "name": backend.name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER_BYTES,
        "load_assignment": {
            "cluster_name": backend.name,
            "endpoints": [
                {"lb_endpoints": [_endpoint(endpoint, backend) for endpoint in backend.endpoints]}
            ],
            "policy": {"overprovisioning_factor": _WHATEVER_IS_LEFT},
        },
        # As long as one endpoint is known to be healthy, only healthy ones are used; when none is, all are tried,
        # because an instance that was started again is back before its next check.
        "common_lb_config": {
            "healthy_panic_threshold": {"value": 1},
            # Envoy would gather changes of health for a second: a second instance that is ready would not be used, and
            # one that died would be.
            "update_merge_window": "0s",
        },
        "circuit_breakers": _circuit_breakers(_MAX_TO_CACHE if backend.name == CACHE else 4_096),
        "outlier_detection": {
            "consecutive_gateway_failure": 5,
            "enforcing_consecutive_gateway_failure": 100,
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 3,
            "base_ejection_time": "1s",
            "max_ejection_time": "10s",
            "max_ejection_percent": 67,
            "interval": "1s",
        },
        "health_checks": [_health_check(backend)],
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"{_TYPE}{_HTTP_OPTIONS}",
                "common_http_protocol_options": {
                    "idle_timeout": _seconds(backend.idle_timeout_s),
                },
                "explicit_http_config": {"http_protocol_options": _http1()},
            }
        },
        "metadata": _metadata(backend),
    }


def counted_apart(backend: Backend) -> Json:
    """The same instances with counters of their own. Whether they are healthy is asked for the first of the two only."""
    whole = cluster(backend)
    name = apart(backend.name)
    del whole["health_checks"]
    return {
        **whole,
        "name": name,
        "load_assignment": {**whole["load_assignment"], "cluster_name": name},
    }


def _metadata(backend: Backend) -> Json:
    """Who answers. The cache's answers say themselves whose they are."""
    release = "" if backend.name == CACHE else backend.name
    return {"filter_metadata": {"gantry": {"release": release}}}


def fallback(name: str, clusters: tuple[str, ...]) -> Json:
    """A cluster that is others, each used when those before it have nobody healthy."""
    return {
        "@type": f"{_TYPE}envoy.config.cluster.v3.Cluster",
        "name": name,
        "connect_timeout": "1s",
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": _circuit_breakers(),
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {
                "@type": f"{_TYPE}envoy.extensions.clusters.aggregate.v3.ClusterConfig",
                "clusters": list(clusters),
            },
        },
    }


def bridge_cluster(name: str) -> Json:
    """The way to the instances of a backend that waits for a connection, by a listener inside of Envoy.

    A request that fails here is not tried again: it may have been the request that ended the instance.
    """
    backend = bridged(name)
    address = {"server_listener_name": BRIDGE_LISTENER, "endpoint_id": backend}
    return {
        "@type": f"{_TYPE}envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER_BYTES,
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {
                            "endpoint": {
                                "address": {"envoy_internal_address": address},
                                "hostname": counts_as(backend),
                            },
                            "metadata": {
                                "filter_metadata": {
                                    "gantry": {"release": counts_as(backend)},
                                    BRIDGE_METADATA: {"backend": backend},
                                }
                            },
                        }
                    ]
                }
            ],
        },
        "circuit_breakers": _circuit_breakers(),
        "transport_socket": _with_metadata(),
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"{_TYPE}{_HTTP_OPTIONS}",
                # A connection leads to one instance; the next request may need another.
                "common_http_protocol_options": {"max_requests_per_connection": 1},
                "explicit_http_config": {"http_protocol_options": _http1()},
            }
        },
    }


def _with_metadata() -> Json:
    sockets = "envoy.extensions.transport_sockets"
    return {
        "name": "envoy.transport_sockets.internal_upstream",
        "typed_config": {
            "@type": f"{_TYPE}{sockets}.internal_upstream.v3.InternalUpstreamTransport",
            "passthrough_metadata": [{"kind": {"host": {}}, "name": BRIDGE_METADATA}],
            "transport_socket": {
                "name": "envoy.transport_sockets.raw_buffer",
                "typed_config": {"@type": f"{_TYPE}{sockets}.raw_buffer.v3.RawBuffer"},
            },
        },
    }


def _http1() -> Json:
    """How HTTP/1.1 is spoken with instances."""
    return {"enable_trailers": True}


def _circuit_breakers(connections: int = 4_096) -> Json:
    """Envoy's own limit is three retries at once, too few for the moment at which an instance dies."""
    return {
        "thresholds": [
            {
                "max_connections": connections,
                "max_pending_requests": 4096,
                "max_requests": 8192,
                "max_retries": 1024,
            }
        ]
    }


def _endpoint(endpoint: Endpoint, backend: Backend) -> Json:
    address: Json = (
        {"pipe": {"path": endpoint.socket}}
        if endpoint.socket
        else {"socket_address": {"address": endpoint.host, "port_value": endpoint.port}}
    )
    return {
        # Not a name that is looked up: what logs and answers say of it.
        "endpoint": {"address": address, "hostname": backend.name},
        "metadata": _metadata(backend),
    }


def _health_check(backend: Backend) -> Json:
    check: Json = {
        "timeout": "3s",
        "interval": "1s",
        # A candidate has no traffic; visitors wait for the moment at which it is known to be healthy.
        "no_traffic_interval": "0.2s",
        "no_traffic_healthy_interval": "2s",
        "unhealthy_interval": "0.2s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "always_log_health_check_failures": False,
    }
    if backend.health_path:
        check["http_health_check"] = {
            "path": backend.health_path,
            "host": backend.health_host,
            "expected_statuses": [{"start": 200, "end": 400}],
        }
    else:
        check["tcp_health_check"] = {}
    return check


def _seconds(seconds: float) -> str:
    return f"{seconds:g}s"
