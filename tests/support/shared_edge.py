"""An edge for all tests of a module: a start of Envoy is what costs most."""

from collections.abc import AsyncIterator

import pytest

from tests.support.edge import Lab, anew, lab


@pytest.fixture(scope="module")
async def envoy() -> AsyncIterator[Lab]:
    """Of a module. Tests ask for `edge`."""
    async with lab() as made:
        yield made


@pytest.fixture
async def edge(envoy: Lab) -> AsyncIterator[Lab]:
    """The module's, which knows no site yet."""
    async with anew(envoy) as made:
        yield made
