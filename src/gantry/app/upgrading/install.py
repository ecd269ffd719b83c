"""What is installed, where it came from, and another version of it installed beside it."""

import json
import os
import re
import shutil
import subprocess  # noqa: TID251 -- runs pip, as the person would
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from gantry.app.upgrading.place import Place
from gantry.app.upgrading.rules import Program
from gantry.config.evidence.files import table
from gantry.kernel.errors import PermanentError, UserError
from gantry.kernel.files import replace_file

NAME = "gantry"
_MIGRATIONS = "gantry/engines/database/migrations"
_TIMEOUT_S = 1_800.0
_READABLE_UMASK = 0o022
_MAX_SOURCE = 1_000
_LINES = 5
_SECRET = re.compile(r"//[^/@\s]+@")
_ADDRESS = re.compile(r"(git\+)?(https?|ssh|file)://\S+")
# Run by the version that was installed: the user who runs the service may not write into its folder.
_FETCH_CONSOLE = """
import asyncio
from gantry.app.engines import npm_argv, npm_environment
from gantry.web.assets import ensure_assets
raise SystemExit(not asyncio.run(ensure_assets(npm_argv(), npm_environment())))
"""
# What would lead Python or pip somewhere else than into the new folder.
_DROPPED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_USER")


@dataclass(frozen=True, slots=True)
class Source:
    """What pip is given.

    Attributes:
        requirement: of Gantry.
        shown: for people.
        others: packages that somebody has put beside it with `pipx inject`.
    """

    requirement: str = field(repr=False)
    shown: str
    others: tuple[str, ...] = ()


def program_in(folder: Path) -> Program:
    """Gantry as it is installed in a virtual environment.

    Raises:
        UserError: `upgrade.no-environment` it is not.
    """
    packages = _packages(folder)
    names = (path.name for path in (packages / _MIGRATIONS).glob("*.sql"))
    return Program(folder, _distribution(packages).version, frozenset(names))


def check_folder(folder: Path) -> None:
    """Refuse a program that no upgrade can replace as a whole.

    Raises:
        UserError: `upgrade.no-environment` it shares its folder with other programs; `upgrade.checkout` it is run from a
            repository.
    """
    if folder == Path(sys.base_prefix) or not (folder / "pyvenv.cfg").exists():
        raise UserError(
            "upgrade.no-environment",
            f"Gantry is installed in {folder} together with other programs",
            hint="install it into an environment of its own: python3 -m venv /opt/gantry",
            where=str(folder),
        )
    origin = _origin(_distribution(_packages(folder)))
    if table(origin.get("dir_info")).get("editable"):
        raise UserError(
            "upgrade.checkout",
            f"this program runs from the repository {_path_of(str(origin.get('url', '')))}",
            hint="git pull there, then gantry up",
        )


def source_of(place: Place, given: str, cwd: Path) -> Source:
    """What to install: what a person has named, else what the present program was installed from.

    Parameters:
        given: a wheel, a folder, an address, or a version; empty for none.

    Raises:
        UserError: `upgrade.bad-source`.
    """
    distribution = _distribution(_packages(place.folder))
    what = _named(given, cwd) if given else _remembered(_origin(distribution))
    extras = ",".join(_extras(distribution, _packages(place.folder)))
    name = f"{NAME}[{extras}]" if extras else NAME
    if not what:
        requirement = name
    elif what.startswith("=="):
        requirement = name + what
    else:
        requirement = f"{name} @ {what}"
    shown = _SECRET.sub("//", what) if what else f"{NAME} of the package index"
    return Source(requirement, shown, _injected(place))


def install(place: Place, source: Source) -> None:
    """Make a virtual environment beside the present one, with the other version in it.

    Raises:
        PermanentError: `upgrade.not-installed` with the last words of what installs.
        ConflictError: `upgrade.in-the-way`.
        OSError, subprocess.SubprocessError: the machine refused.
    """
    place.begin()
    uv = shutil.which("uv")
    python = place.next / "bin" / "python"
    base = str(getattr(sys, "_base_executable", sys.executable))
    # Not as arguments, which every user of the machine sees: an address may hold a token.
    packages = ("-r", str(_requirements(place, source)))
    if uv is not None and not _has_ensurepip():
        _run((uv, "venv", "--allow-existing", "--python", base, str(place.next)))
        _run((uv, "pip", "install", "--python", str(python), *packages))
    else:
        _run((base, "-m", "venv", str(place.next)))
        pip = (str(python), "-m", "pip", "--disable-pip-version-check", "--no-input")
        _run((*pip, "install", "--quiet", "--no-compile", *packages))
    # Compiled files name the place that they will have.
    moved = ("-s", str(place.next), "-p", str(place.folder))
    _run((str(python), "-m", "compileall", "-q", *moved, str(_packages(place.next))), check=False)
    # Its console is plainer where npm cannot be reached, and no upgrade fails for that.
    _run((str(python), "-c", _FETCH_CONSOLE), check=False)
    (place.next / "requirements.txt").unlink()
    place.settle()


def _requirements(place: Place, source: Source) -> Path:
    file = place.next / "requirements.txt"
    lines = (source.requirement, *source.others)
    replace_file(file, "".join(f"{line}\n" for line in lines), fsync=False)
    return file


def start_program(folder: Path, *arguments: str) -> tuple[str, ...]:
    """The command line of the program in a folder."""
    return (str(folder / "bin" / NAME), *arguments)


def environment() -> Mapping[str, str]:
    """The variables of this process, without what would lead Python astray."""
    inherited = os.environ  # noqa: TID251 -- how packages are found is said there, and only pip reads it
    return {key: value for key, value in inherited.items() if key not in _DROPPED}


def _has_ensurepip() -> bool:
    return (Path(sysconfig.get_path("stdlib")) / "ensurepip" / "__main__.py").exists()


def _run(argv: tuple[str, ...], *, check: bool = True) -> None:
    done = subprocess.run(
        argv,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        umask=_READABLE_UMASK,
        check=False,
    )
    if check and done.returncode != 0:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise PermanentError(
            "upgrade.not-installed",
            f"the other version cannot be installed: {' / '.join(lines[-_LINES:])}",
            hint="nothing was changed; correct that, then run gantry upgrade again",
        )


def _packages(folder: Path) -> Path:
    return Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))


def _distribution(packages: Path) -> Distribution:
    found = next(iter(distributions(name=NAME, path=[str(packages)])), None)
    if found is None:
        raise UserError(
            "upgrade.no-environment",
            f"there is no Gantry in {packages}",
            hint="install it into an environment of its own: python3 -m venv /opt/gantry",
            where=str(packages),
        )
    return found


def _origin(distribution: Distribution) -> Mapping[str, object]:
    """What pip has noted of where it came from; empty for the package index."""
    try:
        return table(json.loads(distribution.read_text("direct_url.json") or "{}"))
    except ValueError:
        return {}


def _remembered(origin: Mapping[str, object]) -> str:
    url = str(origin.get("url", ""))
    version_control = table(origin.get("vcs_info"))
    if not version_control:
        return url
    revision = str(version_control.get("requested_revision", ""))
    return f"{version_control.get('vcs', 'git')}+{url}{'@' + revision if revision else ''}"


def _named(given: str, cwd: Path) -> str:
    path = cwd / given
    if len(given) <= _MAX_SOURCE and path.exists():
        return path.resolve().as_uri()
    if len(given) <= _MAX_SOURCE and _ADDRESS.fullmatch(given):
        return given
    try:
        return f"=={Version(given)}"
    except InvalidVersion:
        raise UserError(
            "upgrade.bad-source",
            f"{given[:100]!r} is no wheel, folder, address or version",
            hint="gantry upgrade ./gantry-0.2.0-py3-none-any.whl   (or git+https://…, or 0.2.0)",
            where="SOURCE",
        ) from None


def _extras(distribution: Distribution, packages: Path) -> tuple[str, ...]:
    """The extras that somebody has chosen: those of which everything is there."""
    there = {canonicalize_name(found.name) for found in distributions(path=[str(packages)])}
    needs: dict[str, list[str]] = {}
    for text in distribution.requires or ():
        requirement = Requirement(text)
        for extra in distribution.metadata.get_all("Provides-Extra") or ():
            marker = requirement.marker
            if marker and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
                needs.setdefault(extra, []).append(canonicalize_name(requirement.name))
    return tuple(sorted(extra for extra, names in needs.items() if there.issuperset(names)))


def _injected(place: Place) -> tuple[str, ...]:
    if not place.is_pipx:
        return ()
    try:
        found = json.loads((place.folder / "pipx_metadata.json").read_text())
        packages = table(table(found).get("injected_packages")).values()
    except ValueError:
        return ()
    return tuple(str(table(package).get("package_or_url", "")) for package in packages)


def _path_of(url: str) -> str:
    return unquote(urlsplit(url).path)
