"""What each part of the edge costs: `python -m benchmarks.edge_cost [--requests N] [PART ...]`.

Throughput on a shared machine tells differences of less than five points only after an hour (`benchmarks.edge`). Here a
simulated processor (valgrind's callgrind) counts what Envoy does for a request: instructions, and misses of its caches.
Plain Envoy and Gantry's edge are counted, and then the edge with one part left out at a time. The estimate is callgrind's
own, in cycles: instructions + 10 for each miss of the first cache + 100 for each of the last.

Needs valgrind (apt-get install valgrind). Counts vary by less than one in a hundred on a machine that nothing else uses, else by
ten: timers go on while a request waits for the processor.
"""

import argparse
import asyncio
import contextlib
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import track
from rich.table import Table
from tests.support.edge import free_ports, lab

from benchmarks.edge import SITE
from benchmarks.edge_load import missing
from benchmarks.edge_rivals import (
    HOST,
    Certificate as Pem,
    envoy_command,
    plain_config,
    running,
    upstream,
)
from gantry.engines.edge import render
from gantry.engines.edge.apply import ConfigDirectory
from gantry.engines.edge.protocol import Backend, Certificate, EdgeConfig, Endpoint

Json = dict[str, Any]

_MANAGER = "envoy.filters.network.http_connection_manager"
_CONNECTIONS = 4
_WARM_REQUESTS = 40
# The simulated processor is some fifty times slower, on a machine that others use.
_START_TIMEOUT_S = 900.0
_ANSWER_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class Https:
    """What Envoy reads of the https port: a part is left out by changing it in place.

    Attributes:
        manager: settings of the filter that turns connections into requests.
        table: the routes.
    """

    manager: Json
    table: Json

    @classmethod
    def of(cls, listeners: Json, routes: Json) -> Self:
        (https,) = (one for one in listeners["resources"] if one["name"] == "https")
        (table,) = routes["resources"]
        filters = https["default_filter_chain"]["filters"]
        (manager,) = (one for one in filters if one["name"] == _MANAGER)
        return cls(manager["typed_config"], table)

    def without_filter(self, name: str) -> None:
        filters = self.manager["http_filters"]
        filters[:] = [one for one in filters if one["name"] != name]

    def actions(self) -> Iterator[Json]:
        for host in self.table["virtual_hosts"]:
            yield from (route["route"] for route in host["routes"] if "route" in route)


def _numbers(https: Https) -> None:
    https.manager["http_filters"][-1]["typed_config"]["dynamic_stats"] = False


def _last_route_only(https: Https) -> None:
    for host in https.table["virtual_hosts"]:
        if "route" in host["routes"][-1]:
            del host["routes"][:-1]


def _retries(https: Https) -> None:
    for action in https.actions():
        del action["retry_policy"]


def _silence(https: Https) -> None:
    for action in https.actions():
        action["idle_timeout"] = "0s"


def _release_header(https: Https) -> None:
    for host in https.table["virtual_hosts"]:
        host.pop("response_headers_to_add", None)


def _request_id(https: Https) -> None:
    https.manager["generate_request_id"] = False
    del https.manager["always_set_request_id_in_response"]


PARTS: dict[str, Callable[[Https], object]] = {
    "access log": lambda https: https.manager.pop("access_log"),
    "numbers of each release": _numbers,
    "request headers": lambda https: https.table.pop("request_headers_to_add"),
    "forged headers": lambda https: https.manager.pop("early_header_mutation_extensions"),
    "visitor's address": lambda https: https.manager.pop("use_remote_address"),
    "request id": _request_id,
    "compression": lambda https: https.without_filter("compressor"),
    "retries": _retries,
    "bounded silence": _silence,
    "routes that do not fit": _last_route_only,
    "release header": _release_header,
    "own pages": lambda https: https.manager.pop("local_reply_config"),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one request."""

    instructions: float
    first_misses: float
    last_misses: float

    @property
    def cycles(self) -> float:
        return self.instructions + 10 * self.first_misses + 100 * self.last_misses


async def main() -> int:
    """Count and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("parts", nargs="*", metavar="PART", help="; ".join(PARTS))
    options = parser.parse_args()
    if words := missing("valgrind"):
        print(words, file=sys.stderr)
        return 2
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    async with lab() as one:
        certificate = await one.certificate(HOST)
    folder = Path(tempfile.mkdtemp(prefix="gantry-bench-"))
    try:
        await asyncio.to_thread(
            _print_all, folder, certificate, options.parts or list(PARTS), options.requests
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _print_all(folder: Path, certificate: Certificate, parts: list[str], requests: int) -> None:
    pem = Pem.written(folder, certificate)
    with upstream(folder) as product:
        plain = _count_plain(folder, product, pem, requests)
        whole = _count_edge(folder, product, certificate, requests, None)
        without = {
            part: _count_edge(folder, product, certificate, requests, PARTS[part])
            for part in track(parts, "counting", console=Console(stderr=True))
        }
    table = Table("", "instructions", "misses", "cycles, estimated", "of plain Envoy", "saves")
    for name, cost in {"plain Envoy": plain, "Gantry": whole, **without}.items():
        table.add_row(
            f"without {name}" if name in PARTS else name,
            f"{cost.instructions:,.0f}",
            f"{cost.first_misses:,.0f}",
            f"{cost.cycles:,.0f}",
            f"{cost.cycles / plain.cycles:.1%}",
            f"{whole.cycles - cost.cycles:+,.0f}" if name in PARTS else "",
        )
    Console(width=110).print(table)


def _count_plain(folder: Path, product: int, pem: Pem, requests: int) -> Cost:
    _, https = ports = free_ports(2)
    return _count(
        folder, envoy_command(folder, "plain", plain_config(product, pem, ports)), https, requests
    )


def _count_edge(
    folder: Path,
    product: int,
    certificate: Certificate,
    requests: int,
    leave_out: Callable[[Https], object] | None,
) -> Cost:
    http, https = free_ports(2)
    own = Path(tempfile.mkdtemp(dir=folder))
    place = render.EdgePaths(
        directory=str(own),
        admin_socket=str(own / "admin.sock"),
        inner_socket=str(own / "inner.sock"),
        addresses=("127.0.0.1",),
        http_port=http,
        https_port=https,
    )
    files = files_without(leave_out, place, product, certificate)
    read = ConfigDirectory(own)
    for name, content in files.items():
        read.write(name, content)
    return _count(own, envoy_command(own, "bootstrap", render.bootstrap(place)), https, requests)


def files_without(
    leave_out: Callable[[Https], object] | None,
    place: render.EdgePaths,
    product: int,
    certificate: Certificate,
) -> dict[str, Json]:
    """What Envoy reads for a site whose product listens on that port, without a part; `None`: with all of them."""
    backends = (Backend("r-1", (Endpoint(port=product),), "/health", HOST),)
    config = EdgeConfig((SITE,), backends, (certificate,))
    files = {
        **render.routes_files(config, "1", place),
        **render.secret_files(config.certificates),
        render.CDS: render.clusters_file(config, "1"),
        render.LDS: render.listeners_file(config.certificates, place),
    }
    if leave_out is not None:
        leave_out(Https.of(files[render.LDS], files[render.RDS_HTTPS]))
    return files


def _count(folder: Path, command: list[str], port: int, requests: int) -> Cost:
    """Start Envoy on the simulated processor, warm it, and count from then on."""
    found = folder / "counted"
    valgrind = [
        *("valgrind", "--tool=callgrind", "--cache-sim=yes", "--instr-atstart=no"),
        f"--callgrind-out-file={found}",
    ]
    url = f"https://127.0.0.1:{port}/"
    started = running([*valgrind, *command], url, folder, patience_s=_START_TIMEOUT_S)
    with started as pid, _visitors(port) as ask:
        ask(_WARM_REQUESTS)
        _tell(pid, "--instr=on")
        ask(requests)
        _tell(pid, "--instr=off")
        _tell(pid, "--dump")
    counted = [cost for path in folder.glob("counted*") if (cost := _read(path, requests))]
    if len(counted) != 1:
        raise SystemExit(f"callgrind left {len(counted)} counts in {folder}, expected one")
    return counted[0]


def _tell(pid: int, what: str) -> None:
    subprocess.run(["callgrind_control", what, str(pid)], check=True, capture_output=True)


@contextlib.contextmanager
def _visitors(port: int) -> Iterator[Callable[[int], None]]:
    """Asks for so many pages, over connections that are kept: their beginnings are not counted."""
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    connections = [
        HTTPSConnection("127.0.0.1", port, context=anybody, timeout=_ANSWER_TIMEOUT_S)
        for _ in range(_CONNECTIONS)
    ]

    def ask(requests: int) -> None:
        for number in range(requests):
            connection = connections[number % _CONNECTIONS]
            connection.request("GET", "/", headers={"Host": HOST, "Accept": "*/*"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise SystemExit(f"port {port} answers {answer.status}")

    try:
        yield ask
    finally:
        for connection in connections:
            connection.close()


def _read(path: Path, requests: int) -> Cost | None:
    """`None` for a file without counts."""
    events: list[str] = []
    for line in path.read_text().splitlines():
        word, _, rest = line.partition(":")
        if word == "events":
            events = rest.split()
        if word in {"summary", "totals"} and any(map(int, rest.split())):
            of = dict(zip(events, map(int, rest.split()), strict=False))
            return Cost(
                of["Ir"] / requests,
                (of["I1mr"] + of["D1mr"] + of["D1mw"]) / requests,
                (of["ILmr"] + of["DLmr"] + of["DLmw"]) / requests,
            )
    return None


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
