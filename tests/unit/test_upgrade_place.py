"""Two versions of a program change places: whole, in one step, and back."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gantry.app.upgrading import install as installing, place as placing
from gantry.app.upgrading.install import check_folder
from gantry.app.upgrading.place import Place
from gantry.kernel.errors import ConflictError, UserError


def version_folders(folder: Path) -> Place:
    """Two folders that are no programs."""
    place = Place(folder / "gantry")
    place.folder.mkdir()
    (place.folder / "version").write_text("old")
    place.begin()
    (place.next / "version").write_text("new")
    (place.next / "bin").mkdir()
    (place.next / "pyvenv.cfg").write_text(f"command = python -m venv {place.next}\n")
    return place


def _three_renames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "_EXCHANGE", 1 << 20)  # a flag that no kernel knows


@pytest.mark.parametrize("how", [lambda _: None, _three_renames])
def test_the_folders_change_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Callable[[pytest.MonkeyPatch], None]
) -> None:
    how(monkeypatch)
    place = version_folders(tmp_path)
    with (place.folder / "version").open() as file:
        place.take_over()
        assert file.read() == "old", "a program that runs keeps what it has opened"
    assert (place.folder / "version").read_text() == "new"
    assert (place.previous / "version").read_text() == "old"
    place.begin()
    (place.next / "version").write_text("newer")
    place.take_over()
    assert (place.previous / "version").read_text() == "new"
    place.give_back()
    assert (place.folder / "version").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gantry"]


def test_scripts_name_the_place_that_they_will_have(tmp_path: Path) -> None:
    place = version_folders(tmp_path)
    script, binary = place.next / "bin" / "tool", place.next / "bin" / "program"
    script.write_text(f"#!/bin/sh\n'''exec' \"{place.next}/bin/python\" \"$0\"\n")
    script.chmod(0o755)
    binary.write_bytes(b"\x7fELF\0" + bytes(place.next))
    place.settle()
    assert str(place.next) not in script.read_text()
    assert f'"{place.folder}/bin/python"' in script.read_text()
    assert os.access(script, os.X_OK)
    assert bytes(place.next) in binary.read_bytes()
    assert str(place.next) not in (place.next / "pyvenv.cfg").read_text()


def test_what_no_upgrade_has_made_is_left_alone(tmp_path: Path) -> None:
    place = Place(tmp_path / "gantry")
    place.next.mkdir()
    with pytest.raises(ConflictError) as caught:
        place.begin()
    assert caught.value.code == "upgrade.in-the-way"
    assert place.next.exists()


def test_one_upgrade_at_a_time(tmp_path: Path) -> None:
    place = Place(tmp_path / "gantry")
    with place.held():
        with pytest.raises(ConflictError) as caught, place.held():
            pass
        assert caught.value.code == "upgrade.running"
    with place.held():
        pass


def test_pipx_sees_no_other_version(tmp_path: Path) -> None:
    folder = tmp_path / "pipx" / "venvs" / "gantry"
    folder.mkdir(parents=True)
    (folder / "pipx_metadata.json").write_text(
        '{"injected_packages": {"dns-lexicon": {"package_or_url": "dns-lexicon>=3"}}}'
    )
    place = Place(folder)
    assert place.next.parent == tmp_path / "pipx"
    assert installing._injected(place) == ("dns-lexicon>=3",)


def test_a_program_among_others_is_not_replaced() -> None:
    with pytest.raises(UserError) as caught:
        check_folder(Path(sys.base_prefix))
    assert caught.value.code == "upgrade.no-environment"
