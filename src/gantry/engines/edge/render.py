"""The whole configuration as files for Envoy to read. Pure: golden files in the tests show what comes out."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gantry.engines.edge.clusters import cluster
from gantry.engines.edge.listeners import NOWHERE, listener
from gantry.engines.edge.protocol import Backend, Certificate, EdgeConfig
from gantry.engines.edge.routes import http_virtual_hosts, https_virtual_hosts

Json = dict[str, Any]

CDS, LDS, RDS_HTTP, RDS_HTTPS = "cds.json", "lds.json", "rds-http.json", "rds-https.json"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the edge listens and keeps its files.

    Attributes:
        folder: as Envoy sees it.
        admin_socket: unix socket of the admin interface; loopback is shared with untrusted instances.
    """

    folder: str
    admin_socket: str
    address: str
    http_port: int
    https_port: int


def digest(config: EdgeConfig) -> str:
    """Identity of a configuration: 16 hex digits."""
    text = json.dumps(asdict(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def bootstrap(place: Place) -> Json:
    """What Envoy starts with; everything else it reads from the other files."""
    return {
        "node": {"id": "edge", "cluster": "gantry"},
        "admin": {"address": {"pipe": {"path": place.admin_socket, "mode": 0o600}}},
        "dynamic_resources": {
            "cds_config": _file(place, CDS),
            "lds_config": _file(place, LDS),
        },
        "static_resources": {
            "clusters": [{"name": NOWHERE, "type": "STATIC", "connect_timeout": "1s"}]
        },
        "stats_config": {
            # A name for each release would be kept for good; the totals per release come from /clusters.
            "stats_matcher": {
                "inclusion_list": {
                    "patterns": [
                        {"prefix": "listener_manager."},
                        {"prefix": "cluster_manager."},
                        {"prefix": "http.https."},
                        {"prefix": "http.http."},
                        {"prefix": "sds."},
                        {"prefix": "server."},
                        {"contains": "ssl_context_update"},
                        {"contains": ".rds."},
                    ]
                }
            }
        },
    }  # fmt: skip


def clusters_file(backends: Iterable[Backend], version: str) -> Json:
    """The backends."""
    return {"version_info": version, "resources": [cluster(one) for one in backends]}


def listeners_file(certificates: tuple[Certificate, ...], place: Place) -> Json:
    """The public ports; https only once there is a certificate."""
    folder = place.folder
    resources = [
        listener("http", place.address, place.http_port, f"{folder}/{RDS_HTTP}", (), folder)
    ]
    if certificates:
        resources.append(
            listener(
                "https",
                place.address,
                place.https_port,
                f"{folder}/{RDS_HTTPS}",
                certificates,
                folder,
            )
        )
    return {"version_info": version_of(resources), "resources": resources}


def routes_files(config: EdgeConfig, version: str, place: Place) -> Mapping[str, Json]:
    """The sites."""
    tables = {
        RDS_HTTP: ("http", http_virtual_hosts(config, place.https_port)),
        RDS_HTTPS: ("https", https_virtual_hosts(config)),
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
                        {
                            "header": {"key": "x-forwarded-host", "value": "%REQ(:AUTHORITY)%"},
                            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                        }
                    ],
                    "response_headers_to_remove": ["server", "x-envoy-upstream-service-time"],
                }
            ],
        }
        for file, (name, hosts) in tables.items()
    }


def secret_files(certificates: Iterable[Certificate]) -> Mapping[str, Json]:
    """The certificates with their keys, a file for each, so that one is swapped without touching another."""
    return {
        f"sds-{one.name}.json": {
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
