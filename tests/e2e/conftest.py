"""One platform for all tests of a process; each test has a project of its own on it."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.platform import Platform, fresh_platform
from tests.support.product import Product
from tests.support.suite import slow_teardown

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
@slow_teardown("ends Postgres, the edge and all products in order")
def platform() -> Iterator[Platform]:
    with fresh_platform() as up:
        yield up


@pytest.fixture
@slow_teardown("destroys a project: its instances end in order")
def product(platform: Platform, tmp_path: Path) -> Iterator[Product]:
    """The small product, written and not deployed yet."""
    made = Product(platform, tmp_path / "product", f"small-{next(_numbers)}")
    made.write(note=str(tmp_path))
    yield made
    made.destroy()


@pytest.fixture(scope="module")
@slow_teardown("destroys a project: its instances end in order")
def good(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The small product with a good release, for a module's tests that leave it live."""
    made = Product(platform, tmp_path_factory.mktemp("good") / "product", f"good-{next(_numbers)}")
    made.write()
    made.deploy()
    yield made
    made.destroy()
