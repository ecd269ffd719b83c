"""What `gantry up` looks at before it starts anything."""

import socket
from pathlib import Path

import pytest

from gantry.app.local import LocalPlatform
from gantry.kernel.errors import UserError


def test_a_port_that_is_taken_is_found_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("GANTRY_HOME", str(home))
    with (
        socket.create_server(("127.0.0.1", 0)) as held,
        socket.create_server(("127.0.0.1", 0)) as free,
    ):
        taken, other = held.getsockname()[1], free.getsockname()[1]
        free.close()
        for variable, port in (("GANTRY_HTTP_PORT", other), ("GANTRY_HTTPS_PORT", taken)):
            monkeypatch.setenv(variable, str(port))
        said: list[str] = []
        with pytest.raises(UserError) as caught:
            LocalPlatform().start(said.append)
    assert caught.value.code == "edge.port-taken"
    assert str(taken) in caught.value.message
    assert "GANTRY_HTTPS_PORT" in caught.value.hint
    assert said == []
    assert not home.exists(), "nothing was started, and nothing is left behind"
