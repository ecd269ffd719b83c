"""What every test gets."""

import pytest

pytest_plugins = ["tests.support.postgres"]


@pytest.fixture
def anyio_backend() -> str:
    """Gantry runs on asyncio only."""
    return "asyncio"
