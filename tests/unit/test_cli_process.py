"""The program as a process of its own, on a real socket: what a shell, a pipe and Ctrl-C get."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.api import FakeApi, listening
from tests.support.bodies import SITE, story_of_failure
from tests.support.cli import MANIFEST

ROOT = Path(__file__).parent.parent.parent
DEADLINE_S = 30.0


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def home(tmp_path: Path, api: FakeApi) -> Iterator[Path]:
    (tmp_path / "gantry.toml").write_text(MANIFEST)
    with listening(api, tmp_path / "home"):
        yield tmp_path / "home"


def environment(home: Path, **changes: str) -> dict[str, str]:
    path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "GANTRY_HOME": str(home), "PYTHONPATH": path, "TERM": "xterm", **changes}


def gantry(*argv: str) -> list[str]:
    return [sys.executable, "-m", "tests.support.cli", *argv]


def run(home: Path, *argv: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        gantry(*argv),
        env=environment(home, **changes),
        cwd=home.parent,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_a_deploy_in_a_pipe(home: Path) -> None:
    done = run(home, "deploy")
    assert (done.returncode, done.stdout) == (0, f"{SITE}\n")
    assert "\x1b" not in done.stderr
    assert "Release 3 is live" in done.stderr


def test_a_failed_deploy_in_a_pipe(home: Path, api: FakeApi) -> None:
    api.story = list(story_of_failure())
    done = run(home, "deploy")
    assert done.returncode == 1
    assert "error[build.command-failed]" in done.stderr


def test_no_control_plane(tmp_path: Path) -> None:
    done = run(tmp_path / "nothing", "status", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["code"] == "control.down"
    assert "hint   gantry up" in done.stderr


def test_a_bad_setting_is_an_error_like_any_other(home: Path) -> None:
    done = run(home, "up", GANTRY_HTTP_PORT="http")
    assert done.returncode == 2
    assert "error[settings.invalid]" in done.stderr


def test_a_reader_that_leaves_is_no_traceback(home: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"'{sys.executable}' -m tests.support.cli status | true"],
        env=environment(home),
        cwd=home.parent,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert "Traceback" not in done.stderr


def test_a_locale_without_unicode(home: Path) -> None:
    done = run(home, "status", PYTHONUTF8="0", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 0
    assert "smart-sign" in done.stdout


def test_completion_in_a_shell(home: Path) -> None:
    done = run(
        home,
        _GANTRY_COMPLETE="bash_complete",
        COMP_WORDS="gantry roll",
        COMP_CWORD="1",
    )
    assert "rollback" in done.stdout


def _heeds_ctrl_c() -> None:
    """A test run in the background of a shell has SIGINT ignored, and its children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_ctrl_c_in_a_pipe_detaches(home: Path, api: FakeApi) -> None:
    api.pause_s = 0.3
    with subprocess.Popen(
        gantry("deploy"), env=environment(home), cwd=home.parent, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_heeds_ctrl_c,
    ) as child:  # fmt: skip
        assert child.stderr is not None
        for line in child.stderr:
            if line.startswith("build"):
                break
        child.send_signal(signal.SIGINT)
        _, rest = child.communicate(timeout=DEADLINE_S)
    assert child.returncode == 130
    assert "continues without this terminal" in rest


def test_a_terminal_gets_the_live_view_and_the_question(home: Path, api: FakeApi) -> None:
    api.pause_s = 0.5
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        gantry("deploy"), env=environment(home), cwd=home.parent,
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=_heeds_ctrl_c,
    )  # fmt: skip
    os.close(theirs)
    try:
        _read_until(ours, "build")
        child.send_signal(signal.SIGINT)
        shown = _read_until(ours, "d, c or w")
        os.write(ours, b"c\n")
        shown += _read_until(ours, "is live")
        assert child.wait(timeout=DEADLINE_S) == 0
    finally:
        child.kill()
        child.wait()
        os.close(ours)
    assert "The deploy continues without this terminal" in shown
    assert any(path.endswith("/cancel") for _, path, _ in api.asked)


def _read_until(descriptor: int, text: str) -> str:
    seen, deadline = "", time.monotonic() + DEADLINE_S
    while text not in seen:
        assert time.monotonic() < deadline, seen
        seen += os.read(descriptor, 65_536).decode(errors="replace")
    return seen


def test_no_colour_when_nobody_wants_it(home: Path) -> None:
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        gantry("status"), env=environment(home, NO_COLOR="1"), cwd=home.parent,
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    try:
        shown = _read_until(ours, "control plane")
    finally:
        child.wait(timeout=DEADLINE_S)
        os.close(ours)
    assert "\x1b[32m" not in shown
