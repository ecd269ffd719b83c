"""TLS for a cluster: its certificate, and the process in front of it."""

import asyncio
import sys
from datetime import datetime, timedelta
from pathlib import Path

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import gantry
from gantry.engines.postgres import wheel
from gantry.engines.runtime.protocol import (
    Limits,
    Mount,
    MountMode,
    ProcessSpec,
    ProcessState,
    Runtime,
    Sandbox,
)
from gantry.engines.runtime.starting import StartError, start_and_wait
from gantry.kernel.clock import Clock
from gantry.kernel.errors import TransientError, UserError
from gantry.kernel.files import replace_file

_LIFE = timedelta(days=90)
_RENEWED_BEFORE = timedelta(days=30)
_BACKDATED = timedelta(days=1)  # a clock that is set back makes it no stranger
_START_TIMEOUT_S = 20.0
_MEMORY_BYTES = 256_000_000
_MAX_ANSWER_BYTES = 1
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
_ASK_TIMEOUT_S = 2.0


class TlsFront:
    """Runs `tls_serve` in front of one cluster.

    Parameters:
        process: its id.
        folder: of its own; the cluster's user may enter it.
        socket: the server's unix socket.
        port: on 127.0.0.1.
    """

    def __init__(
        self,
        process: str,
        *,
        folder: Path,
        socket: Path,
        port: int,
        runtime: Runtime,
        clock: Clock,
    ) -> None:
        self._process = process
        self._folder = folder
        self._socket = socket
        self._port = port
        self._runtime = runtime
        self._clock = clock
        self._renew_at: datetime | None = None

    async def start(self) -> None:
        """Make sure that it runs with a certificate that is not old; returns when it answers.

        Raises:
            TransientError: `database.start-failed` with the last lines of its log.
            UserError: `database.unreachable-folder` on a machine without sandboxes.
        """
        await self.renew()
        spec = self._spec()
        try:
            await start_and_wait(self._runtime, self._clock, spec, self._answers, _START_TIMEOUT_S)
        except UserError as error:
            raise wheel.unreachable(error, spec, self._folder) from error
        except StartError as error:
            raise TransientError(
                "database.start-failed",
                f"what encrypts connections to Postgres does not start: {error}",
                hint="gantry doctor",
                where=self._process,
            ) from error

    async def revive(self) -> None:
        """Start it again when it has ended, and see to its certificate."""
        found = (await self._runtime.statuses()).get(self._process)
        if found is not None and found.state is not ProcessState.RUNNING:
            await self.start()
        elif found is not None:
            await self.renew()

    async def stop(self) -> None:
        """End it, with the connections through it."""
        await self._runtime.remove(self._process)

    async def renew(self) -> None:
        """Replace the certificate when it is missing or grows old; the process takes the new one by itself."""
        now = self._clock.now()
        if self._renew_at is None:
            self._renew_at = await asyncio.to_thread(_renewal_of, self._file)
        if self._renew_at is None or now >= self._renew_at:
            await asyncio.to_thread(_make, self._file, now)
            self._renew_at = now + _LIFE - _RENEWED_BEFORE

    @property
    def _file(self) -> Path:
        return self._folder / "tls.pem"

    async def _answers(self) -> bool:
        """Whether it takes connections and would encrypt them."""
        try:
            async with asyncio.timeout(_ASK_TIMEOUT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                try:
                    writer.write(_SSL_REQUEST)
                    return await reader.read(_MAX_ANSWER_BYTES) == b"S"
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False

    def _spec(self) -> ProcessSpec:
        mounts = (
            Mount(self._folder, str(self._folder), MountMode.READ_WRITE),
            Mount(self._socket.parent, str(self._socket.parent)),
            *(Mount(folder, str(folder)) for folder in _interpreter()),
        )
        program = (sys.executable, "-I", "-m", "gantry.engines.postgres.tls_serve")
        return ProcessSpec(
            id=self._process,
            argv=(*program, str(self._port), str(self._socket), str(self._file)),
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            cwd=str(self._folder),
            sandbox=Sandbox(mounts),
            limits=Limits(memory_bytes=_MEMORY_BYTES, processes=64),
            user=wheel.system_user(),
            labels={"engine": "postgres", "part": "tls"},
        )


def _interpreter() -> tuple[Path, ...]:
    """The Python that runs Gantry, Gantry, and what it needs here; not what every sandbox has, or what lies in another folder.

    Not all of `sys.path`: the folder in which Gantry was started may stand there, and hide what lies below it.
    """
    packages = [
        Path(package.__file__).parents[1] for package in (gantry, uvloop) if package.__file__
    ]
    folders = {Path(sys.base_prefix), Path(sys.prefix), *packages}
    kept: list[Path] = []
    for folder in sorted(path.resolve() for path in folders if path.is_dir()):
        if not any(map(folder.is_relative_to, (Path("/usr"), *kept))):
            kept.append(folder)
    return tuple(kept)


def _renewal_of(file: Path) -> datetime | None:
    """When the certificate in `file` should be replaced; `None` when there is none that can be read."""
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError):
        return None
    return certificate.not_valid_after_utc - _RENEWED_BEFORE


def _make(file: Path, now: datetime) -> None:
    """A key and a certificate that it signs itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFE)
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    owner = file.parent.stat()
    content = private + certificate.public_bytes(serialization.Encoding.PEM)
    replace_file(file, content, owner=(owner.st_uid, owner.st_gid))
