"""How packages are found on this machine: proxies, certificates, registries and their tokens."""

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# What installing packages may need to know of the machine: proxies, certificates, registries. Values that hold
# tokens are masked in the log like secrets.
_PASSED = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR",
           "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # fmt: skip
_PASSED_PREFIXES = (
    "NPM_CONFIG_",
    "PIP_",
    "UV_INDEX",
    "UV_DEFAULT_INDEX",
    "UV_FIND_LINKS",
    "UV_NATIVE_TLS",
)
_UV_NAMES = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
}
_SECRET_WORDS = ("auth", "token", "password", "passwd", "secret", "key")


@dataclass(frozen=True, slots=True)
class Registry:
    """How packages are found on this machine.

    Attributes:
        env: variables for the install phase.
        npmrc: the user's npm settings; empty when there are none.
        npmrc_global: the machine's npm settings.
        secrets: values among them that must not appear in a log.
    """

    env: Mapping[str, str]
    npmrc: str
    npmrc_global: str
    secrets: tuple[str, ...]
    folders: tuple[Path, ...] = ()


def read_registry(environ: Mapping[str, str]) -> Registry:
    """The machine's settings of package registries, from its environment and npm's files."""
    env = {
        name: value
        for name, value in environ.items()
        if name.upper() in _PASSED or name.upper().startswith(_PASSED_PREFIXES)
    }
    lower = {name.lower(): value for name, value in environ.items()}
    home = Path(environ.get("HOME") or "/root")
    user = lower.get("npm_config_userconfig") or str(home / ".npmrc")
    machine = lower.get("npm_config_globalconfig") or ""
    candidates = [machine] if machine else ["/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc"]
    npmrc, npmrc_global = _read(user), next(filter(None, map(_read, candidates)), "")
    secrets = [*_secrets_in(f"{npmrc}\n{npmrc_global}"), *_secrets_in_env(env)]
    pip = _pip_settings(home)
    for pip_name, uv_name in _UV_NAMES.items():
        if pip_name in pip | env and uv_name not in env:
            pip[uv_name] = (pip | env)[pip_name]
    drop = ("npm_config_userconfig", "npm_config_globalconfig", "npm_config_cache", "pip_cache_dir")
    kept = {name: value for name, value in (pip | env).items() if name.lower() not in drop}
    return Registry(kept, npmrc, npmrc_global, tuple(secrets), _local_folders(kept))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8") if path else ""
    except OSError:  # not there, or not ours to read: then npm works without it
        return ""


def _secrets_in(npmrc: str) -> list[str]:
    found = []
    for line in npmrc.splitlines():
        name, equals, value = line.partition("=")
        if equals and any(word in name.lower() for word in _SECRET_WORDS):
            found.append(value.strip().strip("\"'"))
    return found


def _secrets_in_env(env: Mapping[str, str]) -> list[str]:
    found = [v for k, v in env.items() if any(word in k.lower() for word in _SECRET_WORDS)]
    for value in env.values():  # the password in https://user:password@host
        before, at, _ = value.partition("@")
        if at and "://" in before and ":" in before.partition("://")[2]:
            found.append(before.rpartition(":")[2])
    return found


def _pip_settings(home: Path) -> dict[str, str]:
    """`[global]` of pip's files as variables; pip itself could not read them in the sandbox."""
    settings: dict[str, str] = {}
    for path in ("/etc/pip.conf", str(home / ".pip/pip.conf"), str(home / ".config/pip/pip.conf")):
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(_read(path))
        except configparser.Error:  # pip would not have read it either
            continue
        if parser.has_section("global"):
            names = ("index-url", "extra-index-url", "find-links", "trusted-host", "cert")
            for name in names:
                if parser.has_option("global", name):
                    value = " ".join(parser.get("global", name).split())
                    settings[f"PIP_{name.upper().replace('-', '_')}"] = value
    return settings


def _local_folders(env: Mapping[str, str]) -> tuple[Path, ...]:
    """Folders of packages that the settings name: `file:///srv/simple`, `/srv/wheels`."""
    found = set()
    for name, value in env.items():
        if not name.upper().startswith(("PIP_", "UV_")):
            continue
        for word in value.split():
            path = Path(word.removeprefix("file://"))
            if word.startswith(("/", "file:///")) and path.is_dir():
                # An index names its files beside itself.
                found.add(path.parent if path.name == "simple" else path)
    return tuple(
        sorted(
            path for path in found if not path.is_relative_to("/usr") and os.access(path, os.R_OK)
        )
    )
