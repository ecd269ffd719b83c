"""What every test gets."""

import pytest
from hypothesis import settings

pytest_plugins = [
    "tests.support.suite",
    "tests.support.temporary",
    "tests.support.postgres",
    "tests.support.browser",
    "tests.support.shared_edge",
]

# How long one example may take says more of what else the machine does; pytest bounds the whole test.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Gantry runs on asyncio only. For the whole session, so that what several tests share can be made with it."""
    return "asyncio"
