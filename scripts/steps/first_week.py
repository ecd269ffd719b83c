"""The first week of a server. Run by `scripts/first-week` on a clean Debian, as root, with this repository in the folder.

1. install into /opt/gantry, as docs/server.md says       5. reboot: everything is ended, the unit's program starts again
2. gantry setup with a domain whose ACME server is pebble  6. upgrade under load: no request may fail
3. login from "a laptop"                                   7. move to a second home, by an encrypted file
4. a product: web, worker, cron, Postgres, Redis           8. uninstall

Nothing here runs systemd: what the unit says is carried out as systemd would (its user, its program, no new privileges).
The public ports are high ones, because the network is this machine's.
"""

import json
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from environment import ROOT
from running import StepError, say, step

PROGRAM = Path("/opt/gantry/bin/gantry")
PYTHON = Path("/opt/gantry/bin/python")
CONF = Path("/etc/gantry/gantry.conf")
UNIT = Path("/etc/systemd/system/gantry.service")
HOME, SECOND_HOME = Path("/var/lib/gantry"), Path("/var/lib/gantry2")
WORK = Path("/srv/first-week")
DOMAIN = "apps.rehearsal.test"
CONSOLE, SITE = f"gantry.{DOMAIN}", f"shop.{DOMAIN}"
PASSPHRASE = WORK / "passphrase"
_PATIENCE_S = 180.0
_CRON_PATIENCE_S = 150.0

MANIFEST = """\
[project]
name = "shop"
[build]
framework = "node"
[processes.web]
command = "node server.mjs"
instances = 2
health = { path = "/health" }
[processes.worker.counter]
command = "node worker.mjs"
[processes.cron.minute]
schedule = "* * * * *"
command = "node cron.mjs"
[services]
postgres = true
redis = true
[release]
command = "node migrate.mjs"
[variables]
required = ["SESSION_SECRET"]
"""
PRODUCT = {
    "gantry.toml": MANIFEST,
    "package.json": json.dumps(
        {
            "name": "shop",
            "version": "1.0.0",
            "type": "module",
            "dependencies": {"pg": "^8", "redis": "^5"},
        }
    ),
    "database.mjs": """\
import pg from 'pg';
import { createClient } from 'redis';
export const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 4 });
pool.on('error', () => {});
export const cache = createClient({ url: process.env.REDIS_URL });
cache.on('error', () => {});
export const count = (what) => pool.query(
  'INSERT INTO counts VALUES ($1, 1) ON CONFLICT (what) DO UPDATE SET times = counts.times + 1', [what]);
""",
    "migrate.mjs": """\
import { pool } from './database.mjs';
await pool.query('CREATE TABLE IF NOT EXISTS counts (what text PRIMARY KEY, times integer NOT NULL)');
await pool.end();
""",
    "server.mjs": """\
import http from 'node:http';
import { cache, count, pool } from './database.mjs';
await cache.connect();
const server = http.createServer(async (request, response) => {
  try {
    if (request.url === '/health') return response.end('ok');
    if (request.url === '/plain') return response.end(process.env.GANTRY_RELEASE);
    await count('web');
    const { rows } = await pool.query('SELECT what, times FROM counts');
    const found = Object.fromEntries(rows.map((row) => [row.what, row.times]));
    found.redis = await cache.incr('visits');
    found.secret = process.env.SESSION_SECRET.length;
    response.end(JSON.stringify(found));
  } catch (error) { response.statusCode = 500; response.end(String(error)); }
});
server.listen(process.env.PORT, process.env.HOST);
process.on('SIGTERM', () => { server.close(() => process.exit(0)); server.closeIdleConnections(); });
""",
    "worker.mjs": """\
import { count } from './database.mjs';
await count('worker');
setInterval(() => count('worker'), 2000);
process.on('SIGTERM', () => process.exit(0));
""",
    "cron.mjs": """\
import { count, pool } from './database.mjs';
await count('cron');
await pool.end();
""",
}


class Server:
    """The server under rehearsal."""

    def __init__(self, http_port: int, https_port: int) -> None:
        self.http_port, self.https_port = http_port, https_port
        self.process: subprocess.Popen[bytes] | None = None
        self.roots = WORK / "roots.pem"

    @property
    def url(self) -> str:
        return f"https://{CONSOLE}:{self.https_port}"

    def start(self) -> None:
        """As systemd does: the program of the unit, as its user, with no new privileges."""
        unit = UNIT.read_text()
        argv = re.findall(r"^ExecStart=(.+)$", unit, re.MULTILINE)[0].split()
        user = re.findall(r"^User=(.+)$", unit, re.MULTILINE)[0]
        with (WORK / "control.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--no-new-privs", *argv],
                cwd="/", env=environment(str(HOME)), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        until("the control plane answers", self._answers)

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise StepError((WORK / "control.log").read_text()[-3000:])
        return as_service("status", check=False).returncode == 0

    def stop(self) -> None:
        """As `systemctl stop`, with KillMode=process."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(timeout=60)

    def restart(self) -> None:
        """As `systemctl restart`."""
        self.stop()
        self.start()

    def get(self, host: str, path: str = "/") -> str:
        """What a visitor gets, who trusts pebble's authority alone."""
        context = ssl.create_default_context(cafile=str(self.roots))
        with urllib.request.urlopen(
            f"https://{host}:{self.https_port}{path}", context=context, timeout=20
        ) as answer:
            return str(answer.read().decode())

    def counts(self) -> dict[str, int]:
        """What the product has counted."""
        return dict(json.loads(self.get(SITE)))


def main() -> int:
    if os.geteuid() != 0 or not Path("/etc/debian_version").exists() or PROGRAM.exists():
        say(
            "scripts/first-week --here is for a clean Debian, as root: it makes users and writes to /etc and /opt"
        )
        return 2
    WORK.mkdir(parents=True)
    pebble: list[subprocess.Popen[bytes]] = []
    began_s = time.monotonic()
    try:
        server = Server(*free_ports(2))
        install(ROOT)
        pebble = start_pebble(server)
        set_up(server)
        log_in(server)
        deploy(server)
        reboot(server)
        upgrade(server)
        move(server)
        uninstall(server)
    except (StepError, OSError, subprocess.SubprocessError, AssertionError) as error:
        say(f"the first week ended early: {error}")
        log = WORK / "control.log"
        say(log.read_text()[-4000:] if log.exists() else "")
        return 1
    finally:
        for process in pebble:
            process.kill()
    say(f"the first week went well, in {time.monotonic() - began_s:.0f} s")
    return 0


def install(source: Path) -> None:
    """As docs/server.md says."""
    missing = [name for name in ("pebble", "pebble-challtestsrv") if shutil.which(name) is None]
    if missing:
        step("apt-get update", ["apt-get", "update", "-q"])
        step("install pebble", ["apt-get", "install", "-qy", "--no-install-recommends", "pebble"])
    step("make /opt/gantry", [sys.executable, "-m", "venv", "/opt/gantry"])
    pip_install(source)
    say(f"  {command(PROGRAM, '--version').stdout.strip()}")


def pip_install(source: Path) -> None:
    """The program of a tree; nothing of the tree is needed afterwards."""
    step(
        f"pip install {source}",
        [str(PYTHON), "-m", "pip", "install", "--quiet", "--upgrade", str(source)],
    )


def start_pebble(server: Server) -> list[subprocess.Popen[bytes]]:
    """An ACME server, and the DNS server that it and Gantry believe: every name is this machine's."""
    acme, management, dns, records = free_ports(4)
    key, certificate = WORK / "pebble.key", WORK / "pebble.pem"
    code = f"""
import asyncio
from pathlib import Path
from gantry.engines.certificates.local import LocalAuthority
from gantry.kernel.clock import SystemClock
async def main():
    authority = LocalAuthority(Path({str(WORK)!r}) / "ca", "localhost", SystemClock())
    async def nobody(_): pass
    issued = await authority.issue(("localhost",), nobody)
    Path({str(certificate)!r}).write_text(issued.chain_pem)
    Path({str(key)!r}).write_text(issued.key_pem)
asyncio.run(main())
"""
    step("make pebble's certificate", [str(PYTHON), "-c", code])
    config = WORK / "pebble.json"
    config.write_text(json.dumps({"pebble": {
        "listenAddress": f"127.0.0.1:{acme}", "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(certificate), "privateKey": str(key),
        "httpPort": server.http_port, "tlsPort": server.https_port, "ocspResponderURL": "",
    }}))  # fmt: skip
    off = [word for name in ("http01", "https01", "tlsalpn01") for word in (f"-{name}", "")]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [
        subprocess.Popen(["pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", *off,
                          "-dns01", f"127.0.0.1:{dns}", "-management", f"127.0.0.1:{records}"], **quiet),
        subprocess.Popen(["pebble", "-config", str(config), "-dnsserver", f"127.0.0.1:{dns}"],
                         env=environment("/root", PEBBLE_VA_NOSLEEP="1"), **quiet),
    ]  # fmt: skip
    context = ssl.create_default_context(cafile=str(WORK / "ca" / "root.pem"))

    def root() -> str:
        with (
            suppress(OSError),
            urllib.request.urlopen(
                f"https://localhost:{management}/roots/0", context=context, timeout=5
            ) as answer,
        ):
            return str(answer.read().decode())
        return ""

    server.roots.write_text(until("pebble answers", root))
    CONF.parent.mkdir(parents=True)
    CONF.write_text(
        f'# Written by hand before gantry setup, which keeps it.\nacme_directory = "https://localhost:{acme}/dir"\n'
        f'acme_ca = "{WORK}/ca/root.pem"\ndns_server = "127.0.0.1:{dns}"\npublic_address = "127.0.0.1"\n'
        f"http_port = {server.http_port}\nhttps_port = {server.https_port}\n"
    )
    WORK.chmod(0o755)
    (WORK / "ca").chmod(0o755)
    with Path("/etc/hosts").open("a") as hosts:
        hosts.write(f"\n127.0.0.1 {CONSOLE} {SITE}\n")
    return started


def set_up(server: Server) -> None:
    """`gantry setup` twice: the second time there is nothing to change."""
    words = ("setup", "--yes", "--domain", DOMAIN, "--email", "ops@rehearsal.test")
    say(command(PROGRAM, *words).stdout)
    again = command(PROGRAM, *words)
    assert "nothing to change" in again.stdout, again.stdout
    assert "# Written by hand" in CONF.read_text(), "the comments of the settings file are gone"
    assert pwd.getpwnam("gantry").pw_dir == str(HOME)
    server.start()
    say("✓ gantry setup, and its service runs")


def log_in(server: Server) -> None:
    """From a laptop: over the network, by a token, with a certificate that the ACME server signed."""
    until("the console's certificate is signed", lambda: _certificate(CONSOLE) == "valid")
    token = as_service("token", "create", "laptop", "--role", "owner").stdout
    laptop("login", server.url, "--token-stdin", "--ca-file", str(server.roots), stdin=token)
    say(f"✓ logged in at {server.url}")


def deploy(server: Server) -> None:
    """A product with everything that a small team's has."""
    project = WORK / "shop"
    project.mkdir()
    for name, text in PRODUCT.items():
        (project / name).write_text(text)
    npm = f"import subprocess; from gantry.app.engines import *; raise SystemExit(subprocess.call([*npm_argv(), 'install', '--package-lock-only', '--silent'], cwd={str(project)!r}, env=npm_environment()))"  # fmt: skip
    step("npm install --package-lock-only", [str(PYTHON), "-c", npm])
    laptop("env", "set", "SESSION_SECRET", "-", "--project", "shop", stdin="0123456789abcdef")
    began_s = time.monotonic()
    laptop(
        "deploy", "--yes" if "--yes" in laptop("deploy", "--help").stdout else "--json", cwd=project
    )
    say(f"✓ deployed after {time.monotonic() - began_s:.0f} s")
    until("the site's certificate is signed", lambda: _certificate(SITE) == "valid")
    until(
        "the worker and the cron have run",
        lambda: {"worker", "cron"} <= server.counts().keys(),
        _CRON_PATIENCE_S,
    )
    say(f"✓ {server.url.replace(CONSOLE, SITE)} answers: {server.counts()}")


def reboot(server: Server) -> None:
    """Every process of the platform is killed, as when the power goes; the unit's program is all that starts again."""
    before = server.counts()
    everything = _pids_of_platform()
    for pid in everything:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until("everything is gone", lambda: not _pids_of_platform())
    began_s = time.monotonic()
    server.start()
    until("the site answers", lambda: _answers(server))
    after = server.counts()
    assert after["web"] > before["web"], (before, after)
    assert after["worker"] >= before["worker"], (before, after)
    say(
        f"✓ {len(everything)} processes killed; the site was back after {time.monotonic() - began_s:.0f} s"
    )


def upgrade(server: Server) -> None:
    """Another version is installed and takes over, under load."""
    newer = WORK / "newer"
    shutil.copytree(ROOT, newer, ignore=shutil.ignore_patterns(".git", ".venv", "node_modules"))
    version = newer / "src/gantry/__init__.py"
    text = version.read_text()
    version.write_text(re.sub(r'__version__ = "[^"]+"', '__version__ = "0.1.999"', text))
    stop = WORK / "stop"
    load = subprocess.Popen(
        [str(PYTHON), "-m", "gantry.drill.client", SITE, str(server.https_port), "/plain", str(server.roots),
         "10", str(stop), "0.01"],
        env=environment("/root"), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    pip_install(newer)
    server.restart()
    until("the new version answers", lambda: "0.1.999" in as_service("version").stdout)
    before = server.get(SITE, "/plain")
    laptop("redeploy" if _has("redeploy") else "deploy", "--json", cwd=WORK / "shop")
    stop.touch()
    tally = json.loads(load.communicate(timeout=60)[0])
    assert tally["failures"] == 0, tally
    assert tally["requests"] > 100, tally
    say(
        f"✓ upgraded under load: 0 of {tally['requests']} requests failed; {before} before, {server.get(SITE, '/plain')} now"
    )


def move(server: Server) -> None:
    """By an encrypted file to a second home, which has the name and the ports of the first from then on."""
    PASSPHRASE.write_text("correct horse battery staple\n")
    PASSPHRASE.chmod(0o644)
    file = HOME / "platform.gantry"
    before = server.counts()
    as_service("export", str(file), "--passphrase-file", str(PASSPHRASE))
    as_service("down")
    assert server.process is not None
    assert server.process.wait(timeout=60) == 0, "gantry down ends the service for good"
    SECOND_HOME.mkdir(mode=0o700)
    shutil.chown(SECOND_HOME, "gantry")
    CONF.write_text(CONF.read_text().replace(f'home = "{HOME}"', f'home = "{SECOND_HOME}"'))
    as_service("import", str(file), "--passphrase-file", str(PASSPHRASE))
    server.start()
    until("the site answers", lambda: _answers(server))
    after = server.counts()
    assert after["web"] > before["web"], (before, after)
    assert after["secret"] == before["secret"] == len("0123456789abcdef")
    assert laptop("status", "--json").returncode == 0, "tokens moved along"
    say(f"✓ moved to {SECOND_HOME}: {after}")


def uninstall(server: Server) -> None:
    """Nothing of it stays but the first home, which was left behind."""
    command(PROGRAM, "uninstall", "--yes")
    assert server.process is not None
    server.process.wait(timeout=60)
    assert not SECOND_HOME.exists()
    assert not UNIT.exists()
    assert not CONF.exists()
    assert not _pids_of_platform(), _pids_of_platform()
    say("✓ uninstalled")


def _has(name: str) -> bool:
    return command(PROGRAM, name, "--help", check=False).returncode == 0


def _answers(server: Server) -> bool:
    with suppress(OSError):
        return bool(server.counts())
    return False


def _certificate(host: str) -> str:
    found = json.loads(as_service("domains", "--json").stdout)
    return next((str(body["certificate"]) for body in found if body["host"] == host), "")


def _pids_of_platform() -> list[int]:
    """Every process of the service's user."""
    uid, found = pwd.getpwnam("gantry").pw_uid, []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdecimal() and entry.stat().st_uid == uid:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z":
                    found.append(int(entry.name))
    return found


def environment(home: str, **more: str) -> dict[str, str]:
    """The variables of a login, and how packages are found."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GANTRY_")}
    return {**kept, "HOME": home, "NO_COLOR": "1", "COLUMNS": "100", **more}


def command(
    *argv: object, check: bool = True, stdin: str = "", cwd: Path = WORK, home: str = "/root"
) -> subprocess.CompletedProcess[str]:
    """Run a command; a failure is told with all that it said."""
    done = subprocess.run(
        [str(word) for word in argv], input=stdin, capture_output=True, text=True, cwd=cwd, env=environment(home),
        timeout=900, check=False,
    )  # fmt: skip
    if check and done.returncode != 0:
        raise StepError(
            f"{' '.join(map(str, argv))} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
    return done


def laptop(*words: str, stdin: str = "", cwd: Path = WORK) -> subprocess.CompletedProcess[str]:
    """A command of somebody elsewhere: only what they logged in to is known to them."""
    home = WORK / "laptop"
    home.mkdir(exist_ok=True)
    return command(PROGRAM, *words, stdin=stdin, cwd=cwd, home=str(home))


def as_service(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command of the operator of the machine: `sudo -u gantry gantry …`."""
    user = ("setpriv", "--reuid", "gantry", "--regid", "gantry", "--init-groups")
    return command(*user, PROGRAM, *words, check=check, cwd=Path("/"), home=str(HOME))


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for bound in sockets:
            bound.bind(("127.0.0.1", 0))
        return [int(bound.getsockname()[1]) for bound in sockets]
    finally:
        for bound in sockets:
            bound.close()


def until(what: str, condition: Callable[[], Any], patience_s: float = _PATIENCE_S) -> Any:  # noqa: ANN401 -- whatever the condition answers
    """The first true answer of `condition()`."""
    deadline_s = time.monotonic() + patience_s
    while time.monotonic() < deadline_s:
        with suppress(StepError, OSError):
            if answer := condition():
                return answer
        time.sleep(0.5)
    raise StepError(f"{what}: not within {patience_s:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
