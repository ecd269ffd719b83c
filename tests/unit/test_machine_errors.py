"""What the machine refuses a command is said in one way, whichever command it is."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from gantry.app.errors import MachineError
from gantry.app.local import LocalPlatform
from gantry.app.setup import act, remove
from gantry.app.setup.files import UNIT_FILE, Service
from gantry.app.setup.rules import Wanted
from gantry.cli.platform import SetupChange
from gantry.config.settings import Settings
from gantry.kernel.errors import PermanentError

_SERVICE = Service("nobody-like-this", ("/opt/gantry/bin/gantry",), Path("/srv/none"), False)


@pytest.mark.parametrize(
    ("fault", "said", "where"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/srv/x"), "No space left on device", "/srv/x"),
        (OSError("npm could not fetch them"), "npm could not fetch them", ""),
        (
            subprocess.TimeoutExpired(("/usr/sbin/useradd", "--password", "secret"), 180),
            "useradd did not end within 180 s",
            "",
        ),
        (
            subprocess.CalledProcessError(9, ["useradd", "secret"], "", "the name is taken\n"),
            "useradd ended with 9: the name is taken",
            "",
        ),
        (subprocess.CalledProcessError(1, ["useradd"]), "useradd ended with 1: it said nothing", ""),
    ],
)  # fmt: skip
def test_each_fault_has_its_words(fault: Exception, said: str, where: str) -> None:
    error = MachineError("setup.failed", "could not make it", fault, hint="gantry doctor")
    assert error.message == f"could not make it: {said}"
    assert (error.where, error.hint) == (where, "gantry doctor")
    assert "secret" not in str(error.as_dict())


def _refused(code: str, attempt: str, said: str) -> str:
    return f"{code}|could not {attempt}: {said}"


def test_a_program_that_setup_runs_is_named_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "useradd"
    program.write_text("#!/bin/sh\necho 'the group exists' >&2\nexit 9\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    wanted = Wanted(tmp_path / "gantry.conf", {}, _SERVICE, 80)
    with pytest.raises(PermanentError) as caught:
        act.carry_out(SetupChange("user", "make the system user"), wanted, tmp_path, lambda: None)
    said = "useradd ended with 9: the group exists"
    assert _told(caught.value) == _refused("setup.failed", "make the system user", said)


def test_uninstall_says_what_stands_in_its_way(tmp_path: Path) -> None:
    (tmp_path / UNIT_FILE).mkdir(parents=True)
    settings = Settings(home=tmp_path / "home")
    with pytest.raises(PermanentError) as caught:
        remove.carry_out(SetupChange("unit", "remove the service"), settings, tmp_path)
    assert _told(caught.value) == _refused(
        "uninstall.failed", "remove the service", "Is a directory"
    )
    assert caught.value.where == str(tmp_path / UNIT_FILE)


def test_import_says_what_stands_in_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANTRY_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(PermanentError) as caught:
        LocalPlatform().import_(tmp_path / "file", "passphrase", "", lambda _: None)
    assert _told(caught.value) == _refused(
        "moving.failed", "import the platform", "Not a directory"
    )


def test_a_control_plane_that_ends_at_once_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "control.log").write_text("of an earlier start\n")
    (home / "keys").write_text("a file in the way")
    monkeypatch.setenv("GANTRY_HOME", str(home))
    for name, port in (("HTTP", "27550"), ("HTTPS", "27551")):
        monkeypatch.setenv(f"GANTRY_{name}_PORT", port)
    with pytest.raises(PermanentError) as caught:
        LocalPlatform().start(lambda _: None)
    assert caught.value.code == "control.start-failed"
    assert "it ended with 1: " in caught.value.message
    assert f"File exists: '{home / 'keys'}'" in caught.value.message
    assert "of an earlier start" not in caught.value.message


def _told(error: PermanentError) -> str:
    return f"{error.code}|{error.message}"
