"""What a platform consists of, and how another one is made of it."""

import asyncio
import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gantry import __version__
from gantry.app.engines import LocalEngines, make_engines
from gantry.app.lock import HomeLock
from gantry.app.moving.sealed import Key, Lock, check_lock, read_sealed, write_sealed
from gantry.config.settings import Settings
from gantry.engines.postgres import dump
from gantry.kernel.errors import ConflictError, TransientError, UserError
from gantry.kernel.trees import remove_tree

Progress = Callable[[str], None]

_FORMAT = 1
_ABOUT = "about.json"
# Of the home: what cannot be made again. Caches, logs and processes are not among it.
_FOLDERS = ("artifacts", "sources")
_NOT_KEYS = ("operator.token",)
_SYSTEM, _ROLES, _DATA = "system.dump", "roles.sql", "data"


def export(settings: Settings, file: Path, lock: Lock, progress: Progress) -> None:
    """Write the platform of this home into one encrypted file, while it runs.

    Raises:
        UserError: `export.weak-passphrase`, `export.bad-recipient`, `moving.external-database`.
        TransientError: `control.down`.
        PermanentError: `database.dump-failed`.
        OSError: the file cannot be written.
    """
    check_lock(lock)
    _refuse_external(settings)
    if not HomeLock(settings.paths.lock).is_held():
        raise TransientError(
            "control.down", "the databases are copied while Gantry runs", hint="gantry up"
        )
    engines = make_engines(settings)
    with _workplace(settings) as work:
        progress("copying the control plane's database")
        dump.dump(
            engines.system.admin_address(), engines.system.admin_address().database, work / _SYSTEM
        )
        _dump_data(engines, settings, work, progress)
        about = {"format": _FORMAT, "version": __version__, "domain": settings.domain}
        (work / _ABOUT).write_text(json.dumps(about))
        progress("writing and encrypting")
        write_sealed(file, lock, lambda archive: _fill(archive, settings, work))


def _dump_data(engines: LocalEngines, settings: Settings, work: Path, progress: Progress) -> None:
    if not (settings.paths.postgres / "data" / "data").exists():
        return
    address = engines.data.admin_address()
    (work / _DATA).mkdir()
    dump.dump_roles(address, work / _ROLES)
    for name in dump.list_databases(address):
        progress(f"copying the database {name}")
        dump.dump(address, name, work / _DATA / f"{name}.dump")


def _fill(archive: tarfile.TarFile, settings: Settings, work: Path) -> None:
    archive.add(work / _ABOUT, _ABOUT)
    archive.add(settings.paths.keys, "keys", filter=_kept_key)
    for path in (work / _SYSTEM, work / _ROLES, work / _DATA):
        if path.exists():
            archive.add(path, path.name)
    for name in _FOLDERS:
        if (settings.home / name).exists():
            archive.add(settings.home / name, name)


def _kept_key(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return (
        None if Path(member.name).name in _NOT_KEYS or member.name.endswith(".password") else member
    )


def bring_in(settings: Settings, file: Path, key: Key, progress: Progress) -> str:
    """Make the platform of a file in a home that has none.

    Returns:
        The domain that it had.

    Raises:
        ConflictError: `import.not-empty`, `control.running`.
        UserError: `import.not-an-export`, `import.wrong-key`, `import.other-format`, `moving.external-database`.
        PermanentError: `database.dump-failed`.
        OSError: such as ENOSPC.
    """
    _refuse_external(settings)
    home = settings.home
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _held(settings):
        present = [name for name in ("postgres", "keys", *_FOLDERS) if (home / name).exists()]
        if present:
            raise ConflictError(
                "import.not-empty",
                f"there is a platform in {home} already ({', '.join(present)})",
                hint="import into an empty home: gantry uninstall here, or GANTRY_HOME=/var/lib/gantry2 gantry import FILE",
                where=str(home),
            )
        with _workplace(settings) as work:
            progress("decrypting and unpacking")
            read_sealed(file, key, work)
            about = _about(work, file)
            try:
                _settle(settings, work, progress)
            except BaseException:
                # Half a platform is none: the next try finds an empty home.
                for name in ("postgres", "keys", *_FOLDERS):
                    remove_tree(home / name)
                raise
    return str(about.get("domain", ""))


def _about(work: Path, file: Path) -> dict[str, object]:
    try:
        about = json.loads((work / _ABOUT).read_text())
    except (OSError, ValueError):
        about = {}
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise UserError(
            "import.other-format",
            f"{file} was written by another version of Gantry ({about.get('version', 'unknown')})",
            hint="pip install the version that wrote it, import, then upgrade",
        )
    return about


def _settle(settings: Settings, work: Path, progress: Progress) -> None:
    shutil.move(work / "keys", settings.paths.keys)
    settings.paths.keys.chmod(0o700)
    settings.paths.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    asyncio.run(_restore(make_engines(settings), work, progress))
    for name in _FOLDERS:
        if (work / name).exists():
            shutil.move(work / name, settings.home / name)


async def _restore(engines: LocalEngines, work: Path, progress: Progress) -> None:
    try:
        progress("restoring the control plane's database")
        await engines.start_system_database()
        system = engines.system.admin_address()
        await asyncio.to_thread(dump.restore, system, work / _SYSTEM, into=system.database)
        if (work / _ROLES).exists():
            await engines.data.start()
            data = engines.data.admin_address()
            await asyncio.to_thread(dump.restore_roles, data, work / _ROLES)
            for file in sorted((work / _DATA).glob("*.dump")):
                progress(f"restoring the database {file.stem}")
                await asyncio.to_thread(dump.restore, data, file)
    finally:
        await engines.data.stop()
        await engines.system.stop()
        await engines.runtime.aclose()


def _refuse_external(settings: Settings) -> None:
    if settings.database_url:
        raise UserError(
            "moving.external-database",
            "the control plane's records lie in a Postgres of your own (GANTRY_DATABASE_URL)",
            hint="copy that with pg_dump, and the folder keys of GANTRY_HOME with it",
        )


@contextmanager
def _held(settings: Settings) -> Iterator[None]:
    lock = HomeLock(settings.paths.lock).acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _workplace(settings: Settings) -> Iterator[Path]:
    """A folder in the home, for its file system has the room; nobody else may look into it."""
    work = Path(tempfile.mkdtemp(prefix=".moving-", dir=settings.home))
    try:
        yield work
    finally:
        remove_tree(work)
