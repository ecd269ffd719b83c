"""What of the machine's package settings reaches a build, and what of it is secret."""

from pathlib import Path

from gantry.engines.builders.registry import read_registry
from gantry.kernel.redact import Redactor
from tests.support.builders import write_tree

_NPMRC = "registry=https://npm.example.test/\n//npm.example.test/:_authToken=npm_0123456789abcdef\n"


def test_an_ordinary_machine_has_nothing_to_pass_on(tmp_path: Path) -> None:
    registry = read_registry(
        {"HOME": str(tmp_path), "NPM_CONFIG_GLOBALCONFIG": str(tmp_path / "no")}
    )
    assert registry.npmrc == ""
    assert registry.npmrc_global == ""
    assert registry.secrets == ()


def test_the_users_settings_are_passed_on_and_their_token_is_masked(tmp_path: Path) -> None:
    write_tree(tmp_path, {".npmrc": _NPMRC})
    registry = read_registry({"HOME": str(tmp_path)})
    assert registry.npmrc == _NPMRC
    masked = Redactor(registry.secrets)(
        "GET with npm_0123456789abcdef from https://npm.example.test/"
    )
    assert "npm_0123456789abcdef" not in masked
    assert "https://npm.example.test/" in masked


def test_only_settings_of_registries_pass(tmp_path: Path) -> None:
    environ = {
        "HOME": str(tmp_path),
        "HTTPS_PROXY": "http://robot:hunter22@proxy.test:3128",
        "npm_config_registry": "https://npm.example.test/",
        "NPM_CONFIG_CACHE": "/somewhere",
        "GANTRY_DATABASE_URL": "postgres://secret",
        "AWS_SECRET_ACCESS_KEY": "no",
        "PATH": "/usr/bin",
    }
    registry = read_registry(environ)
    names = {name for name in registry.env if not name.startswith(("PIP_", "UV_"))}
    assert names == {"HTTPS_PROXY", "npm_config_registry"}
    assert "hunter22" in registry.secrets


def test_pip_files_become_variables_for_pip_and_uv(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    simple = tmp_path / "index" / "simple"
    wheels.mkdir()
    simple.mkdir(parents=True)
    config = f"[global]\nindex-url = file://{simple}\nfind-links = {wheels}\n"
    write_tree(tmp_path, {".config/pip/pip.conf": config})
    registry = read_registry({"HOME": str(tmp_path)})
    assert registry.env["PIP_INDEX_URL"] == registry.env["UV_DEFAULT_INDEX"] == f"file://{simple}"
    assert {wheels, tmp_path / "index"} <= set(registry.folders)
