"""What a release command's output says of extensions."""

import pytest

from gantry.features.services.extensions import refused_extension


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (
            'psycopg.errors.FeatureNotSupported: extension "postgis" is not available\nHINT:  The extension must first',
            "no extension postgis",
        ),
        (
            'error: extension "pg_partman" is not available\n    at Parser.parseErrorMessage',
            "pg_partman",
        ),
        (
            'ERROR:  could not open extension control file "/x/share/extension/timescaledb.control": No such file',
            "timescaledb",
        ),
        (
            'Database error: ERROR: permission denied to create extension "dblink"',
            "does not let a product create",
        ),
        ('extension "pgcrypto" is not available', "fetched from the package index"),
    ],
)
def test_the_extension_is_named(log: str, said: str) -> None:
    refused = refused_extension(f"migrating\n{log}\nexit")
    assert refused is not None
    assert said in refused.reason
    assert refused.hint


@pytest.mark.parametrize(
    "log", ["", "relation does not exist", "extension is not available", "x" * 100_000]
)
def test_other_failures_are_left_alone(log: str) -> None:
    assert refused_extension(log) is None
