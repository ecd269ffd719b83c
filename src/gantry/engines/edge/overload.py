"""What the edge does as its memory runs out: from what nobody notices to what everybody does. Pure.

The heaviest streams go before anybody is refused, and whoever holds connections open for nothing before them. Limits of
one visitor (`shares.py`, `connections.py`) come first; these are for many visitors at once.
"""

from typing import Any

Json = dict[str, Any]

MIN_HEAP_BYTES = 256 * 1024**2
MAX_HEAP_BYTES = 2 * 1024**3
_SHARE_OF_MEMORY = 8
# What a connection that does nothing takes, with TLS: beyond this many, others would have no memory left.
_CONNECTION_BYTES = 25_000
_MAX_CONNECTIONS = 20_000
_HEAP = "envoy.resource_monitors.fixed_heap"
_ACTIONS = "envoy.overload_actions"
_POINTS = "envoy.load_shed_points"
# Of a stream, as a power of two: 16 KB, a quarter of what it may hold. Smaller ones are not worth a reset.
_TRACKED_FROM = 14


def heap_bytes(memory_bytes: int) -> int:
    """What the edge may use of a machine, or of what this platform may use of it, in bytes."""
    return max(MIN_HEAP_BYTES, min(MAX_HEAP_BYTES, memory_bytes // _SHARE_OF_MEMORY))


def max_connections(heap: int) -> int:
    """How many visitors' connections are taken, all visitors together."""
    return min(_MAX_CONNECTIONS, heap // _CONNECTION_BYTES)


def overload_manager(heap: int) -> Json:
    """Everything that happens between plenty and nothing.

    Parameters:
        heap: what the edge may use, in bytes.
    """
    monitors = "type.googleapis.com/envoy.extensions.resource_monitors"
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {
                "name": _HEAP,
                "typed_config": {
                    "@type": f"{monitors}.fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": heap,
                },
            },
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": f"{monitors}.downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": max_connections(heap),
                },
            },
        ],
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": _TRACKED_FROM},
        "actions": [
            {**_action("reduce_timeouts", _scaled(0.7, 0.9)), "typed_config": _shorter_timeouts()},
            _action("shrink_heap", _at(0.75)),
            _action("close_idle_http_connections", _at(0.85)),
            _action("reset_high_memory_stream", _scaled(0.85, 0.97)),
            _action("disable_http_keepalive", _at(0.9)),
            _action("stop_accepting_requests", _at(0.96)),
            _action("stop_accepting_connections", _at(0.98)),
            _action("reject_incoming_connections", _at(0.99)),
        ],
        "loadshed_points": [
            # Nothing was read of a new connection, and an HTTP/2 one is told to come again, before requests are refused.
            _point("hcm_ondata_creating_codec", _scaled(0.95, 1.0)),
            _point("http2_server_go_away_on_dispatch", _at(0.95)),
        ],
    }


def _shorter_timeouts() -> Json:
    return {
        "@type": "type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig",
        "timer_scale_factors": [
            {"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "2s"},
            {"timer": "HTTP_DOWNSTREAM_STREAM_IDLE", "min_timeout": "5s"},
            {"timer": "TRANSPORT_SOCKET_CONNECT", "min_timeout": "2s"},
        ],
    }


def _action(name: str, trigger: Json) -> Json:
    return {"name": f"{_ACTIONS}.{name}", "triggers": [trigger]}


def _point(name: str, trigger: Json) -> Json:
    return {"name": f"{_POINTS}.{name}", "triggers": [trigger]}


def _at(pressure: float) -> Json:
    return {"name": _HEAP, "threshold": {"value": pressure}}


def _scaled(begins: float, whole: float) -> Json:
    """Weak where it begins, whole at the second."""
    return {
        "name": _HEAP,
        "scaled": {"scaling_threshold": begins, "saturation_threshold": whole},
    }
