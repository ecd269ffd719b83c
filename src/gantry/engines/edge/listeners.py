"""The public ports as Envoy listeners. Pure."""

from typing import Any

from gantry.engines.edge.clusters import BRIDGE_LISTENER, BRIDGE_METADATA
from gantry.engines.edge.connections import (
    CONNECTION_BUFFER_BYTES,
    connection_manager,
    inner_manager,
)
from gantry.engines.edge.protocol import Certificate, network_of
from gantry.engines.edge.routes import inner_route
from gantry.engines.edge.visitors import ADDRESS_STATE

Json = dict[str, Any]

_TYPE = "type.googleapis.com/"
_EVERYWHERE = "::"


def http_listener(addresses: tuple[str, ...], port: int, routes_file: str) -> Json:
    """The port for ACME challenges and the way to https."""
    listener = _listener("http", addresses, port)
    listener["filter_chains"] = [{"filters": [connection_manager("http", routes_file)]}]
    return listener


def inner_listener(socket: str) -> Json:
    """Where the cache asks for what it does not have."""
    listener = _listener("inner", (), 0)
    listener["address"] = {"pipe": {"path": socket, "mode": 0o600}}
    listener["filter_chains"] = [{"filters": [inner_manager(inner_route())]}]
    return listener


def bridge_listener() -> Json:
    """Inside of Envoy: waits until an instance takes a connection, five seconds in the mean, and passes bytes on."""
    return {
        "@type": f"{_TYPE}envoy.config.listener.v3.Listener",
        "name": BRIDGE_LISTENER,
        "internal_listener": {},
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER_BYTES,
        "ignore_global_conn_limit": True,
        "filter_chains": [
            {
                "filters": [
                    _state(
                        "envoy.tcp_proxy.cluster", f"%DYNAMIC_METADATA({BRIDGE_METADATA}:backend)%"
                    ),
                    {
                        "name": "envoy.filters.network.tcp_proxy",
                        "typed_config": {
                            "@type": f"{_TYPE}envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                            "stat_prefix": BRIDGE_LISTENER,
                            # The connection says which; without a name here Envoy refuses the filter.
                            "cluster": "none",
                            "max_connect_attempts": 24,
                            "backoff_options": {
                                "base_interval": "0.025s",
                                "max_interval": "0.5s",
                            },
                            # The visitor's own route bounds the silence.
                            "idle_timeout": "0s",
                        },
                    },
                ]
            }
        ],
    }


def https_listener(
    addresses: tuple[str, ...],
    port: int,
    routes_file: str,
    certificates: tuple[Certificate, ...],
    directory: str,
    trusted: tuple[str, ...] = (),
) -> Json:
    """The port of the sites: TLS 1.2 and above, HTTP/2 and HTTP/1.1.

    Each certificate has a filter chain of its own, found by the name that the visitor asks for; the first is the
    default. So a new certificate touches no connection: with all of them in one chain every connection of the port
    was closed when the drain time had passed. A renewed one is swapped within its chain, by SDS.

    Parameters:
        trusted: networks of proxies. Their connections have chains of their own, which believe them.
    """
    first, *others = certificates
    listener = _listener("https", addresses, port)
    listener["listener_filters"] = [
        {
            "name": "envoy.filters.listener.tls_inspector",
            "typed_config": {
                "@type": f"{_TYPE}envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
            },
        }
    ]
    names = {certificate.name: sorted(certificate.hosts) for certificate in others}
    believed = [
        {
            "name": f"{certificate.name} by a trusted proxy",
            "filter_chain_match": {
                **({"server_names": names[certificate.name]} if certificate in others else {}),
                "source_prefix_ranges": _ranges(trusted),
            },
            **_chain(certificate, routes_file, directory, trusted),
        }
        for certificate in (certificates if trusted else ())
    ]
    listener["filter_chains"] = [
        {
            "name": certificate.name,
            "filter_chain_match": {"server_names": names[certificate.name]},
            **_chain(certificate, routes_file, directory),
        }
        for certificate in others
    ] + believed
    listener["default_filter_chain"] = {"name": first.name, **_chain(first, routes_file, directory)}
    return listener


def _ranges(networks: tuple[str, ...]) -> list[Json]:
    return [
        {"address_prefix": str(network.network_address), "prefix_len": network.prefixlen}
        for network in map(network_of, networks)
    ]


def bound(addresses: tuple[str, ...], port: int) -> Json:
    """Where a listener listens."""
    first, *others = (_at(address, addresses, port) for address in addresses)
    return {
        "address": first,
        # An empty list, not a missing key: what is rebound may have had some.
        "additional_addresses": [{"address": other} for other in others],
    }


def _at(address: str, among: tuple[str, ...], port: int) -> Json:
    socket: Json = {"address": address, "port_value": port}
    if address == _EVERYWHERE:
        # IPv4 too, as most programs do, where nothing is said of IPv4.
        socket["ipv4_compat"] = all(":" in other for other in among)
    return {"socket_address": socket}


def _listener(name: str, addresses: tuple[str, ...], port: int) -> Json:
    return {
        "@type": f"{_TYPE}envoy.config.listener.v3.Listener",
        "name": name,
        **(bound(addresses, port) if addresses else {}),
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER_BYTES,
    }


def _chain(
    certificate: Certificate, routes_file: str, directory: str, trusted: tuple[str, ...] = ()
) -> Json:
    return {
        "filters": [_kept_address(), connection_manager("https", routes_file, trusted)],
        "transport_socket": _tls(certificate.name, directory),
        # Whoever opens a connection and then says nothing is not waited for.
        "transport_socket_connect_timeout": "10s",
    }


def _kept_address() -> Json:
    """Where the visitor comes from, for routes that depend on it. Once for each connection, and in no request."""
    return _state(
        ADDRESS_STATE, "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", factory="envoy.string"
    )


def _state(key: str, text: str, *, factory: str = "") -> Json:
    """A filter that keeps a text for the life of a connection."""
    return {
        "name": "envoy.filters.network.set_filter_state",
        "typed_config": {
            "@type": f"{_TYPE}envoy.extensions.filters.network.set_filter_state.v3.Config",
            "on_new_connection": [
                {
                    "object_key": key,
                    **({"factory_key": factory} if factory else {}),
                    "format_string": {"text_format_source": {"inline_string": text}},
                }
            ],
        },
    }


def _tls(certificate: str, directory: str) -> Json:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPE}envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "tls_certificate_sds_secret_configs": [
                    {
                        "name": certificate,
                        "sds_config": {
                            "path_config_source": {"path": f"{directory}/sds-{certificate}.json"},
                            "resource_api_version": "V3",
                        },
                    }
                ],
            },
        },
    }
