"""Settings from the environment, and where everything lies."""

from pathlib import Path

import pytest

from gantry.config.paths import Paths
from gantry.config.settings import from_environment
from gantry.kernel.errors import UserError


def test_nothing_needs_to_be_set() -> None:
    settings = from_environment({"HOME": "/home/ada"})
    assert settings.home == Path("/home/ada/.gantry")
    assert (settings.http_port, settings.https_port, settings.bind) == (
        8080,
        8443,
        ("127.0.0.1",),
    )
    assert settings.console_host == "gantry.localhost"
    assert not settings.debug


def test_everything_can_be_set() -> None:
    settings = from_environment(
        {
            "GANTRY_HOME": "/srv/gantry",
            "GANTRY_HTTPS_PORT": "443",
            "GANTRY_DOMAIN": "team.example",
            "GANTRY_URL": "https://gantry.team.example/",
            "GANTRY_TOKEN": " a-secret-token\n",
            "GANTRY_DEBUG": "1",
        }
    )
    assert settings.paths.lock == Path("/srv/gantry/control.lock")
    assert settings.url("shop.team.example") == "https://shop.team.example"
    assert settings.control_url == "https://gantry.team.example"
    assert settings.control_token == "a-secret-token"
    assert "a-secret-token" not in repr(settings)
    assert settings.debug


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "8080 "])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(UserError) as caught:
        from_environment({"GANTRY_HTTP_PORT": port})
    assert (caught.value.code, caught.value.where) == ("settings.invalid", "GANTRY_HTTP_PORT")


@pytest.mark.parametrize(
    ("text", "addresses", "own"),
    [
        ("0.0.0.0", ("0.0.0.0",), "127.0.0.1"),
        ("::", ("::",), "[::1]"),
        ("192.0.2.7, 2001:DB8::1", ("192.0.2.7", "2001:db8::1"), "192.0.2.7"),
        ("2001:db8::1 192.0.2.7,192.0.2.7", ("2001:db8::1", "192.0.2.7"), "[2001:db8::1]"),
    ],
)
def test_the_public_ports_have_addresses(text: str, addresses: tuple[str, ...], own: str) -> None:
    settings = from_environment({"HOME": "/", "GANTRY_BIND": text})
    assert (settings.bind, settings.own_address) == (addresses, own)


def test_proxies_that_are_believed() -> None:
    environ = {"HOME": "/", "GANTRY_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.7 2001:db8::/32"}
    trusted = from_environment(environ).trusted_proxies
    assert trusted == ("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32")
    assert from_environment({"HOME": "/"}).trusted_proxies == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("GANTRY_BIND", "localhost"),
        ("GANTRY_BIND", "0.0.0.0:80"),
        ("GANTRY_BIND", "fe80::1%eth0"),
        ("GANTRY_BIND", "10.0.0.0/8"),
        ("GANTRY_BIND", ",".join(f"10.0.0.{number}" for number in range(17))),
        ("GANTRY_TRUSTED_PROXIES", "cloudflare"),
        ("GANTRY_TRUSTED_PROXIES", "10.0.0.1/8"),
    ],
)
def test_addresses_that_are_none_are_refused(name: str, text: str) -> None:
    with pytest.raises(UserError) as caught:
        from_environment({"HOME": "/", name: text})
    assert (caught.value.code, caught.value.where) == ("settings.invalid", name)


def test_sockets_lie_where_their_path_is_short_enough() -> None:
    assert Paths(Path("/srv/gantry")).api_socket == Path("/srv/gantry/run/api.sock")
    deep = Paths(Path("/srv") / ("x" * 80))
    assert len(str(deep.api_socket)) < 66
    assert deep.run == Paths(deep.home).run
    assert deep.run != Paths(Path("/srv") / ("y" * 80)).run
