"""The first week of a server. Run by `scripts/first-week`; `--debian` on a clean Debian, as root, in a clone of this repository.

1. install, as docs/server.md says                        6. the power is cut: nothing but the unit starts Gantry again
2. gantry setup, with a domain whose ACME server is pebble 7. gantry upgrade, to a version that does not come up
3. login from "a laptop"                                   8. gantry upgrade, to the next version, under load
4. a product: web, worker, cron, Postgres, Redis           9. move to a second home, compared row by row
5. systemctl stop, and a crash of the control plane       10. uninstall

Where systemd can be a first process the server is booted, in namespaces of its own; elsewhere what the unit says is
carried out by hand. With `--here` there is no server: the same in a folder of its own, without the steps 3 and 10.
The public ports are high ones, because the network is this machine's.
"""

import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import first_week_product as product
from environment import ROOT
from first_week_server import (
    CONSOLE,
    DOMAIN,
    SITE,
    Booted,
    ByHand,
    Folder,
    OnDebian,
    Server,
    command,
    copy_of,
    environment,
    free_ports,
    until,
)
from running import StepError, say, step, unwinding

_CRON_PATIENCE_S = 150.0
_OPERATOR_LABEL = "operator of this machine"
_MIN_REQUESTS = 200
_VERSION = "src/gantry/__init__.py", '__version__ = "'
_MIGRATIONS = "src/gantry/engines/database/migrations"
_TABLE = "SELECT count(*) FROM pg_tables WHERE tablename = 'first_week'"
_ASK = """
import sys, psycopg
from gantry.app.engines import make_engines
from gantry.config.settings_file import load_settings
with psycopg.connect(make_engines(load_settings()).system.admin_address().url()) as session:
    print(session.execute(sys.argv[1]).fetchone()[0])
"""
_AUTHORITY = """
import asyncio, sys
from pathlib import Path
from gantry.engines.certificates.local import LocalAuthority
from gantry.kernel.clock import SystemClock
async def main():
    folder = Path(sys.argv[1])
    async def nobody(_): pass
    issued = await LocalAuthority(folder / "ca", "localhost", SystemClock()).issue(("localhost",), nobody)
    (folder / "pebble.pem").write_text(issued.chain_pem)
    (folder / "pebble.key").write_text(issued.key_pem)
asyncio.run(main())
"""
_NPM = """
import subprocess, sys
from gantry.app.engines import npm_argv, npm_environment
command = [*npm_argv(), "install", "--package-lock-only", "--silent"]
raise SystemExit(subprocess.call(command, cwd=sys.argv[1], env=npm_environment()))
"""


def main() -> int:
    with unwinding():  # a server that is left behind would go on
        if sys.argv[1:] == ["--debian"]:
            return on_debian()
        if sys.argv[1:] == ["--here"]:
            return here()
    say(__doc__ or "")
    return 2


def on_debian() -> int:
    folder = Path("/opt/gantry")
    if os.geteuid() != 0 or not Path("/etc/debian_version").exists() or folder.exists():
        say("--debian is for a clean Debian, as root: it makes users and writes to /etc and /opt")
        return 1
    work = Path("/srv/first-week")
    work.mkdir(parents=True)
    install_packages("pebble", "systemd")
    places = (work, folder, Path("/var/lib/gantry"), Path("/var/lib/gantry2"), *free_ports(2))
    booted = Booted(*places)
    return week(booted if can_boot(booted) else ByHand(*places))


def can_boot(server: Booted) -> bool:
    """Whether systemd can be a first process here; where it cannot, why is said."""
    if not server.possible():
        say("! systemd or control groups of version 2 are missing: nothing can be booted")
        return False
    try:
        server.boot()
    except (StepError, OSError, RuntimeError) as error:
        say(f"! systemd cannot be booted here: {error}")
        return False
    finally:
        server.end()
    return True


def here() -> int:
    if missing := [name for name in ("pebble", "pebble-challtestsrv") if shutil.which(name) is None]:  # fmt: skip
        say(f"! skipped: {', '.join(missing)} is missing (apt-get install pebble)")
        return 0
    work = Path(tempfile.mkdtemp(prefix="gantry-week-"))
    try:
        (work / "user").mkdir()
        server = Folder(work, work / "program", work / "home", work / "home2", *free_ports(2))
        return week(server)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def week(server: Booted | ByHand | Folder) -> int:
    """Everything, in its order; 1 when something went wrong."""
    say(f"the server: {server.kind}")
    began_s = time.monotonic()
    with ExitStack() as stack:
        try:
            install(server)
            stack.callback(server.end)
            stack.enter_context(pebble(server))
            server.boot()
            set_up(server)
            if isinstance(server, OnDebian):
                log_in(server)
            deploy(server)
            stop_and_crash(server)
            cut_power(server)
            upgrade_to_a_broken_one(server)
            upgrade(server)
            move(server)
            uninstall(server)
        except (StepError, OSError, subprocess.SubprocessError, AssertionError, RuntimeError) as error:  # fmt: skip
            say(f"✗ the first week ended early: {type(error).__name__}: {error}")
            with suppress(StepError, OSError, subprocess.SubprocessError):
                say(server.log_tail())
            return 1
    say(f"✓ the first week went well, in {time.monotonic() - began_s:.0f} s: {server.kind}")
    return 0


def install_packages(*names: str) -> None:
    """From Debian; where one cannot be had, what needs it is done otherwise or fails in words."""
    step("apt-get update", ["apt-get", "update", "-q"])
    for name in names:
        with suppress(StepError):
            step(f"install {name}", ["apt-get", "install", "-qy", "--no-install-recommends", name])


def install(server: Server) -> None:
    """As docs/server.md says."""
    step(f"make {server.program_folder}", [sys.executable, "-m", "venv", str(server.program_folder)])  # fmt: skip
    pip = [str(server.python), "-m", "pip", "install", "--quiet"]
    step("pip install", [*pip, str(ROOT)])
    say(f"  {command(server.program, '--version').strip()}")


@contextmanager
def pebble(server: Booted | ByHand | Folder) -> Iterator[None]:
    """An ACME server, and the DNS server that it and Gantry believe: every name is this machine's."""
    acme, management, dns, records = free_ports(4)
    work = server.work
    step("make pebble's certificate", [str(server.python), "-c", _AUTHORITY, str(work)])
    config = work / "pebble.json"
    config.write_text(json.dumps({"pebble": {
        "listenAddress": f"127.0.0.1:{acme}", "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(work / "pebble.pem"), "privateKey": str(work / "pebble.key"),
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
    try:
        server.roots.write_text(until("pebble answers", lambda: _root_of(work, management)))
        server.conf.parent.mkdir(parents=True, mode=0o755, exist_ok=True)
        server.conf.write_text(
            f'# Written by hand before gantry setup, which keeps it.\nacme_directory = "https://localhost:{acme}/dir"\n'
            f'acme_ca = "{work}/ca/root.pem"\ndns_server = "127.0.0.1:{dns}"\npublic_address = "127.0.0.1"\n'
            f"http_port = {server.http_port}\nhttps_port = {server.https_port}\n"
        )
        for folder in (work, work / "ca"):
            folder.chmod(0o755)
        if isinstance(server, OnDebian):
            with Path("/etc/hosts").open("a") as hosts:
                hosts.write(f"\n127.0.0.1 {CONSOLE} {SITE}\n")
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def _root_of(work: Path, port: int) -> str:
    context = ssl.create_default_context(cafile=str(work / "ca" / "root.pem"))
    address = f"https://localhost:{port}/roots/0"
    with urllib.request.urlopen(address, context=context, timeout=5) as answer:
        return str(answer.read().decode())


def set_up(server: Booted | ByHand | Folder) -> None:
    """`gantry setup` twice: the second time there is nothing to change."""
    arguments = ["setup", "--yes", "--domain", DOMAIN, "--email", "ops@rehearsal.test"]
    if isinstance(server, Folder):
        arguments.append("--no-service")
    say(server.as_root(*arguments))
    assert "nothing to change" in server.as_root(*arguments), "setup is not at its end"
    assert "# Written by hand" in server.conf.read_text(), "the comments of the settings file are gone"  # fmt: skip
    if not isinstance(server, Booted):
        server.start()
    until("the control plane answers", server.answers)
    say("✓ gantry setup, and the control plane runs")


def log_in(server: Server) -> None:
    """From a laptop: over the network, by a token, with a certificate that the ACME server signed."""
    until("the console's certificate is signed", lambda: _certificate(server, CONSOLE) == "valid")
    token = server.operate("token", "create", "laptop", "--role", "owner")
    laptop(server, "login", server.url, "--token-stdin", "--ca-file", str(server.roots), stdin=token)  # fmt: skip
    say(f"✓ logged in at {server.url}")


def deploy(server: Server) -> None:
    """A product with everything that a small team's has."""
    product.write(server.work / "shop")
    step("npm install --package-lock-only", [str(server.python), "-c", _NPM, str(server.work / "shop")])  # fmt: skip
    laptop(server, "env", "set", "SESSION_SECRET", "-", "--project", "shop", stdin=product.SECRET)
    began_s = time.monotonic()
    laptop(server, "deploy", "--yes")
    say(f"✓ deployed after {time.monotonic() - began_s:.0f} s")
    until("the site's certificate is signed", lambda: _certificate(server, SITE) == "valid")
    server.count_grows("worker")
    server.count_grows("cron", _CRON_PATIENCE_S)
    assert len(server.get("/rows").splitlines()) == product.ROWS, "not every row was written"
    say(f"✓ {SITE} answers, its worker and its cron run: {server.counts()}")


def stop_and_crash(server: Server) -> None:
    """The control plane ends, and is killed; visitors notice neither."""
    with load(server, "/plain") as tally, answering(server, "/slow") as slow:
        server.stop()
        assert not server.answers(), "the control plane still answers"
        assert server.get("/plain"), "the site is down with the control plane"
    assert slow[0] == "finished", f"what had begun was cut: {slow}"
    assert tally["failures"] == 0, tally
    say(f"✓ stopped: a request of {product.SLOW_S} s was finished, 0 of {tally['requests']} failed")
    server.start()
    with load(server, "/") as tally:
        server.crash()
    assert tally["failures"] == 0, tally
    say(f"✓ killed: the control plane is back, 0 of {tally['requests']} requests failed")


def cut_power(server: Server) -> None:
    """Every process ends at once; what starts with the machine is all that starts."""
    before = server.counts()
    killed = server.cut_power()
    assert not server.site_answers(), "something survived"
    began_s = time.monotonic()
    server.boot()
    until("the site answers", server.site_answers)
    elapsed_s = time.monotonic() - began_s
    after = server.counts()
    assert after["web"] > before["web"], (before, after)
    assert after["worker"] >= before["worker"], (before, after)
    server.count_grows("worker")
    server.count_grows("cron", _CRON_PATIENCE_S)
    until("the control plane answers", server.answers)
    say(f"✓ the power was cut ({killed} processes); the site was back after {elapsed_s:.0f} s")


def upgrade_to_a_broken_one(server: Server) -> None:
    """It migrates the database and then fails: the version before runs again, and the database is as it was."""
    tree = another_version(
        server,
        "0.1.998",
        "src/gantry/app/control_plane.py",
        "        await migrate(url)\n",
        '        await migrate(url)\n        raise PermanentError("control.broken", "broken on purpose")\n',
    )
    before = server.operate("version", "--json")
    with load(server, "/plain") as tally:
        try:
            server.as_root("upgrade", str(tree), "--yes")
        except StepError as error:
            said = str(error)
        else:
            raise AssertionError("a version that does not come up was taken over")
    assert "upgrade.went-back" in said, said
    assert "broken on purpose" in said, said
    assert server.operate("version", "--json") == before, "another version runs"
    assert ask(server, _TABLE) == "0", "the broken version's table is there"
    assert tally["failures"] == 0, tally
    until("the site answers", server.site_answers)
    say(f"✓ a version that does not come up gave back; 0 of {tally['requests']} requests failed")


def upgrade(server: Server) -> None:
    """The next version: another migration, and another edge, which takes the sockets over."""
    tree = another_version(
        server,
        "0.1.999",
        "src/gantry/engines/edge/process.py",
        "    drain_s: int = 10\n",
        "    drain_s: int = 11\n",
    )
    wheels = server.work / "wheels"
    pip = [str(server.python), "-m", "pip", "wheel", "--quiet", "--no-deps"]
    step("make a wheel of it", [*pip, "--wheel-dir", str(wheels), str(tree)])
    (wheel,) = wheels.glob("gantry-0.1.999-*.whl")
    with load(server, "/plain") as plain, load(server, "/") as whole:
        report = json.loads(server.as_root("upgrade", str(wheel), "--json"))
        assert (report["next_version"], report["done"]) == ("0.1.999", True), report
        assert ask(server, _TABLE) == "1", "the next version's table is missing"
        console = "lib/python3*/site-packages/gantry/web/static/vendor/htmx.min.js"
        assert list(server.program_folder.glob(console)), "the console's parts are missing"
        until("another edge serves", lambda: _edges(server) == [1])
        released = server.get("/plain")
        laptop(server, "redeploy", "--project", "shop", "--json")
        assert server.get("/plain") != released, "the redeploy changed nothing"
    for tally in (plain, whole):
        assert tally["failures"] == 0, tally
        assert tally["requests"] > _MIN_REQUESTS, tally
        assert len(tally["releases"]) == 2, tally["releases"]
    server.count_grows("worker")
    total = plain["requests"] + whole["requests"]
    say(f"✓ upgraded and redeployed under load: 0 of {total} requests failed")


def move(server: Booted | ByHand | Folder) -> None:
    """By an encrypted file to a second home, which has the name and the ports of the first from then on."""
    passphrase = server.work / "passphrase"
    passphrase.write_text("correct horse battery staple\n")
    passphrase.chmod(0o644)
    file = server.home / "platform.gantry"
    # A sequence may have jumped when the power was cut: what counts is where it stands now.
    last_id = int(server.get("/write"))
    before, rows, records = server.counts(), server.get("/rows"), recorded(server)
    server.operate("export", str(file), "--passphrase-file", str(passphrase))
    server.operate("down", "--yes")
    # One that systemd starts again is never seen at its end here.
    until("gantry down has ended it for good", lambda: not server.is_up())
    assert not server.site_answers(), "the first home still serves"
    if isinstance(server, Folder):
        server.second_home.mkdir(mode=0o700)
        shutil.copy(server.conf, server.second_home)
        server.move_home(server.second_home)
    else:
        server.second_home.mkdir(mode=0o700)
        shutil.chown(server.second_home, "gantry", "gantry")
        text = server.conf.read_text()
        assert f'home = "{server.home}"' in text, text
        server.conf.write_text(text.replace(f'"{server.home}"', f'"{server.second_home}"'))
    server.operate("import", str(file), "--passphrase-file", str(passphrase))
    server.start()
    until("the site answers", server.site_answers)
    found = server.get("/rows")
    assert found == rows, f"rows differ: {[pair for pair in zip(rows.splitlines(), found.splitlines(), strict=False) if pair[0] != pair[1]][:3]}"  # fmt: skip
    next_id = int(server.get("/write"))
    assert next_id == last_id + 1, f"the sequence went from {last_id} to {next_id}"
    after = server.counts()
    assert after["secret"] == before["secret"] == len(product.SECRET), "the secret is another"
    for what in ("web", "worker", "cron"):
        assert after[what] >= before[what], (before, after)
    now = recorded(server)
    different = [name for name in records if now[name] != records[name]]
    assert not different, (
        f"these records differ: {[(now[name], records[name]) for name in different]}"
    )
    server.count_grows("worker")
    server.count_grows("cron", _CRON_PATIENCE_S)
    say(f"✓ moved to {server.second_home}: {product.ROWS} rows and {len(records)} lists of records are the same")  # fmt: skip


def uninstall(server: Booted | ByHand | Folder) -> None:
    """Nothing of it stays but the first home, which was left behind."""
    server.as_root("uninstall", "--yes")
    until("nothing starts it again", lambda: not server.is_up())
    assert not server.second_home.exists(), "the home is still there"
    if isinstance(server, OnDebian):
        assert not Path("/etc/systemd/system/gantry.service").exists(), "the unit is still there"
        assert not server.conf.exists(), "the settings file is still there"
    assert not server.pids(), f"processes are left: {server.pids()}"
    say("✓ uninstalled")


def recorded(server: Server) -> dict[str, Any]:
    """What the platform knows of the product, in an order of its own."""
    questions = {
        "releases": ("releases", "--project", "shop"),
        "deploys": ("deploys", "list", "--project", "shop"),
        "variables": ("env", "list", "--project", "shop"),
        "tokens": ("token", "list"),
        "audit": ("audit", "--limit", "1000"),
    }
    found = {
        name: json.loads(server.operate(*arguments, "--json"))
        for name, arguments in questions.items()
    }
    # The operator's own is made anew with each start.
    found["tokens"] = [token for token in found["tokens"] if token["label"] != _OPERATOR_LABEL]
    found["audit"] = [entry for entry in found["audit"] if entry["target"] != _OPERATOR_LABEL]
    return found


def another_version(server: Server, version: str, file: str, before: str, after: str) -> Path:
    """This tree as a later version: its number, one migration more, and one change."""
    number = (f'{_VERSION[1]}{_own_version()}"', f'{_VERSION[1]}{version}"')
    return copy_of(
        ROOT,
        server.work / f"gantry-{version}",
        {_VERSION[0]: number, file: (before, after)},
        {
            f"{_MIGRATIONS}/9999.first-week.sql": "CREATE TABLE first_week (id integer PRIMARY KEY);\n"
        },
    )


def _own_version() -> str:
    return (ROOT / _VERSION[0]).read_text().partition(_VERSION[1])[2].partition('"')[0]


@contextmanager
def load(server: Server, path: str, connections: int = 6) -> Iterator[dict[str, Any]]:
    """Visitors who forgive nothing; what came of their requests is in the dictionary afterwards."""
    stop = server.work / f"stop-{time.monotonic_ns()}"
    process = subprocess.Popen(
        [str(server.python), "-m", "gantry.drill.client", SITE, str(server.https_port), path, str(server.roots),
         str(connections), str(stop), "0.02"],
        env=environment("/root"), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    tally: dict[str, Any] = {}
    try:
        time.sleep(1)  # some visitors are there before anything happens
        yield tally
        time.sleep(1)
        stop.touch()
        tally.update(json.loads(process.communicate(timeout=60)[0]))
        assert tally["requests"] > 0, "nobody came"
    finally:
        process.kill()


@contextmanager
def answering(server: Server, path: str) -> Iterator[list[str]]:
    """A request that is under way meanwhile; its answer is the list's first element afterwards."""
    answers: list[str] = []
    found: list[str] = []

    def ask_it() -> None:
        try:
            answers.append(server.get(path))
        except OSError as error:
            answers.append(str(error))

    thread = threading.Thread(target=ask_it)
    thread.start()
    time.sleep(1)
    yield found
    thread.join(timeout=60)
    found[:] = answers


def laptop(server: Server, *arguments: str, stdin: str = "") -> str:
    """A command of somebody elsewhere, who knows only what they logged in to; in a folder there is nobody else."""
    shop = server.work / "shop"
    cwd = shop if shop.exists() else server.work
    if isinstance(server, Folder):
        home = {"home": str(server.work / "user"), "GANTRY_HOME": str(server.conf.parent)}
        return command(server.program, *arguments, stdin=stdin, cwd=cwd, **home)
    home_folder = server.work / "laptop"
    home_folder.mkdir(exist_ok=True)
    return command(server.program, *arguments, stdin=stdin, cwd=cwd, home=str(home_folder))


def ask(server: Booted | ByHand | Folder, statement: str) -> str:
    """One value of the control plane's own database."""
    more = {"GANTRY_HOME": str(server.conf.parent)} if isinstance(server, Folder) else {}
    return command(server.python, "-c", _ASK, statement, **more).strip()


def _certificate(server: Server, host: str) -> str:
    found = json.loads(server.operate("domains", "--json"))
    return next((str(body["certificate"]) for body in found if body["host"] == host), "")


def _edges(server: Server) -> list[int]:
    """Epochs of the edges that run: a successor's is one more than its predecessor's."""
    running = " ".join(
        Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").replace("\0", " ")
        for pid in server.pids()
        if Path(f"/proc/{pid}").exists()
    )
    parts = running.split()
    return sorted({int(parts[at + 1]) for at, part in enumerate(parts) if part == "--restart-epoch"})  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
