"""Reads a manifest."""

import tomllib

from gantry.config.manifest import Manifest


def load_manifest(
    text: bytes,
    where: str = "gantry.toml",
    vercel: bytes | None = None,
    env_example: bytes | None = None,
) -> Manifest:
    return Manifest.model_validate(tomllib.loads(text.decode()))
