"""What a release's manifest says, as plain values for the rules."""

import functools
import json
from collections.abc import Mapping
from typing import Any

from gantry.config.manifest import Manifest
from gantry.features.releases.model import Release
from gantry.features.releases.rules import Patience


def manifest_of(release: Release) -> Manifest:
    """The manifest that the release runs by, resolved for its environment."""
    return parse_manifest(release.manifest)


def parse_manifest(stored: Mapping[str, Any]) -> Manifest:
    """A manifest as it was stored, typed again."""
    return _parse(json.dumps(stored, sort_keys=True))


@functools.lru_cache(maxsize=256)
def _parse(canonical: str) -> Manifest:
    # The reactor asks for the same few manifests many times a second while something moves.
    return Manifest.model_validate_json(canonical)


def patience_of(release: Release) -> Patience:
    """How long it is kept after it was live."""
    manifest = manifest_of(release)
    drain = manifest.drain
    return Patience(
        keep_warm_s=manifest.deploy.keep_warm_s,
        requests_s=drain.requests_s,
        streams_s=drain.streams_s,
        skew_s=manifest.deploy.skew_protection_s,
    )
