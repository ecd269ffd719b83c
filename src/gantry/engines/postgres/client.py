"""`psql` from the wheel, for one database. The machine's own `rlwrap` gives it a line editor, which the wheel's has not."""

import shutil

import psycopg
from psycopg.conninfo import conninfo_to_dict

from gantry.engines.postgres import wheel
from gantry.engines.runtime.protocol import Client, Mount
from gantry.kernel.errors import UserError

# libpq's keywords, and the variables that it reads them from: on a command line everybody on the machine could read them.
_VARIABLES = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER",
    "password": "PGPASSWORD", "options": "PGOPTIONS", "application_name": "PGAPPNAME", "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT", "channel_binding": "PGCHANNELBINDING", "connect_timeout": "PGCONNECT_TIMEOUT",
    "target_session_attrs": "PGTARGETSESSIONATTRS", "gssencmode": "PGGSSENCMODE",
}  # fmt: skip
_READ_ONLY = "-c default_transaction_read_only=on"


def client(url: str, *, read_only: bool, interactive: bool) -> Client:
    """See `DatabaseServer.client`."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        # What libpq says of it repeats parts of the URL, which holds a password.
        raise UserError(
            "database.bad-url",
            "DATABASE_URL is not an address that Postgres understands",
            hint="gantry env set DATABASE_URL takes one like postgresql://user:password@db.example.com:5432/name",
        ) from None
    env = {
        variable: str(parts[keyword])
        for keyword, variable in _VARIABLES.items()
        if parts.get(keyword) is not None
    }
    if read_only:
        env["PGOPTIONS"] = f"{env.get('PGOPTIONS', '')} {_READ_ONLY}".strip()
    # Whoever types is not the user of the machine whose files these would be.
    env |= {"PSQLRC": "/dev/null", "PSQL_HISTORY": "/dev/null"}
    editor = shutil.which("rlwrap", path="/usr/bin:/bin") if interactive else None
    wrapped = (editor, "--always-readline", "--no-warnings") if editor is not None else ()
    return Client(
        argv=(*wrapped, str(wheel.programs() / "bin" / "psql")),
        env=env,
        mounts=tuple(Mount(folder, str(folder)) for folder in wheel.folders()),
    )
