"""A client for one cache: the machine's own `valkey-cli` or `redis-cli`, else a small prompt of ours."""

import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gantry.engines.runtime.protocol import Client, Mount
from gantry.kernel.errors import UserError

_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
_PROMPT = "/opt/gantry/redis/prompt.py"


def client(url: str) -> Client:
    """See `CacheServers.client`."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port or 6379
        number = int(parts.path.strip("/") or 0)
    except ValueError:
        host, port, number = None, 0, 0
    if host is None or parts.scheme not in ("redis", "rediss", "valkey", "valkeys"):
        raise UserError(
            "cache.bad-url",
            "REDIS_URL is not an address of a Redis server",
            hint="gantry env set REDIS_URL takes one like redis://:password@cache.example.com:6379/0",
        )
    secure = parts.scheme in ("rediss", "valkeys")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    program = next(
        (found for name in ("valkey-cli", "redis-cli") if (found := _which(name)) is not None), None
    )
    if program is not None:
        options = ("-h", host, "-p", str(port), "-n", str(number))
        more = (*(("--user", user) if user else ()), *(("--tls",) if secure else ()))
        # Both read the password from REDISCLI_AUTH: on a command line everybody on the machine could read it.
        env = {"REDISCLI_AUTH": password, "VALKEYCLI_AUTH": password} if password else {}
        return Client((program, *options, *more), env)
    return Client(
        argv=(_python(), "-I", _PROMPT),
        env={
            "REDIS_HOST": host,
            "REDIS_PORT": str(port),
            "REDIS_NUMBER": str(number),
            "REDIS_USER": user,
            "REDIS_PASSWORD": password,
            "REDIS_TLS": "1" if secure else "",
        },
        mounts=(Mount(Path(__file__).with_name("prompt.py"), _PROMPT), *_python_mounts()),
    )


def _which(name: str) -> str | None:
    return shutil.which(name, path=_SYSTEM_PATH)


def _python() -> str:
    return str(Path(sys.executable).resolve())


def _python_mounts() -> tuple[Mount, ...]:
    base = Path(sys.base_prefix)
    return () if base.is_relative_to("/usr") else (Mount(base, str(base)),)
