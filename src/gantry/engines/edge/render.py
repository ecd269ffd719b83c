"""The whole configuration as files for Envoy to read. Pure: golden files in the tests show what comes out."""

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gantry.engines.edge.clusters import bridge_cluster, cluster, counted_apart, fallback
from gantry.engines.edge.headers import header
from gantry.engines.edge.limits import COUNTED_SUFFIX as LIMITS_COUNTED_SUFFIX
from gantry.engines.edge.listeners import (
    bound,
    bridge_listener,
    http_listener,
    https_listener,
    inner_listener,
)
from gantry.engines.edge.observed import COUNTED
from gantry.engines.edge.overload import MIN_HEAP_BYTES, overload_manager
from gantry.engines.edge.protocol import TIMES_MS, Certificate, EdgeConfig
from gantry.engines.edge.routes import http_virtual_hosts, https_virtual_hosts
from gantry.engines.edge.visitors import joined
from gantry.kernel.edge_names import bridged, members

Json = dict[str, Any]

_GANTRY = Path(__file__).parents[2]
# RE2 is linear in the path whatever the pattern; at Envoy's own limit of 100 an ordinary pattern with a dozen
# languages is refused, and the whole configuration with it. The manifest bounds length and repetitions.
_LIMITS = {
    "re2.max_program_size.error_level": 100_000,
    "re2.max_program_size.warn_level": 100_000,
    # What stands behind a # never leaves a browser; a program that sends it means the page before it.
    "envoy.reloadable_features.http_reject_path_with_fragment": False,
}
# A W3C trace begins here where the visitor brings none. Envoy's tracer would cost as much as routing (decision 0024): the
# trace's 128 bits are from the request's random identity and the time in ns, and the edge's own step is the first of it.
# Sampled, as it would be without the edge: a product that follows its parent would record nothing of it otherwise.
_TRACE = "00-%REQ(X-REQUEST-ID):8%%START_TIME(%s%9f)%00000-%REQ(X-REQUEST-ID):8%00000001-01"
CDS, LDS, RDS_HTTP, RDS_HTTPS = "cds.json", "lds.json", "rds-http.json", "rds-https.json"
SDS_PREFIX = "sds-"


@dataclass(frozen=True, slots=True)
class EdgePaths:
    """Where the edge listens and keeps its files.

    Attributes:
        directory: of the files, as Envoy sees it.
        admin_socket: unix socket of the admin interface; loopback is shared with untrusted instances.
        inner_socket: unix socket on which the cache asks for what it does not have.
        addresses: of the public ports.
        trusted_proxies: networks whose word counts for where a visitor comes from.
        max_heap_bytes: memory that the edge may use.
    """

    directory: str
    admin_socket: str
    inner_socket: str
    addresses: tuple[str, ...]
    http_port: int
    https_port: int
    trusted_proxies: tuple[str, ...] = ()
    max_heap_bytes: int = MIN_HEAP_BYTES


def digest(config: EdgeConfig, paths: EdgePaths) -> str:
    """Identity of what `config` comes to at `paths`: 16 hex digits.

    It also changes with Gantry's code, so that a new version brings an edge up to date that still runs with files of
    the old one.
    """
    return version_of([_plain(asdict(config)), asdict(paths), code_digest(_GANTRY)])


def _plain(value: Any) -> Any:  # noqa: ANN401 -- any JSON
    """Bytes as text: keys of canaries."""
    return json.loads(json.dumps(value, default=lambda key: key.hex()))


@functools.cache
def code_digest(package: Path) -> str:
    """Digest of every module of a package: any of them may have a part in what is rendered."""
    code = hashlib.sha256()
    for module in sorted(package.rglob("*.py")):
        code.update(module.read_bytes())
    return code.hexdigest()


def empty_files(paths: EdgePaths) -> Mapping[str, Json]:
    """What a new edge starts with: it answers on the http port and knows no site."""
    config = EdgeConfig()
    version = digest(config, paths)
    return {
        **routes_files(config, version, paths),
        CDS: clusters_file(config, version),
        LDS: listeners_file((), paths),
    }


def bootstrap(paths: EdgePaths) -> Json:
    """What Envoy starts with; everything else it reads from the other files."""
    return {
        "node": {"id": "edge", "cluster": "gantry"},
        "admin": {
            "address": {"pipe": {"path": paths.admin_socket, "mode": 0o600}},
            "ignore_global_conn_limit": True,
        },
        "dynamic_resources": {
            "cds_config": _file(paths, CDS),
            "lds_config": _file(paths, LDS),
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
                        {"safe_regex": {"regex": COUNTED}},
                        {"suffix": LIMITS_COUNTED_SUFFIX},
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
        "overload_manager": overload_manager(paths.max_heap_bytes),
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
                },
            }
        ],
        "layered_runtime": {"layers": [{"name": "limits", "static_layer": _LIMITS}]},
    }


def clusters_file(config: EdgeConfig, version: str) -> Json:
    """The backends, those that are joined (a candidate or the asset store, with a release behind it), those counted apart."""
    several = dict.fromkeys(name for site in config.sites for name in joined(site))
    own = {site.backend for site in config.sites if site.apart}
    resources = [cluster(backend) for backend in config.backends]
    resources += [counted_apart(backend) for backend in config.backends if backend.name in own]
    bridges = dict.fromkeys(part for name in several for part in members(name) if bridged(part))
    resources += [bridge_cluster(name) for name in bridges]
    resources += [fallback(name, members(name)) for name in several]
    return {"version_info": version, "resources": resources}


def listeners_file(certificates: tuple[Certificate, ...], paths: EdgePaths) -> Json:
    """The public ports; https only once there is a certificate."""
    directory = paths.directory
    resources = [
        http_listener(paths.addresses, paths.http_port, f"{directory}/{RDS_HTTP}"),
        inner_listener(paths.inner_socket),
        bridge_listener(),
    ]
    if certificates:
        routes = f"{directory}/{RDS_HTTPS}"
        resources.append(
            https_listener(
                paths.addresses,
                paths.https_port,
                routes,
                certificates,
                directory,
                paths.trusted_proxies,
            )
        )
    return {"version_info": version_of(resources), "resources": resources}


def rebound(listeners: Mapping[str, Any], paths: EdgePaths) -> Json:
    """The same listeners at the addresses and ports of `paths`."""
    ports = {"http": paths.http_port, "https": paths.https_port}
    resources = [
        {**listener, **bound(paths.addresses, ports[listener["name"]])}
        if listener["name"] in ports
        else listener
        for listener in listeners["resources"]
    ]
    return {"version_info": version_of(resources), "resources": resources}


def routes_files(config: EdgeConfig, version: str, paths: EdgePaths) -> Mapping[str, Json]:
    """The sites."""
    tables = {
        RDS_HTTP: ("http", paths.http_port, http_virtual_hosts(config, paths.https_port)),
        RDS_HTTPS: ("https", paths.https_port, https_virtual_hosts(config, paths.https_port)),
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
                        *_address_headers(paths),
                        {**header("traceparent", _TRACE), "append_action": "ADD_IF_ABSENT"},
                    ],
                    "response_headers_to_remove": ["server", "x-envoy-upstream-service-time"],
                }
            ],
        }
        for file, (name, port, hosts) in tables.items()
    }


def _address_headers(paths: EdgePaths) -> list[Json]:
    """Where proxies are believed, the visitor's address alone: what proxies wrote before it is nobody's to read."""
    if not paths.trusted_proxies:
        return []
    return [header("x-forwarded-for", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%")]


def secret_files(certificates: Iterable[Certificate]) -> Mapping[str, Json]:
    """The certificates with their keys, a file for each, so that one is swapped without touching another."""
    return {
        f"{SDS_PREFIX}{certificate.name}.json": {
            "version_info": version_of([certificate.chain_pem]),
            "resources": [
                {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
                    "name": certificate.name,
                    "tls_certificate": {
                        "certificate_chain": {"inline_string": certificate.chain_pem},
                        "private_key": {"inline_string": certificate.key_pem},
                    },
                }
            ],
        }
        for certificate in certificates
    }


def version_of(content: list[Any]) -> str:
    """A version that changes with the content only."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _file(paths: EdgePaths, name: str) -> Json:
    return {
        "path_config_source": {"path": f"{paths.directory}/{name}"},
        "resource_api_version": "V3",
    }
