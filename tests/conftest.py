"""What every test gets."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Gantry runs on asyncio only."""
    return "asyncio"
