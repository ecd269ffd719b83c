"""What every test gets."""

import pytest
from hypothesis import settings

pytest_plugins = [
    "tests.support.suite",
    "tests.support.temporary",
    "tests.support.postgres",
    "tests.support.browser",
]

# How long one example may take says more of what else the machine does; pytest bounds the whole test.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


@pytest.fixture
def anyio_backend() -> str:
    """Gantry runs on asyncio only."""
    return "asyncio"
