"""A control plane that does not answer is ended all the same."""

import subprocess
from pathlib import Path

import pytest

from gantry.app.ending import request_end
from gantry.config.settings import Settings
from gantry.kernel.errors import TransientError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "operator.token").write_text("token")
    return Settings(home=tmp_path)


def test_one_without_a_socket_is_told_by_a_signal(settings: Settings) -> None:
    silent = subprocess.Popen(["/bin/sleep", "60"])
    try:
        request_end(settings, silent.pid)
        assert silent.wait(timeout=10) == -15
        request_end(settings, silent.pid)  # it has ended meanwhile: nothing to do
    finally:
        silent.kill()
        silent.wait()


def test_one_whose_pid_nobody_knows_is_an_error(settings: Settings) -> None:
    with pytest.raises(TransientError) as caught:
        request_end(settings, None)
    assert caught.value.code == "control.unreachable"
