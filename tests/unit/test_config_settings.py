"""Settings: from the environment and from one file, and where everything lies."""

import re
from pathlib import Path

import pytest

from gantry.config.paths import Paths
from gantry.config.setting_table import FILE_KEYS, SETTINGS, Scope
from gantry.config.settings import LETS_ENCRYPT, Settings
from gantry.config.settings_file import load_settings, with_values
from gantry.kernel.errors import UserError

NOWHERE = Path("/nonexistent/gantry.conf")


def load(machine_file: Path = NOWHERE, **environ: str) -> Settings:
    return load_settings({"HOME": "/home/ada", **environ}, machine_file=machine_file)


def faults(machine_file: Path = NOWHERE, **environ: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        load(machine_file, **environ)
    assert caught.value.code == "settings.invalid"
    return caught.value.message.splitlines()


def test_nothing_needs_to_be_set() -> None:
    settings = load()
    assert settings.home == Path("/home/ada/.gantry")
    assert (settings.http_port, settings.https_port, settings.bind) == (
        8080,
        8443,
        ("127.0.0.1",),
    )
    assert settings.console_host == "gantry.localhost"
    assert not settings.debug
    assert settings.file == Path("/home/ada/.gantry/gantry.conf")


def test_everything_can_be_set() -> None:
    settings = load(
        GANTRY_HOME="/srv/gantry",
        GANTRY_HTTPS_PORT="443",
        GANTRY_DOMAIN="Team.Example.",
        GANTRY_URL="https://gantry.team.example/",
        GANTRY_TOKEN=" a-secret-token\n",
        GANTRY_DEBUG="1",
        GANTRY_CACHE_MB="32",
    )
    assert settings.paths.lock == Path("/srv/gantry/control.lock")
    assert settings.url("shop.team.example") == "https://shop.team.example"
    assert settings.control_url == "https://gantry.team.example"
    assert settings.control_token == "a-secret-token"
    assert "a-secret-token" not in repr(settings)
    assert settings.domain == "team.example"
    assert settings.cache_bytes == 32_000_000
    assert settings.debug


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "8080 "])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    (fault,) = faults(GANTRY_HTTP_PORT=port)
    assert fault.startswith("GANTRY_HTTP_PORT: http_port: ")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GANTRY_BIND", "everywhere"),
        ("GANTRY_DOMAIN", "https://example.com"),
        ("GANTRY_DOMAIN", "a b"),
        ("GANTRY_ACME_EMAIL", "ada"),
        ("GANTRY_ACME_DIRECTORY", "http://acme.example/dir"),
        ("GANTRY_DATABASE_URL", "mysql://x"),
        ("GANTRY_CACHE_MB", "0"),
        ("GANTRY_URL", "ftp://gantry.example.com"),
        ("GANTRY_URL", "gantry.example.com:port"),
        ("GANTRY_DNS_PROVIDER", "Cloud Flare"),
        ("GANTRY_DNS_SERVER", "one.one.one.one"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(variable: str, value: str) -> None:
    (fault,) = faults(NOWHERE, **{variable: value})
    assert fault.startswith(f"{variable}: ")


def test_a_password_is_not_in_the_report() -> None:
    assert "hunter2" not in faults(GANTRY_DATABASE_URL="mysql://ada:hunter2@db")[0]


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("gantry.example.com", "https://gantry.example.com"),
        ("gantry.example.com:8443", "https://gantry.example.com:8443"),
        ("http://10.0.0.7:8080/", "http://10.0.0.7:8080"),
    ],
)
def test_a_bare_host_is_asked_over_https(given: str, url: str) -> None:
    assert load(GANTRY_URL=given).control_url == url


def test_the_environment_wins_over_the_file_and_both_are_named(tmp_path: Path) -> None:
    file = tmp_path / "gantry.conf"
    file.write_text('# ours\nhome = "/srv/gantry"\n\ndomain = "example.com"\nhttps_port = 443\n')
    settings = load(file, GANTRY_HTTPS_PORT="8443")
    assert (settings.home, settings.domain) == (Path("/srv/gantry"), "example.com")
    assert settings.https_port == 8443
    assert settings.origins == {
        "home": f"{file}:2",
        "domain": f"{file}:4",
        "https_port": "GANTRY_HTTPS_PORT",
    }
    assert settings.file == file


def test_one_report_names_every_fault(tmp_path: Path) -> None:
    file = tmp_path / "gantry.conf"
    file.write_text(
        'domian = "example.com"\nhttp_port = "http"\nurl = "x"\nbind = ["::"]\n[a]\nb = 1\n'
    )
    assert faults(file, GANTRY_CACHE_MB="many") == [
        f"{file}:1: domian: unknown setting; did you mean 'domain'?",
        f"{file}:3: url: cannot stand in the file; set GANTRY_URL in the environment",
        f"{file}:4: bind: must be a text or a number",
        f"{file}:5: a: unknown setting",
        f"{file}:2: http_port: 'http' is not a port; use a number from 1 to 65535",
        "GANTRY_CACHE_MB: cache_mb: 'many' is not a number of megabytes; use a number from 1 to 65536",
    ]


@pytest.mark.parametrize("content", [b"domain = ", b"\xff", b"a" * 300_000])
def test_a_file_that_is_none_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "gantry.conf"
    file.write_bytes(content)
    assert faults(file)[0].startswith(str(file))


def test_a_second_platform_does_not_take_the_machine_s_file(tmp_path: Path) -> None:
    machine, home = tmp_path / "gantry.conf", tmp_path / "home"
    machine.write_text(f'home = "{home}"\ndomain = "example.com"\n')
    assert load(machine, GANTRY_HOME="/elsewhere").domain == "localhost"
    assert load(machine, GANTRY_HOME=str(home)).domain == "example.com"
    home.mkdir()
    (home / "gantry.conf").write_text('domain = "example.org"\n')
    assert load(machine, GANTRY_HOME=str(home)).domain == "example.org"


def test_a_home_s_own_file_names_no_home(tmp_path: Path) -> None:
    (tmp_path / "gantry.conf").write_text('home = "/srv/gantry"\n')
    (fault,) = faults(GANTRY_HOME=str(tmp_path))
    assert "GANTRY_HOME" in fault


def test_changing_a_value_keeps_the_comments() -> None:
    text = '# ours\ndomain = "example.com"  # bought in May\nhttp_port = 80\n'
    changed = with_values(text, {"domain": "example.org", "http_port": None, "https_port": 443})
    assert changed == '# ours\ndomain = "example.org"  # bought in May\nhttps_port = 443\n'
    assert "# Settings" in with_values("", {"domain": "example.org"})


@pytest.mark.parametrize(
    ("key", "value"), [("domian", "x"), ("url", "https://x"), ("http_port", "x"), ("bind", "x")]
)
def test_what_cannot_be_read_is_not_written(key: str, value: str) -> None:
    with pytest.raises(UserError) as caught:
        with_values("", {key: value})
    assert caught.value.code == "settings.invalid"


def test_every_default_is_the_one_that_is_described() -> None:
    settings = load()
    for setting in SETTINGS:
        if setting.key != "home":
            assert setting.shown(settings) == setting.default, setting.key
    assert {"home", "domain"} <= set(FILE_KEYS)
    assert all(
        setting.scope is not Scope.PLATFORM or setting.key in FILE_KEYS for setting in SETTINGS
    )


@pytest.mark.parametrize(
    ("domain", "directory", "public"),
    [
        ("localhost", LETS_ENCRYPT, False),
        ("x.localhost", "https://ca.internal/acme", False),
        ("apps.internal", LETS_ENCRYPT, False),
        ("apps.internal", "https://ca.internal/acme", True),
        ("example.com", LETS_ENCRYPT, True),
        ("notlocal", LETS_ENCRYPT, True),
    ],
)
def test_for_which_domains_the_acme_server_signs(domain: str, directory: str, public: bool) -> None:
    settings = Settings(Path("/x"), domain=domain, acme_directory=directory)
    assert settings.is_public is public


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
    settings = load(GANTRY_BIND=text)
    assert (settings.bind, settings.own_address) == (addresses, own)


def test_proxies_that_are_believed() -> None:
    trusted = load(GANTRY_TRUSTED_PROXIES="10.0.0.0/8, 192.0.2.7 2001:db8::/32").trusted_proxies
    assert trusted == ("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32")
    assert load().trusted_proxies == ()
    named = load(GANTRY_TRUSTED_PROXIES="Cloudflare,10.0.0.0/8").trusted_proxies
    assert {"10.0.0.0/8", "104.16.0.0/13", "2606:4700::/32"} < set(named)
    assert len(named) == 23
    (shown,) = (row for row in SETTINGS if row.key == "trusted_proxies")
    assert shown.show(named) == "cloudflare, 10.0.0.0/8"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("GANTRY_BIND", "localhost"),
        ("GANTRY_BIND", "0.0.0.0:80"),
        ("GANTRY_BIND", "fe80::1%eth0"),
        ("GANTRY_BIND", "10.0.0.0/8"),
        ("GANTRY_BIND", ",".join(f"10.0.0.{number}" for number in range(17))),
        ("GANTRY_TRUSTED_PROXIES", "somebody"),
        ("GANTRY_TRUSTED_PROXIES", "10.0.0.1/8"),
    ],
)
def test_addresses_that_are_none_are_refused(name: str, text: str) -> None:
    (fault,) = faults(NOWHERE, **{name: text})
    assert name in fault


def test_sockets_lie_where_their_path_is_short_enough() -> None:
    assert Paths(Path("/srv/gantry")).api_socket == Path("/srv/gantry/run/api.sock")
    deep = Paths(Path("/srv") / ("x" * 80))
    assert len(str(deep.api_socket)) < 66
    assert deep.run == Paths(deep.home).run
    assert deep.run != Paths(Path("/srv") / ("y" * 80)).run


def test_only_this_room_names_variables_that_exist() -> None:
    """What the source calls a setting is one."""
    known = {setting.variable for setting in SETTINGS}
    root = Path(__file__).parents[2] / "src" / "gantry"
    for file in (root / "cli").rglob("*.py"):
        named = set(re.findall(r"\bGANTRY_[A-Z_]+[A-Z]\b", file.read_text()))
        assert named - known <= {"GANTRY_COMPLETE"}, file.name
