"""`gantry setup` and `uninstall`: what is missing on a machine, done once and never twice."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from gantry.app.setup import remove
from gantry.app.setup.act import carry_out
from gantry.app.setup.files import PORTS_KEY, SYSCTL_FILE, UNIT_FILE, Service, unit_text
from gantry.app.setup.look import observe
from gantry.app.setup.rules import Observed, Wanted, decide, first_look_domain
from gantry.app.setup.wanted import wanted_of
from gantry.cli.platform import Finding, SetupAnswers, SetupChange
from gantry.config.settings import Settings
from gantry.config.settings_file import load_settings
from gantry.kernel.errors import PermanentError, UserError
from tests.support.cli import Bench

SERVICE = Service("gantry", ("/opt/gantry/bin/gantry",), Path("/var/lib/gantry"), names_home=False)
VALUES: dict[str, str | int] = {
    "home": "/var/lib/gantry",
    "domain": "apps.example.com",
    "http_port": 80,
}
WANTED = Wanted(Path("/etc/gantry/gantry.conf"), VALUES, SERVICE, 80)
NOTHING = Observed("", "", "", 1024, False, False, False, False, False)


def names(wanted: Wanted, observed: Observed) -> list[str]:
    return [change.name for change in decide(wanted, observed)]


def test_a_fresh_machine_needs_everything_in_an_order_that_works() -> None:
    assert names(WANTED, NOTHING) == [
        "user", "home", "settings", "ports", "console", "unit", "enable", "start",
    ]  # fmt: skip


def test_without_systemd_nothing_is_enabled_or_started() -> None:
    no_systemd = replace(NOTHING, enabled=None, active=None)
    assert names(WANTED, no_systemd)[-1] == "unit"


def test_without_a_service_there_is_only_the_settings_file() -> None:
    assert names(replace(WANTED, service=None), NOTHING) == ["settings"]


@pytest.mark.parametrize(("user", "port"), [("root", 80), ("gantry", 8080)])
def test_ports_are_opened_only_where_that_is_needed(user: str, port: int) -> None:
    wanted = replace(WANTED, service=replace(SERVICE, user=user), port=port)
    assert "ports" not in names(wanted, NOTHING)


def test_the_second_time_there_is_nothing_to_change(tmp_path: Path) -> None:
    """On a machine of its own below a folder; what needs root or systemd is there already."""
    (tmp_path / PORTS_KEY).parent.mkdir(parents=True)
    (tmp_path / PORTS_KEY).write_text("1024\n")
    service = replace(SERVICE, user=_me(), home=tmp_path / "home")
    wanted = Wanted(tmp_path / "etc/gantry/gantry.conf", VALUES, service, 80)
    while changes := [
        item
        for item in decide(wanted, observe(wanted, tmp_path))
        if item.name not in ("console", "user")
    ]:
        carry_out(changes[0], wanted, tmp_path, _not_started)
    assert (tmp_path / PORTS_KEY).read_text() == ("80\n" if _me() != "root" else "1024\n")
    assert (tmp_path / UNIT_FILE).read_text() == unit_text(service)
    assert (
        load_settings({"HOME": "/x"}, machine_file=wanted.settings_file).domain
        == "apps.example.com"
    )
    (tmp_path / UNIT_FILE).write_text("by hand")
    assert [
        item.name for item in decide(wanted, observe(wanted, tmp_path)) if item.name != "console"
    ] == ["unit"]


def _not_started() -> None:
    raise AssertionError("nothing was to be started")


def test_a_service_that_does_not_come_up_fails_the_last_step(tmp_path: Path) -> None:
    def start() -> None:
        raise PermanentError("service.not-started", "the port is taken")

    with pytest.raises(PermanentError, match="the port is taken"):
        carry_out(SetupChange("start", "start Gantry now"), WANTED, tmp_path, start)


def _me() -> str:
    import pwd  # noqa: PLC0415

    return pwd.getpwuid(os.geteuid()).pw_name


def test_what_the_machine_refuses_names_the_change(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("a file in the way")
    with pytest.raises(PermanentError) as caught:
        carry_out(SetupChange("unit", "write the unit"), WANTED, tmp_path, _not_started)
    assert caught.value.code == "setup.failed"
    assert "write the unit" in caught.value.message


@pytest.mark.parametrize(
    "service", [SERVICE, replace(SERVICE, names_home=True, home=Path("/srv/a b"))]
)
def test_systemd_takes_the_unit(service: Service, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is missing")
    program = tmp_path / "gantry"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    file = tmp_path / "gantry.service"
    file.write_text(unit_text(replace(service, user=_me(), program=(str(program),))))
    done = subprocess.run(
        (analyze, "verify", "--man=no", str(file)), capture_output=True, text=True, check=False
    )
    # A systemd that is older than a key says so, and goes on.
    faults = [
        line
        for line in done.stderr.splitlines()
        if str(file) in line and "DelegateSubgroup" not in line
    ]
    assert faults == []


def test_the_unit_keeps_what_outlives_the_control_plane() -> None:
    text = unit_text(SERVICE)
    for line in (
        "KillMode=process",
        "Restart=on-failure",
        "OOMPolicy=continue",
        "User=gantry",
        "WantedBy=multi-user.target",
    ):
        assert f"\n{line}\n" in text
    # bubblewrap refuses to work with capabilities, and sandboxes are made of namespaces.
    for word in ("Capabilit", "RestrictNamespaces", "ProtectKernel", "PrivateUsers", "ProtectProc"):
        assert word not in "\n".join(line for line in text.splitlines() if "=" in line)


@pytest.mark.parametrize(
    ("addresses", "domain"),
    [((), ""), (("2001:db8::7",), ""), (("203.0.113.7", "2001:db8::7"), "203-0-113-7.sslip.io")],
)
def test_a_first_look_needs_an_address_of_version_four(
    addresses: tuple[str, ...], domain: str
) -> None:
    assert first_look_domain(addresses) == domain


def test_what_is_set_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    set_before = Settings(Path("/srv/g"), http_port=8081, domain="old.example.com", origins={"home": "f:1", "http_port": "f:2", "domain": "f:3"})  # fmt: skip
    wanted = wanted_of(set_before, SetupAnswers())
    assert wanted.values == {
        "home": "/srv/g", "domain": "old.example.com", "bind": "0.0.0.0", "http_port": 8081, "https_port": 443,
    }  # fmt: skip
    assert (
        wanted_of(set_before, SetupAnswers(domain="new.example.com")).values["domain"]
        == "new.example.com"
    )
    fresh = wanted_of(Settings(Path("/root/.gantry")), SetupAnswers(domain="x.example.com"))
    assert (fresh.values["home"], fresh.port) == ("/var/lib/gantry", 80)


def test_a_service_needs_root_and_a_settings_file_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    settings = Settings(Path("/home/ada/.gantry"))
    with pytest.raises(UserError) as caught:
        wanted_of(settings, SetupAnswers())
    assert caught.value.code == "setup.not-root"
    alone = wanted_of(settings, SetupAnswers(domain="x.example.com", service=False))
    assert alone.settings_file == Path("/home/ada/.gantry/gantry.conf")
    assert "home" not in alone.values


def test_setup_asks_shows_and_does(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    done = bench.run("setup", stdin="\n\ny\n")
    assert done.code == 0
    assert bench.platform.answers[0] == SetupAnswers("203-0-113-7.sslip.io", "", service=True)
    assert [change.name for change in bench.platform.set_up_changes] == ["settings", "unit"]
    again = bench.run("setup", "--yes", "--domain", "Apps.Example.com.")
    assert "nothing to change" in again.out
    assert bench.platform.answers[-1].domain == "apps.example.com"


def test_setup_check_changes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.run("setup", "--check").code == 0
    assert bench.platform.set_up_changes == []
    bench.platform.findings = (Finding("memory", "bad", "100 MB", "add some"),)
    refused = bench.run("setup", "--yes")
    assert refused.code == 1
    assert "first correct: memory" in refused.err
    assert bench.platform.set_up_changes == []


def test_a_no_changes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.run("setup", "--domain", "x.example.com", stdin="\nn\n").code == 1
    assert bench.platform.set_up_changes == []


@pytest.mark.parametrize(
    ("words", "code"),
    [(("--domain", "https://x"), "setup.bad-domain"), (("--email", "ada"), "setup.bad-email")],
)
def test_answers_that_cannot_be_used(tmp_path: Path, words: tuple[str, ...], code: str) -> None:
    done = Bench(tmp_path).run("setup", "--yes", *words)
    assert (done.code, f"error[{code}]" in done.err) == (2, True)


def test_uninstall_takes_away_what_is_ours_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "keys").mkdir(parents=True)
    conf = tmp_path / "gantry.conf"
    conf.write_text("")
    settings = Settings(home, file=conf)
    for file in (UNIT_FILE, SYSCTL_FILE):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / UNIT_FILE).write_text(unit_text(SERVICE))
    (tmp_path / SYSCTL_FILE).write_text("net.ipv4.ip_unprivileged_port_start = 0 # by hand\n")
    kept = remove.decide(settings, tmp_path, keep_data=True)
    assert [change.name for change in kept] == ["stop", "unit"]
    for change in remove.decide(settings, tmp_path, keep_data=False)[1:]:
        remove.carry_out(change, settings, tmp_path)
        remove.carry_out(change, settings, tmp_path)
    assert not home.exists()
    assert not conf.exists()
    assert not (tmp_path / UNIT_FILE).exists()
    assert (tmp_path / SYSCTL_FILE).exists()


def test_uninstall_wants_the_path_typed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    done = bench.run("uninstall", stdin="yes\n")
    assert (done.code, "uninstall.not-confirmed" in done.err) == (2, True)
    assert "uninstall home" not in bench.platform.done
    assert bench.run("uninstall", stdin=f"{bench.platform.home}\n").code == 0
    assert bench.platform.done[-2:] == ["uninstall stop", "uninstall home"]
