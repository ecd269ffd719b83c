"""The edge's configuration as golden files. `GANTRY_REWRITE_GOLDEN=1 pytest` writes them anew."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gantry.config.routes import MAX_HEADERS
from gantry.engines.edge import render
from gantry.engines.edge.checks import check
from gantry.engines.edge.protocol import (
    ASSETS,
    CACHE,
    MAX_MESSAGE,
    MAX_TITLE,
    Assets,
    Backend,
    Canary,
    Certificate,
    Closed,
    EdgeConfig,
    Endpoint,
    HeaderRule,
    Limit,
    PathTimeouts,
    Pin,
    Redirect,
    Rewrite,
    Rules,
    Site,
    Timeouts,
)
from gantry.kernel.errors import PermanentError, UserError

GOLDEN = Path(__file__).parents[1] / "golden" / "edge"
PATHS = render.EdgePaths(
    directory="/gantry/edge",
    admin_socket="/gantry/run/envoy-admin.sock",
    inner_socket="/gantry/run/inner.sock",
    addresses=("0.0.0.0",),
    http_port=80,
    https_port=443,
)
SHOP = Site(
    ("shop.localhost",),
    "r-2",
    release="r-2",
    redirects=(
        Redirect("/old/:slug*", "/new/:slug*"),
        Redirect("/out", "https://example.org/there?from=shop", 307),
    ),
    rewrites=(Rewrite("/docs/:page", "/pages/:page"),),
    headers=(
        HeaderRule("/(.*)", (("x-frame-options", "DENY"),)),
        HeaderRule("/embed/:name", (("x-frame-options", "ALLOWALL"),)),
    ),
    timeouts=Timeouts(30, 120),
    path_timeouts=(PathTimeouts("/reports/:name", Timeouts(600, 600)),),
    title="Shop",
    pins=(Pin("0123456789ab", "r-2", "builds/b-2"), Pin("ba9876543210", "r-1", "builds/b-1")),
    assets=Assets("scopes/shop", ("/_next/static",)),
    cached=("/", "/news/:slug*"),
    limits=(
        Limit("/api/:path*", requests=100, period_s=60, burst=20),
        Limit("/login", requests=5, period_s=3_600, burst=5, per="cookie", name="sid", status=503),
    ),
)
DIVIDED = Site(
    ("divided.localhost",),
    "r-2",
    release="r-2",
    redirects=(Redirect("/old", "/new"),),
    headers=(HeaderRule("/(.*)", (("x-side", "current"),)),),
    canary=Canary(
        "ro-1",
        "r-3",
        50,
        b"0123456789abcdef",
        buckets=2,
        rules=Rules(
            redirects=(Redirect("/old", "/newer"),),
            rewrites=(Rewrite("/docs", "/pages"),),
            headers=(HeaderRule("/docs", (("x-side", "candidate"),)),),
        ),
    ),
)
CLOSED = Site(
    ("closed.localhost",),
    "r-2",
    release="r-2",
    headers=(HeaderRule("/(.*)", (("x-frame-options", "DENY"),)),),
    closed=Closed("Down for maintenance", "Back at noon.", ("203.0.113.7/32", "2001:db8::/32")),
)
CONFIG = EdgeConfig(
    sites=(
        SHOP,
        Site(("shop.example", "www.shop.example"), "r-2", release="r-2"),
        DIVIDED,
        CLOSED,
        Site(("new.localhost",), None, title="New", noindex=True),
        Site(("gantry.localhost",), "console", noindex=True),
    ),
    backends=(
        Backend(
            "r-2",
            (Endpoint(port=20_001), Endpoint(port=20_002)),
            health_path="/health",
            health_host="shop.localhost",
        ),
        Backend(
            "r-1", (Endpoint(port=20_000),), health_path="/health", health_host="shop.localhost"
        ),
        Backend("r-3", (Endpoint(port=20_003),)),
        Backend(ASSETS, (Endpoint(socket="/gantry/run/assets/http.sock"),), "/health", ASSETS),
        Backend(CACHE, (Endpoint(socket="/gantry/run/cache/http.sock"),)),
        Backend("console", (Endpoint(socket="/gantry/run/api.sock"),), idle_timeout_s=4),
    ),
    certificates=(
        Certificate("local", ("shop.localhost", "gantry.localhost"), "CHAIN 1", "KEY 1"),
        Certificate("shop.example", ("shop.example", "www.shop.example"), "CHAIN 2", "KEY 2"),
    ),
    acme_challenges={"token-b": "answer-b", "token-a": "answer-a"},
)


def files() -> Mapping[str, Any]:
    return {
        "bootstrap.json": render.bootstrap(PATHS),
        render.CDS: render.clusters_file(CONFIG, "VERSION"),
        render.LDS: render.listeners_file(CONFIG.certificates, PATHS),
        **render.routes_files(CONFIG, "VERSION", PATHS),
        **render.secret_files(CONFIG.certificates),
    }


@pytest.mark.parametrize("name", sorted(files()))
def test_the_files_are_what_the_golden_files_say(name: str) -> None:
    text = json.dumps(files()[name], indent=1) + "\n"
    if os.environ.get("GANTRY_REWRITE_GOLDEN"):
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text()


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(files())


def test_rendering_changes_nothing_and_repeats() -> None:
    assert files() == files()


def headers_of(site: Site, paths: render.EdgePaths = PATHS) -> dict[str, str]:
    routes = render.routes_files(EdgeConfig(sites=(site,)), "", paths)[render.RDS_HTTPS]
    added = routes["resources"][0]["virtual_hosts"][0]["response_headers_to_add"]
    return {one["header"]["key"]: one["header"]["value"] for one in added}


def test_more_headers_for_both_sides_than_envoy_takes_are_those_of_the_current_release() -> None:
    assert DIVIDED.canary is not None
    assert DIVIDED.canary.rules is not None
    many = (HeaderRule("/docs", (("x-side", "candidate"),) * MAX_HEADERS),)
    rules = replace(DIVIDED.canary.rules, headers=many)
    crowded = replace(DIVIDED, canary=replace(DIVIDED.canary, rules=rules))
    assert headers_of(crowded)["x-side"] == "current"
    alone = replace(crowded, headers=())
    assert "candidate" in headers_of(alone)["x-side"]


def test_a_site_that_lets_nobody_in_asks_for_no_address() -> None:
    assert CLOSED.closed is not None
    shut = replace(CLOSED, closed=replace(CLOSED.closed, allowed=()))
    routes = render.routes_files(EdgeConfig(sites=(shut,)), "", PATHS)[render.RDS_HTTPS]
    host = routes["resources"][0]["virtual_hosts"][0]
    assert "matcher" not in host
    assert {route["direct_response"]["status"] for route in host["routes"]} == {503}


@pytest.mark.parametrize(
    "closed",
    [
        Closed("Closed", "x", ("127.0.0.1/33",)),
        Closed("Closed", "x", ("10.0.0.1/24",)),
        Closed("Closed", "x", ("office.example",)),
        Closed("Closed", "x", ("fe80::1%eth0",)),
        Closed("Closed", "x" * (MAX_MESSAGE + 1)),
        Closed("x" * (MAX_TITLE + 1), "x"),
    ],
)
def test_what_envoy_would_refuse_of_a_closed_site_is_found_before(closed: Closed) -> None:
    with pytest.raises(PermanentError) as caught:
        check(replace(CONFIG, sites=(replace(CLOSED, closed=closed),)))
    assert caught.value.code == "edge.rejected"


@pytest.mark.parametrize(
    ("address", "enters"),
    [
        ("203.0.113.7", True),
        ("203.0.113.8", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
    ],
)
def test_who_is_let_into_a_closed_site(address: str, enters: bool) -> None:
    assert CLOSED.closed is not None
    assert CLOSED.closed.lets_in(address) is enters


@pytest.mark.parametrize(("port", "named"), [(443, {}), (8443, {"port_redirect": 8443})])
def test_the_way_to_https_names_its_port_only_where_it_is_another(
    port: int, named: dict[str, int]
) -> None:
    routes = render.routes_files(EdgeConfig(), "", replace(PATHS, https_port=port))
    (host,) = routes[render.RDS_HTTP]["resources"][0]["virtual_hosts"]
    assert host["routes"][-1]["redirect"] == {
        "https_redirect": True,
        "response_code": "PERMANENT_REDIRECT",
        **named,
    }


def test_strict_transport_only_where_it_is_true() -> None:
    real = Site(("shop.example",), "r-1")
    assert "strict-transport-security" in headers_of(real)
    assert "strict-transport-security" not in headers_of(replace(real, hosts=("a.localhost",)))
    assert "strict-transport-security" not in headers_of(real, replace(PATHS, https_port=8443))


def test_a_certificate_changes_its_own_secret_only() -> None:
    renewed = replace(CONFIG.certificates[1], chain_pem="CHAIN 3")
    before = render.secret_files(CONFIG.certificates)
    after = render.secret_files((CONFIG.certificates[0], renewed))
    assert before["sds-local.json"] == after["sds-local.json"]
    assert before["sds-shop.example.json"] != after["sds-shop.example.json"]
    assert render.listeners_file(CONFIG.certificates, PATHS) == render.listeners_file(
        (CONFIG.certificates[0], renewed), PATHS
    )


def test_names_of_the_first_certificate_do_not_change_the_listener() -> None:
    more = replace(CONFIG.certificates[0], hosts=("shop.localhost", "r-3--shop.localhost"))
    assert render.listeners_file(CONFIG.certificates, PATHS) == render.listeners_file(
        (more, CONFIG.certificates[1]), PATHS
    )


def test_the_digest_depends_on_the_configuration_and_on_the_paths() -> None:
    assert render.digest(CONFIG, PATHS) == render.digest(CONFIG, PATHS)
    assert render.digest(CONFIG, PATHS) != render.digest(EdgeConfig(), PATHS)
    assert render.digest(CONFIG, PATHS) != render.digest(CONFIG, replace(PATHS, https_port=8443))


def test_a_change_of_any_module_is_another_digest(tmp_path: Path) -> None:
    for name, code in (("before", "x = 1\n"), ("same", "x = 1\n"), ("after", "x = 2\n")):
        (tmp_path / name / "rooms").mkdir(parents=True)
        (tmp_path / name / "rooms" / "module.py").write_text(code)
    before, same, after = (
        render.code_digest(tmp_path / name) for name in ("before", "same", "after")
    )
    assert before == same != after


@pytest.mark.parametrize(
    ("destination", "host", "port", "path"),
    [
        ("https://example.org", "example.org", None, "/"),
        ("https://example.org:8443/a/b?c=d", "example.org", 8443, "/a/b?c=d"),
        ("https://example.org?next=/in&at=a:1", "example.org", None, "/?next=/in&at=a:1"),
        ("https://example.org?at=:page", "example.org", None, "/?at=\\1"),
    ],
)
def test_a_redirect_to_another_host(
    destination: str, host: str, port: int | None, path: str
) -> None:
    site = replace(SHOP, redirects=(Redirect("/sign/:page", destination),), rewrites=())
    routes = render.routes_files(EdgeConfig(sites=(site,)), "", PATHS)[render.RDS_HTTPS]
    last = routes["resources"][0]["virtual_hosts"][0]["routes"]
    redirect = [route["redirect"] for route in last if "redirect" in route][-1]
    assert (redirect["scheme_redirect"], redirect["host_redirect"]) == ("https", host)
    assert redirect.get("port_redirect") == port
    assert redirect["regex_rewrite"]["substitution"] == path


@pytest.mark.parametrize(
    ("site", "code"),
    [
        (replace(SHOP, redirects=(Redirect("old", "/new"),)), "route.bad-pattern"),
        (replace(SHOP, redirects=(Redirect("/a", "/:b"),)), "route.unknown-parameter"),
        (replace(SHOP, rewrites=(Rewrite("/a", "https://b.example/"),)), "route.bad-rewrite"),
        (
            replace(SHOP, headers=(HeaderRule("/a", (("x-a", ""),) * (MAX_HEADERS + 1)),)),
            "route.too-many-headers",
        ),
    ],
)
def test_what_cannot_be_rendered(site: Site, code: str) -> None:
    with pytest.raises(UserError) as caught:
        render.routes_files(EdgeConfig(sites=(site,)), "", PATHS)
    assert caught.value.code == code
