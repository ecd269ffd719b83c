"""The scripts that people run first: finding Python, steps that fail, locks without addresses."""

import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.platform import wait_until

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = ROOT / "scripts"


def sh(*argv: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(each) for each in argv],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_python_that_is_new_enough_is_found(tmp_path: Path) -> None:
    # The first on PATH is too old, a later name is good; the path has a space.
    folder = tmp_path / "my tools"
    program(folder, "python3", "echo Python 3.9.2; exit 1")
    good = program(folder, "python3.12", f'exec "{sys.executable}" "$@"')
    done = sh(SCRIPTS / "find-python", PATH=f"{folder}:/usr/bin:/bin")
    assert (done.returncode, done.stdout.strip()) == (0, str(good))


def test_python_can_be_named(tmp_path: Path) -> None:
    good = program(tmp_path, "mine", f'exec "{sys.executable}" "$@"')
    assert sh(SCRIPTS / "find-python", PYTHON=str(good)).stdout.strip() == str(good)


def test_no_python_that_is_new_enough_is_a_clear_message(tmp_path: Path) -> None:
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14", "python", "uv"):
        program(tmp_path, name, "echo Python 3.9.2; exit 1")
    done = sh(SCRIPTS / "find-python", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 2
    assert "needs Python 3.11 or newer; this machine has" in done.stderr
    assert "apt-get install python3" in done.stderr


STEP = """
import sys; sys.path.insert(0, {steps!r})
from running import step, StepError
try:
    step("try it", [sys.executable, "-c", {program!r}])
except StepError as error:
    sys.exit(7)
"""


@pytest.mark.parametrize(
    ("text", "code", "shown"),
    [
        ("print('quiet')", 0, "✓ try it"),
        ("print('why'); raise SystemExit(3)", 7, "| why"),
    ],
)
def test_a_step_shows_its_output_when_it_fails(text: str, code: int, shown: str) -> None:
    source = STEP.format(steps=str(SCRIPTS / "steps"), program=text)
    done = sh(sys.executable, "-c", source)
    assert (done.returncode, shown in done.stdout) == (code, True)
    assert ("quiet" in done.stdout) is False
    for log in re.findall(r"whole output  (\S+)", done.stdout):
        Path(log).unlink()


def ci_stages() -> list[str]:
    text = (ROOT / ".ci" / "run").read_text()
    return text.partition("STAGES='\n")[2].partition("\n'")[0].splitlines()


@pytest.mark.parametrize("failing", [None, 0, -1])
def test_ci_runs_what_people_run_every_stage_of_it(tmp_path: Path, failing: int | None) -> None:
    stages = ci_stages()
    assert stages == ["scripts/test", "scripts/first-week", "scripts/strangers"]
    for stage in stages:
        assert os.access(ROOT / stage, os.X_OK), stage
        (tmp_path / stage).parent.mkdir(exist_ok=True)
        code = int(failing is not None and stage == stages[failing])
        (tmp_path / stage).write_text(f"#!/bin/sh\necho ran {stage}\nexit {code}\n")
        (tmp_path / stage).chmod(0o755)
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    done = subprocess.run((tmp_path / ".ci" / "run",), capture_output=True, text=True, check=False)
    assert re.findall(r"^ran (.+)$", done.stdout, re.M) == stages
    assert done.returncode == (failing is not None)
    if failing is not None:
        assert f"failed: {stages[failing]}" in done.stdout


@pytest.mark.parametrize(
    "name", ["find-python", "demo", "test", "strangers", "lock", "generate-docs"]
)
def test_scripts_are_executable_and_parse(name: str) -> None:
    assert os.access(SCRIPTS / name, os.X_OK)
    assert sh("sh", "-n", SCRIPTS / name).returncode == 0


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_locks_pin_every_version_and_name_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert "==" in block, block
        assert "--hash=sha256:" in block, block


def test_the_locks_agree_and_cover_what_the_project_needs() -> None:
    run, dev = (
        dict(re.findall(r"^([a-z0-9-]+)(?:\[[^]]*\])?==(\S+)", (ROOT / name).read_text(), re.M))
        for name in ("requirements.lock", "requirements-dev.lock")
    )
    assert run.items() <= dev.items()
    text = (ROOT / "pyproject.toml").read_text().split("[project.scripts]")[0]
    for name in re.findall(r'^  "([a-z0-9-]+)(?:\[\w+\])?[><=]', text, re.M):
        assert name in run, f"run scripts/lock: {name} is not locked"


@pytest.fixture
def clean_debian(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS / "steps"))
    return importlib.import_module("clean_debian")


def test_a_clean_debian_is_told_how_packages_are_found_and_nothing_else(
    clean_debian: ModuleType, tmp_path: Path
) -> None:
    told = {
        "PIP_INDEX_URL": "i", "npm_config_registry": "r", "UV_INDEX": "u", "https_proxy": "p", "NO_PROXY": "n",
        "SSL_CERT_FILE": "c", "NODE_EXTRA_CA_CERTS": "c", "REQUESTS_CA_BUNDLE": "c",
    }  # fmt: skip
    others = {"GANTRY_HOME": "/srv", "HOME": "/root", "PATH": "/bin", "PYTHONPATH": "x", "AWS_SECRET": "s", "MY_PIP_": "x"}  # fmt: skip
    assert clean_debian.variables({**told, **others}) == told


def test_a_clean_debian_sees_what_the_configuration_of_pip_and_npm_names(
    clean_debian: ModuleType, tmp_path: Path
) -> None:
    wheels, index, authority = tmp_path / "wheels", tmp_path / "index/simple", tmp_path / "ca.crt"
    for folder in (wheels, index):
        folder.mkdir(parents=True)
    authority.touch()
    texts = [
        f"[global]\nfind-links = {wheels}\nextra-index-url = file://{index} file://{tmp_path}/gone\n",
        f"nodedir=/usr\ncafile={authority}\nregistry=https://npm.test/\n",
    ]
    environ = {"PIP_CERT": "/etc/ssl/certs/ca-certificates.crt", "HOME": str(tmp_path)}
    assert clean_debian.named_paths(texts, environ) == sorted([wheels, index.parent, authority])


_SIGNALS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
_NEEDS_NAMESPACES = pytest.mark.skipif(
    os.geteuid() != 0
    or shutil.which("unshare") is None
    or subprocess.run(("unshare", "--mount", "--pid", "--fork", "true"), check=False).returncode
    != 0,
    reason="makes namespaces, as root",
)


def ended_by(number: signal.Signals, source: str, ready: Path) -> int:
    """The exit code of a Python program that got a signal, twice, once it had made `ready`."""
    # A shell in the background ignores Ctrl-C, nohup the end of the terminal, and what they start inherits that.
    signals = "import signal; signal.signal(2, signal.default_int_handler); signal.signal(1, signal.SIG_DFL)"
    child = subprocess.Popen(
        [sys.executable, "-c", f"{signals}\n{source}"], stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: ready.exists() or child.poll() is not None, what=str(ready))
        child.send_signal(number)
        child.send_signal(number)
        return child.wait(timeout=30)
    finally:
        child.kill()
        child.wait()


@_NEEDS_NAMESPACES
@pytest.mark.parametrize("number", _SIGNALS)
def test_a_clean_debian_that_is_ended_leaves_no_folder_no_mount_and_no_process(
    tmp_path: Path, number: signal.Signals
) -> None:
    # Instead of a Debian: a program that mounts, starts another one, and goes on for longer than anybody waits.
    token = f"{tmp_path.name}-{number.name}"
    inside = "mount -t tmpfs tmpfs $0; touch $0/mounted $1/ready; sleep 600 & wait"
    source = f"""
import sys, tempfile; sys.path.insert(0, {str(SCRIPTS / "steps")!r})
tempfile.tempdir = {str(tmp_path)!r}
from pathlib import Path
import clean_debian
def run(place, cache, user, command):
    (place / "root").mkdir()
    argv = [*clean_debian._UNSHARE, "/bin/sh", "-c", {inside!r}, str(place / "root"), {str(tmp_path)!r}]
    return clean_debian.run_to_its_end(argv, {{"PATH": {os.environ["PATH"]!r}, "TOKEN": {token!r}}})
clean_debian._run = run
sys.exit(clean_debian.main())
"""
    code = ended_by(number, source, tmp_path / "ready")
    assert code == 128 + number
    assert list(tmp_path.glob("gantry-debian-*")) == []
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    assert processes_with(f"TOKEN={token}") == []


def processes_with(variable: str) -> list[str]:
    """The processes that have `variable` in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if variable.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(folder.name)
    return found


@pytest.mark.parametrize("number", _SIGNALS)
def test_a_step_that_is_ended_ends_what_it_started(tmp_path: Path, number: signal.Signals) -> None:
    token, ready = f"{tmp_path.name}-{number.name}", tmp_path / "ready"
    source = f"""
import os, sys; sys.path.insert(0, {str(SCRIPTS / "steps")!r})
os.environ["TOKEN"] = {token!r}
from running import step, unwinding
with unwinding():
    step("go on", ["/bin/sh", "-c", "(trap '' TERM; touch {ready}; sleep 600) & wait"])
"""
    assert ended_by(number, source, ready) == 128 + number
    assert processes_with(f"TOKEN={token}") == []


@pytest.mark.parametrize("number", _SIGNALS[:2])
def test_a_drill_that_is_told_to_end_deletes_its_platform(
    tmp_path: Path, number: signal.Signals
) -> None:
    source = f"""
import tempfile; tempfile.tempdir = {str(tmp_path)!r}
from pathlib import Path
from gantry.drill.scratch import mounted_disk, stopped_platform_on
with mounted_disk() as disk, stopped_platform_on(disk) as platform:
    platform.home.mkdir(parents=True)
    (Path({str(tmp_path)!r}) / "ready").touch()
    import time; time.sleep(600)
"""
    code = ended_by(number, source, tmp_path / "ready")
    assert code == 128 + number
    assert list(tmp_path.glob("gantry-*")) == []
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
