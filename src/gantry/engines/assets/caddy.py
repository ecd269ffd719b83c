"""Caddy's configuration for the asset store. Pure.

Caddy serves files, and nothing else: no admin interface, no certificates, no state. It was chosen by measurement
(decision 0072): ranges, conditions and precompressed variants are its own trade.
"""

from collections.abc import Mapping
from typing import Any

from gantry.engines.assets.names import TYPES, UNKNOWN_TYPE, VARIANTS
from gantry.engines.assets.protocol import HEADER, HEALTH_PATH, MISSING

Json = dict[str, Any]

_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "public, max-age=0, must-revalidate"
_WHOSE = "^(scopes|builds)/[a-z0-9][a-z0-9.-]*$"
# Of what a browser takes equally well, the smallest in the mean.
_ORDER = ("br", "zstd", "gzip")


def configuration(www: str, socket: str) -> Json:
    """Everything that Caddy is told.

    Parameters:
        www: folder with the trees `kept` and `changing`.
        socket: unix socket on which it is asked.
    """
    server = {
        "listen": [f"unix/{socket}|0600"],
        "protocols": ["h1"],
        "automatic_https": {"disable": True},
        "idle_timeout": "5m",
        "read_header_timeout": "10s",
        "max_header_bytes": 65_536,
        "routes": [
            _files(f"{www}/kept", _FOR_EVER),
            _files(f"{www}/changing", _ASK_AGAIN),
            {"match": [{"path": [HEALTH_PATH], "not": [_asked()]}], "handle": [_answer(200, {})]},
            {"handle": [_answer(404, {HEADER: [MISSING]})]},
        ],
        "errors": {"routes": [{"handle": [_answer("{http.error.status_code}", {})]}]},
    }
    return {
        "admin": {"disabled": True, "config": {"persist": False}},
        "logging": {"logs": {"default": {"level": "WARN"}}},
        "storage": {"module": "file_system", "root": "/nonexistent"},
        "apps": {"http": {"servers": {"assets": server}}},
    }


def _asked() -> Json:
    return {"header_regexp": {HEADER: {"pattern": _WHOSE}}}


def _files(tree: str, cache_control: str) -> Json:
    root = f"{tree}/{{http.request.header.{HEADER}}}"
    return {
        "match": [
            {
                **_asked(),
                "method": ["GET", "HEAD"],
                "file": {"root": root, "try_files": ["{http.request.uri.path}"]},
                # A variant is no file of its own, and a folder no file at all.
                "not": [{"path": [*(f"*{suffix}" for suffix in VARIANTS.values()), "*/"]}],
            }
        ],
        "handle": [
            {
                "handler": "map",
                "source": "{http.request.uri.path.file.ext}",
                "destinations": ["{asset_type}"],
                "mappings": [
                    {"input_regexp": f"(?i)^\\{suffix}$", "outputs": [kind]}
                    for suffix, kind in TYPES.items()
                ],
                "defaults": [UNKNOWN_TYPE],
            },
            {
                "handler": "headers",
                "response": {
                    "set": {
                        "Content-Type": ["{asset_type}"],
                        "Cache-Control": [cache_control],
                        "X-Content-Type-Options": ["nosniff"],
                    }
                },
            },
            {
                "handler": "headers",
                # Times are made from contents: they tell nobody anything. Fonts and modules are loaded across origins.
                "response": {"deferred": True, "delete": ["Server", "Last-Modified"]},
            },
            {
                "handler": "file_server",
                "root": root,
                "index_names": [],
                "precompressed": {name: {} for name in _ORDER},
                "precompressed_order": list(_ORDER),
            },
        ],
        "terminal": True,
    }


def _answer(status: int | str, headers: Mapping[str, list[str]]) -> Json:
    return {
        "handler": "static_response",
        "status_code": str(status),
        "headers": {"Cache-Control": ["no-store"], **headers},
    }
