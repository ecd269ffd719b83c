"""The whole configuration as files for Envoy to read. Pure: golden files in the tests show what comes out."""

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from gantry.engines.edge.clusters import cluster, counted_apart, fallback
from gantry.engines.edge.headers import header
from gantry.engines.edge.listeners import http_listener, https_listener, inner_listener
from gantry.engines.edge.numbers import PATTERN
from gantry.engines.edge.protocol import (
    ASSETS,
    CACHE,
    TIMES_MS,
    Assets,
    Backend,
    Canary,
    Certificate,
    EdgeConfig,
    Endpoint,
    HeaderRule,
    Pin,
    Redirect,
    Rewrite,
    Rules,
    Site,
)
from gantry.engines.edge.routes import http_virtual_hosts, https_virtual_hosts
from gantry.engines.edge.visitors import joined, members

Json = dict[str, Any]

_MOST_HEAP_BYTES = 402_653_184
_MOST_CONNECTIONS = 20_000
# RE2 is linear in the path whatever the pattern; at Envoy's own limit of 100 an ordinary pattern with a dozen
# languages is refused, and the whole configuration with it. The manifest bounds length and repetitions.
_LIMITS = {
    "re2.max_program_size.error_level": 100_000,
    "re2.max_program_size.warn_level": 100_000,
}
# A W3C trace begins here where the visitor brings none. Envoy's tracer would cost as much as routing (decision 0024): the
# trace's 128 bits are from the request's random identity and the time in ns, and the edge's own step is the first of it.
# Sampled, as it would be without the edge: a product that follows its parent would record nothing of it otherwise.
_TRACE = "00-%REQ(X-REQUEST-ID):8%%START_TIME(%s%9f)%00000-%REQ(X-REQUEST-ID):8%00000001-01"
CDS, LDS, RDS_HTTP, RDS_HTTPS = "cds.json", "lds.json", "rds-http.json", "rds-https.json"
SDS_PREFIX = "sds-"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the edge listens and keeps its files.

    Attributes:
        folder: as Envoy sees it.
        admin_socket: unix socket of the admin interface; loopback is shared with untrusted instances.
        inner_socket: unix socket on which the cache asks for what it does not have.
    """

    folder: str
    admin_socket: str
    inner_socket: str
    address: str
    http_port: int
    https_port: int


def digest(config: EdgeConfig, place: Place) -> str:
    """Identity of what `config` comes to in `place`: 16 hex digits.

    It also changes when this code renders differently, so that a new Gantry brings an edge up to date that still
    runs with files of the old one.
    """
    return version_of([_plain(asdict(config)), _dialect(place)])


def _plain(value: Any) -> Any:  # noqa: ANN401 -- any JSON
    """Bytes as text: keys of canaries."""
    return json.loads(json.dumps(value, default=lambda one: one.hex()))


@functools.cache
def _dialect(place: Place) -> str:
    sample = Site(
        ("a.example",),
        "sample",
        release="sample",
        redirects=(Redirect("/a/:b*", "/c/:b*"),),
        rewrites=(Rewrite("/d/:e", "/f/:e"),),
        headers=(HeaderRule("/g", (("h", "i"),)), HeaderRule("/(.*)", (("j", "k"),))),
        stream_timeout_s=1.0,
        noindex=True,
        canary=Canary("sample", "sample", 50, b"sample", 2),
        mirror="sample",
        pins=(Pin("sample", "other", "sample"),),
        assets=Assets("sample", ("/l",)),
        cached=("/m/:n*",),
    )
    backends = tuple(
        Backend(name, (Endpoint(port=1),), "/health") for name in ("sample", ASSETS, CACHE)
    )
    certificate = Certificate("sample", sample.hosts, "", "")
    rules = Rules((Redirect("/o", "/p"),), (), (HeaderRule("/q", (("h", "i"),)),), ("/r",))
    divided = replace(
        sample, hosts=("c.example",), canary=Canary("sample", "other", 50, b"sample", 2, rules)
    )
    sites = (sample, divided, Site(("b.example",), None))
    config = EdgeConfig(sites, backends, (certificate,))
    files = [
        clusters_file(config, ""),
        listeners_file(config.certificates, place),
        dict(routes_files(config, "", place)),
    ]
    return version_of(files)


def empty_files(place: Place) -> Mapping[str, Json]:
    """What a new edge starts with: it answers on the http port and knows no site."""
    config = EdgeConfig()
    version = digest(config, place)
    return {
        **routes_files(config, version, place),
        CDS: clusters_file(config, version),
        LDS: listeners_file((), place),
    }


def bootstrap(place: Place) -> Json:
    """What Envoy starts with; everything else it reads from the other files."""
    return {
        "node": {"id": "edge", "cluster": "gantry"},
        "admin": {
            "address": {"pipe": {"path": place.admin_socket, "mode": 0o600}},
            "ignore_global_conn_limit": True,
        },
        "dynamic_resources": {
            "cds_config": _file(place, CDS),
            "lds_config": _file(place, LDS),
        },
        # Histograms are merged when they are flushed.
        "stats_flush_interval": "1s",
        "stats_config": {
            "histogram_bucket_settings": [
                {"match": {"suffix": "upstream_rq_time"}, "buckets": list(TIMES_MS)}
            ],
            "stats_matcher": {
                "inclusion_list": {
                    "patterns": [
                        {"safe_regex": {"regex": PATTERN}},
                        {"prefix": "listener_manager."},
                        {"prefix": "cluster_manager."},
                        {"suffix": ".downstream_rq_active"},
                        {"prefix": "sds."},
                        {"prefix": "server."},
                        {"contains": "ssl_context_update"},
                        {"contains": ".rds."},
                    ]
                }
            },
        },
        "overload_manager": _overload_manager(),
        "layered_runtime": {"layers": [{"name": "limits", "static_layer": _LIMITS}]},
    }


def _overload_manager() -> Json:
    """What happens before memory or connections run out: first give memory back, then refuse new requests."""
    monitors = "type.googleapis.com/envoy.extensions.resource_monitors"

    def action(name: str, threshold: float) -> Json:
        trigger = {
            "name": "envoy.resource_monitors.fixed_heap",
            "threshold": {"value": threshold},
        }
        return {"name": f"envoy.overload_actions.{name}", "triggers": [trigger]}

    return {
        "refresh_interval": "0.5s",
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.fixed_heap",
                "typed_config": {
                    "@type": f"{monitors}.fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": _MOST_HEAP_BYTES,
                },
            },
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": f"{monitors}.downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": _MOST_CONNECTIONS,
                },
            },
        ],
        "actions": [
            action("shrink_heap", 0.8),
            action("disable_http_keepalive", 0.9),
            action("stop_accepting_requests", 0.95),
        ],
    }


def clusters_file(config: EdgeConfig, version: str) -> Json:
    """The backends, those that are joined (a candidate or the asset store, with a release behind it), those counted apart."""
    several = dict.fromkeys(name for site in config.sites for name in joined(site))
    own = {site.backend for site in config.sites if site.apart}
    resources = [cluster(one) for one in config.backends]
    resources += [counted_apart(one) for one in config.backends if one.name in own]
    resources += [fallback(name, members(name)) for name in several]
    return {"version_info": version, "resources": resources}


def listeners_file(certificates: tuple[Certificate, ...], place: Place) -> Json:
    """The public ports; https only once there is a certificate."""
    folder = place.folder
    resources = [
        http_listener(place.address, place.http_port, f"{folder}/{RDS_HTTP}"),
        inner_listener(place.inner_socket),
    ]
    if certificates:
        routes = f"{folder}/{RDS_HTTPS}"
        resources.append(
            https_listener(place.address, place.https_port, routes, certificates, folder)
        )
    return {"version_info": version_of(resources), "resources": resources}


def routes_files(config: EdgeConfig, version: str, place: Place) -> Mapping[str, Json]:
    """The sites."""
    tables = {
        RDS_HTTP: ("http", place.http_port, http_virtual_hosts(config, place.https_port)),
        RDS_HTTPS: ("https", place.https_port, https_virtual_hosts(config, place.https_port)),
    }
    return {
        file: {
            "version_info": version,
            "resources": [
                {
                    "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
                    "name": name,
                    "ignore_port_in_host_matching": True,
                    "virtual_hosts": hosts,
                    "request_headers_to_add": [
                        header("x-forwarded-host", "%REQ(:AUTHORITY)%"),
                        header("x-forwarded-port", str(port)),
                        {**header("traceparent", _TRACE), "append_action": "ADD_IF_ABSENT"},
                    ],
                    "response_headers_to_remove": ["server", "x-envoy-upstream-service-time"],
                }
            ],
        }
        for file, (name, port, hosts) in tables.items()
    }


def secret_files(certificates: Iterable[Certificate]) -> Mapping[str, Json]:
    """The certificates with their keys, a file for each, so that one is swapped without touching another."""
    return {
        f"{SDS_PREFIX}{one.name}.json": {
            "version_info": version_of([one.chain_pem]),
            "resources": [
                {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
                    "name": one.name,
                    "tls_certificate": {
                        "certificate_chain": {"inline_string": one.chain_pem},
                        "private_key": {"inline_string": one.key_pem},
                    },
                }
            ],
        }
        for one in certificates
    }


def version_of(content: list[Any]) -> str:
    """A version that changes with the content only."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _file(place: Place, name: str) -> Json:
    return {
        "path_config_source": {"path": f"{place.folder}/{name}"},
        "resource_api_version": "V3",
    }
