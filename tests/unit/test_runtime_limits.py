"""Where control groups may be made, and where not."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gantry.engines.runtime import limits

NOBODY = 65534


@pytest.fixture
def plain_user() -> Iterator[None]:
    """Whoever root is, this is not root."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(NOBODY)
    yield
    if mine == 0:
        os.seteuid(0)


@pytest.mark.parametrize("mode", [0o000, 0o700, 0o711])
def test_groups_that_nobody_may_look_at_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, request: pytest.FixtureRequest
) -> None:
    root = tmp_path / "cgroup"
    root.mkdir()
    (root / "cgroup.controllers").write_text("memory pids\n")
    if os.geteuid() != 0:
        mode &= 0o077  # of another user
    root.chmod(mode)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    monkeypatch.setattr(limits, "_ROOT", root)
    request.getfixturevalue("plain_user")
    assert limits.find(tmp_path) == limits.Groups()


def test_a_machine_without_control_groups_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_ROOT", tmp_path / "nothing")
    assert limits.find(tmp_path) == limits.Groups()
