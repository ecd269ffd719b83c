"""The virtual environment in `.venv`: made once, brought up to date when the lock changes. Bare Python 3.11."""

import hashlib
import shutil
import sys
from pathlib import Path

from running import StepError, environment, say, step

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "gantry-installed"


def ensure(*, dev: bool = False) -> None:
    """Make `.venv` hold Gantry and what it needs; with `dev` also what its tests need.

    Raises:
        StepError: an installation failed; its last lines were shown.
    """
    wanted = _wanted(dev=dev)
    if STAMP.exists() and PYTHON.exists():
        kept = STAMP.read_text().split()
        if wanted in kept:
            return
    _make()
    _install(dev=dev)
    # What tests need includes what Gantry needs.
    STAMP.write_text("\n".join({wanted, _wanted(dev=False)}) + "\n")


def _lock(*, dev: bool) -> Path:
    return ROOT / ("requirements-dev.lock" if dev else "requirements.lock")


def _wanted(*, dev: bool) -> str:
    """Changes when the installation must: with the lock, the package's own metadata, Python, and the place."""
    digest = hashlib.sha256()
    for path in (_lock(dev=dev), ROOT / "pyproject.toml"):
        digest.update(path.read_bytes() if path.exists() else b"")
    digest.update(f"{ROOT} {sys.version} {dev}".encode())
    return digest.hexdigest()


def _make() -> None:
    uv = shutil.which("uv")
    # uv makes environments without pip: one that it made cannot be added to once uv is gone.
    if PYTHON.exists() and _is_ours() and (uv is not None or (VENV / "bin" / "pip").exists()):
        return
    if VENV.exists():
        say(
            "  .venv was made elsewhere, by another Python or by a tool that is gone; it is made anew"
        )
        shutil.rmtree(VENV)
    if uv is not None:
        step("make .venv", [uv, "venv", "--python", sys.executable, str(VENV)], env=environment())
        return
    try:
        step("make .venv", [sys.executable, "-m", "venv", str(VENV)], env=environment())
    except StepError:
        shutil.rmtree(VENV, ignore_errors=True)
        say("  hint   apt-get install python3-venv, or put uv on PATH; then run this again")
        raise


def _is_ours() -> bool:
    """Whether `.venv` lies where it was made, and its Python is this one."""
    script = VENV / "bin" / "activate"
    config = VENV / "pyvenv.cfg"
    version = ".".join(str(part) for part in sys.version_info[:3])
    return (
        script.exists()
        and str(VENV) in script.read_text()
        and config.exists()
        and version in config.read_text()
    )


def _install(*, dev: bool) -> None:
    lock, uv = _lock(dev=dev), shutil.which("uv")
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check"]
    if uv is not None:
        pip = [uv, "pip", "install", "--python", str(PYTHON), "--compile-bytecode"]
    env = environment()
    if lock.exists():
        title = f"install {'Gantry’s tests and ' if dev else ''}what Gantry needs"
        step(title, [*pip, "--require-hashes", "-r", str(lock)], env=env)
        step("install Gantry", [*pip, "--no-deps", "-e", str(ROOT)], env=env)
    else:
        group = ["--group", f"{ROOT / 'pyproject.toml'}:dev"] if dev else []
        step("install Gantry and what it needs", [*pip, "-e", str(ROOT), *group], env=env)
    # An editable install is not compiled by the installer, and the first start should not pay for it.
    compiled = [str(PYTHON), "-m", "compileall", "-q", str(ROOT / "src")]
    step("compile", compiled, env=env)
