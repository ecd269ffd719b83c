"""One temporary folder for each process that runs tests."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.suite import slow_teardown


@pytest.fixture(scope="session", autouse=True)
@slow_teardown("deletes what all tests of the process left")
def temporary_folder() -> Iterator[Path]:
    """A temporary folder for this run and for the programs that it starts, with a name short enough for sockets.

    Programs that give up root's rights must be able to pass through it.
    """
    before = os.environ.get("TMPDIR")
    folder = Path(tempfile.mkdtemp(prefix="gt-"))
    folder.chmod(0o711)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    yield folder
    tempfile.tempdir = None
    if before is None:
        del os.environ["TMPDIR"]
    else:
        os.environ["TMPDIR"] = before
    shutil.rmtree(folder, ignore_errors=True)
