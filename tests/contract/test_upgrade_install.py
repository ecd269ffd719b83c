"""Another version of Gantry is installed by pip beside one that is there, takes over and gives back."""

import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gantry.app.upgrading.install import check_folder, install, program_in, source_of
from gantry.app.upgrading.place import Place
from gantry.kernel.errors import PermanentError, UserError
from tests.support.suite import slow_teardown

pytestmark = pytest.mark.real

_METADATA = "Metadata-Version: 2.1\nName: gantry\nVersion: {version}\n{more}"
_PROGRAM = "import sys\ndef main():\n    print('{version}', *sys.argv[1:])\n"


def wheel(folder: Path, version: str, more: str = "", migrations: int = 1) -> Path:
    """A Gantry of one line."""
    file = folder / f"gantry-{version}-py3-none-any.whl"
    info = f"gantry-{version}.dist-info"
    files = {
        "gantry/__init__.py": _PROGRAM.format(version=version),
        f"{info}/METADATA": _METADATA.format(version=version, more=more),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ngantry = gantry:main\n",
        **{f"gantry/engines/database/migrations/000{n}.step.sql": "" for n in range(migrations)},
    }  # fmt: skip
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
        archive.writestr(f"{info}/RECORD", record)
    return file


def answer(folder: Path) -> str:
    """What the program in a folder says."""
    done = subprocess.run(
        (folder / "bin" / "gantry", "version"), capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
@slow_teardown("two virtual environments are deleted")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the version 0.1.0 in `gantry`, installed by its own pip."""
    folder = tmp_path_factory.mktemp("opt") / "gantry"
    subprocess.run((sys.executable, "-m", "venv", folder), check=True)
    pip = (folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-index")
    subprocess.run((*pip, str(wheel(folder.parent, "0.1.0"))), check=True)
    return folder


def test_a_version_is_installed_beside_takes_over_and_gives_back(installed: Path) -> None:
    place = Place(installed)
    check_folder(installed)
    present = program_in(installed)
    assert (present.version, present.migrations) == ("0.1.0", frozenset({"0000.step.sql"}))
    source = source_of(place, str(wheel(installed.parent, "0.2.0", migrations=2)), Path("/"))
    install(place, source)
    assert answer(installed) == "0.1.0 version"
    assert program_in(place.next).version == "0.2.0"
    assert len(program_in(place.next).migrations) == 2
    assert not (place.next / "requirements.txt").exists()
    assert stat.S_IMODE(place.next.stat().st_mode) == 0o755
    place.take_over()
    assert (answer(installed), answer(place.folder)) == ("0.2.0 version", "0.2.0 version")
    assert not place.next.exists()
    for script in (installed / "bin").iterdir():
        if not script.is_symlink():
            assert str(place.next) not in script.read_text(), script
    place.give_back()
    assert answer(installed) == "0.1.0 version"
    assert not place.previous.exists()


def test_without_a_source_it_comes_from_where_this_one_came_from(installed: Path) -> None:
    assert source_of(Place(installed), "", Path("/")).shown.endswith(
        "gantry-0.1.0-py3-none-any.whl"
    )


def test_what_cannot_be_installed_changes_nothing(installed: Path) -> None:
    place = Place(installed)
    broken = installed.parent / "gantry-9.9.9-py3-none-any.whl"
    broken.write_text("no archive")
    with pytest.raises(PermanentError) as caught:
        install(place, source_of(place, str(broken), Path("/")))
    assert caught.value.code == "upgrade.not-installed"
    assert "gantry-9.9.9" in caught.value.message
    assert answer(installed) == "0.1.0 version"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("0.2.0", "==0.2.0"),
        ("git+https://token:x@git.example.com/gantry@v1", "git+https://git.example.com/gantry@v1"),
        ("https://example.com/gantry-0.2.0-py3-none-any.whl",) * 2,
    ],
)
def test_where_it_comes_from(installed: Path, given: str, shown: str) -> None:
    source = source_of(Place(installed), given, Path("/"))
    assert source.shown == shown
    assert "token" not in repr(source)
    assert source.requirement.startswith("gantry")


@pytest.mark.parametrize(
    "given", ["--index-url=x", "no such file", "x" * 2_000, "ftp://x/y", "a b"]
)
def test_what_is_no_source_is_refused(installed: Path, given: str) -> None:
    with pytest.raises(UserError) as caught:
        source_of(Place(installed), given, Path("/nowhere"))
    assert caught.value.code == "upgrade.bad-source"


def test_a_checkout_is_pulled_not_upgraded(tmp_path: Path) -> None:
    folder = tmp_path / "venv"
    subprocess.run((sys.executable, "-m", "venv", "--without-pip", folder), check=True)
    info = folder / f"lib/python3.{sys.version_info[1]}/site-packages/gantry-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(_METADATA.format(version="0.1.0", more=""))
    (info / "direct_url.json").write_text(
        '{"url": "file:///srv/gantry", "dir_info": {"editable": true}}'
    )
    with pytest.raises(UserError) as caught:
        check_folder(folder)
    assert (caught.value.code, "/srv/gantry" in caught.value.message) == ("upgrade.checkout", True)
