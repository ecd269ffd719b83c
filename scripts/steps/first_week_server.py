"""The server of the first week, as a machine: what starts Gantry, what ends it, and how commands reach it. Bare Python 3.11.

`Booted`   systemd is the first process of namespaces of its own; the unit starts Gantry, also after the power was cut
`ByHand`   a server without systemd: the unit is carried out as systemd would
`Folder`   no server, only a folder: `gantry up` and `gantry down` of whoever runs this
"""

import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from running import StepError, say

DOMAIN = "apps.rehearsal.test"
CONSOLE, SITE = f"gantry.{DOMAIN}", f"shop.{DOMAIN}"
PATIENCE_S = 180.0
_COMMAND_TIMEOUT_S = 900
_UNIT = Path("/etc/systemd/system/gantry.service")
_INIT = Path("/lib/systemd/systemd")
# What would change the kernel that is shared with this machine.
_MASKED = (
    "systemd-sysctl.service", "systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount", "systemd-modules-load.service",
    "systemd-random-seed.service", "systemd-udevd.service", "systemd-update-utmp.service",
)  # fmt: skip
_CGROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
# Run in namespaces of its own, in a control group of its own; $1 is the folder of the devices of before.
# No mount hides a part of /proc: the kernel gives sandboxes a /proc of their own only where they could see all of it.
_BOOT = r"""
set -eu
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/before
mount --rbind /dev /run/before
mount -t tmpfs -o mode=755 tmpfs /dev
for name in null zero full random urandom tty; do
    : > /dev/$name
    mount --bind /run/before/$name /dev/$name
done
ln -s /proc/self/fd /dev/fd
mkdir /dev/pts /dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts /dev/pts
ln -s pts/ptmx /dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
umount -l /run/before
rmdir /run/before
umount -l /sys
mount -t sysfs -o ro sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
export container=rehearsal
exec /lib/systemd/systemd --system --log-target=journal
"""


@dataclass
class Server:
    """A machine on which Gantry is installed, set up and used.

    Attributes:
        work: a folder of the rehearsal's own.
        program_folder: the virtual environment.
        home, second_home: of the platform, before and after the move.
    """

    work: Path
    program_folder: Path
    home: Path
    second_home: Path
    http_port: int
    https_port: int
    kind: str = ""

    @property
    def program(self) -> Path:
        return self.program_folder / "bin" / "gantry"

    @property
    def python(self) -> Path:
        return self.program_folder / "bin" / "python"

    @property
    def roots(self) -> Path:
        """The test authority's root, which visitors trust."""
        return self.work / "roots.pem"

    @property
    def url(self) -> str:
        return f"https://{CONSOLE}:{self.https_port}"

    # What differs from machine to machine.

    def as_root(self, *arguments: str) -> str:
        """Run a command of Gantry's as whoever sets the machine up."""
        raise NotImplementedError

    def operate(self, *arguments: str) -> str:
        """Run a command of Gantry's as the operator of the machine."""
        raise NotImplementedError

    def start(self) -> None:
        """As `systemctl start`; returns when the control plane answers."""
        raise NotImplementedError

    def stop(self) -> None:
        """As `systemctl stop`: the control plane alone ends."""
        raise NotImplementedError

    def is_up(self) -> bool:
        """Whether a control plane runs, or is to be started again."""
        raise NotImplementedError

    def cut_power(self) -> int:
        """End every process at once; how many there were."""
        raise NotImplementedError

    def boot(self) -> None:
        """What comes when the power is back; nobody starts Gantry by hand but where nothing else could."""
        raise NotImplementedError

    def crash(self) -> None:
        """The control plane alone is killed; returns when it is back."""
        raise NotImplementedError

    def pids(self) -> list[int]:
        """Every process of the platform."""
        raise NotImplementedError

    # What every one has.

    def answers(self) -> bool:
        """Whether the control plane answers."""
        with suppress(StepError):
            return bool(self.operate("status"))
        return False

    def get(self, path: str = "/", host: str = SITE) -> str:
        """What a visitor gets, who trusts the test authority alone."""
        context = ssl.create_default_context(cafile=str(self.roots))
        connection = _Here(host, self.https_port, context)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise OSError(f"{path} answers {answer.status}: {text[:500]}")
        return text

    def counts(self) -> dict[str, int]:
        """What the product has counted."""
        return dict(json.loads(self.get()))

    def site_answers(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            return bool(self.counts())
        return False

    def count_grows(self, what: str, patience_s: float = PATIENCE_S) -> None:
        """Wait until the product has counted one more."""
        before = self.counts().get(what, 0)
        until(f"{what} goes on", lambda: self.counts().get(what, 0) > before, patience_s)


class _Here(http.client.HTTPSConnection):
    """A connection to this machine, whatever names mean elsewhere."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, port, context=context, timeout=30)
        self._own_context = context

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=self.timeout)
        self.sock = self._own_context.wrap_socket(plain, server_hostname=self.host)


class OnDebian(Server):
    """A server as docs/server.md describes it, on a Debian that is the rehearsal's own."""

    conf = Path("/etc/gantry/gantry.conf")

    def _inside(self) -> tuple[str, ...]:
        return ()

    def as_root(self, *arguments: str) -> str:
        return command(*self._inside(), self.program, *arguments, home="/root")

    def operate(self, *arguments: str) -> str:
        user = ("setpriv", "--reuid", "gantry", "--regid", "gantry", "--init-groups")
        return command(*self._inside(), *user, self.program, *arguments, home=str(self.home))

    def pids(self) -> list[int]:
        """Every process of the service's user."""
        uid = pwd.getpwnam("gantry").pw_uid
        return [seen.pid for seen in _processes() if seen.uid == uid]


@dataclass
class Booted(OnDebian):
    """A machine that systemd has started: namespaces of its own, on this machine's network."""

    kind: str = "systemd is its first process"
    _outer: "subprocess.Popen[bytes] | None" = None
    _init: int = 0
    _group: Path | None = None

    @classmethod
    def possible(cls) -> bool:
        """Whether systemd can be had here, and be a first process."""
        return _INIT.exists() and _cgroup_root() is not None

    def boot(self) -> None:
        root = _cgroup_root()
        assert root is not None, "checked before"
        for name in _MASKED:
            unit = _UNIT.with_name(name)
            if not unit.is_symlink():
                unit.symlink_to("/dev/null")
        if self._group is None:
            # Process numbers are those of a namespace: two rehearsals have the same.
            self._group = Path(tempfile.mkdtemp(prefix="gantry-rehearsal-", dir=root))
            self._group.chmod(0o755)  # as the root of a machine's groups is
        join = f'echo $$ > {self._group}/cgroup.procs && exec "$@"'
        with (self.work / "boot.log").open("ab") as log:
            self._outer = subprocess.Popen(
                ["/bin/sh", "-c", join, "sh", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--cgroup",
                 "--uts", "--ipc", "--propagation", "private", "/bin/sh", "-c", _BOOT],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until("systemd is up", self._booted, 90)

    def _booted(self) -> bool:
        assert self._outer is not None
        if self._outer.poll() is not None:
            raise RuntimeError(f"systemd ended: {(self.work / 'boot.log').read_text()[-1500:]}")
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text()
        if not children.split():
            return False
        self._init = int(children.split()[0])
        state = command(*self._inside(), "systemctl", "is-system-running", check=False).strip()
        return state in ("running", "degraded")

    def _inside(self) -> tuple[str, ...]:
        spaces = ("--mount", "--pid", "--cgroup", "--uts", "--ipc")
        return ("nsenter", "--target", str(self._init), *spaces, "--")

    def _systemctl(self, *arguments: str) -> str:
        return command(*self._inside(), "systemctl", *arguments)

    def _show(self, name: str) -> str:
        return self._systemctl("show", "--property", name, "--value", "gantry").strip()

    def start(self) -> None:
        self._systemctl("start", "gantry")
        until("the control plane answers", self.answers)

    def stop(self) -> None:
        self._systemctl("stop", "gantry")

    def is_up(self) -> bool:
        return self._show("ActiveState") not in ("inactive", "failed")

    def crash(self) -> None:
        before = self._show("MainPID")
        self._systemctl("kill", "--signal=KILL", "--kill-whom=main", "gantry")
        until("systemd has started it again", lambda: self._show("MainPID") not in (before, "0"))
        until("the control plane answers", self.answers)
        assert int(self._show("NRestarts")) >= 1, "systemd did not count it"

    def cut_power(self) -> int:
        assert self._outer is not None
        killed = len(self.pids())
        os.kill(self._init, signal.SIGKILL)  # and the kernel kills everything in its namespace
        self._outer.wait(timeout=60)
        until("everything is gone", lambda: not self.pids())
        return killed

    def log_tail(self) -> str:
        """What the service said last."""
        return command(*self._inside(), "journalctl", "--unit=gantry", "--lines=60", "--no-pager", check=False)  # fmt: skip

    def end(self) -> None:
        if self._outer is not None and self._outer.poll() is None:
            self._outer.kill()
            self._outer.wait(timeout=60)
        if self._group is not None:
            until("its control groups are empty", lambda: _removed(self._group), 30)
            self._group = None


@dataclass
class ByHand(OnDebian):
    """A server without systemd: what the unit says is carried out by this script."""

    kind: str = "without systemd: the unit is carried out by hand"
    _process: "subprocess.Popen[bytes] | None" = None

    def boot(self) -> None:
        if _UNIT.exists():
            self.start()

    def start(self) -> None:
        """As systemd does: the program of the unit, as its user, with no new privileges."""
        unit = _UNIT.read_text()
        argv = re.findall(r"^ExecStart=(.+)$", unit, re.MULTILINE)[0].split()
        user = re.findall(r"^User=(.+)$", unit, re.MULTILINE)[0]
        with (self.work / "control.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--no-new-privs", *argv],
                cwd="/", env=environment(str(self.home)), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        until("the control plane answers", self._starts)

    def _starts(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(self.log_tail())
        return self.answers()

    def stop(self) -> None:
        """With KillMode=process."""
        self._end(signal.SIGTERM)

    def is_up(self) -> bool:
        return self.answers()

    def crash(self) -> None:
        self._end(signal.SIGKILL)
        self.start()

    def _end(self, number: int) -> None:
        assert self._process is not None
        end_control_plane(
            Path(re.findall(r'^home = "(.+)"$', self.conf.read_text(), re.MULTILINE)[0]), number
        )
        self._process.wait(timeout=60)

    def cut_power(self) -> int:
        return kill_all(self.pids)

    def log_tail(self) -> str:
        log = self.work / "control.log"
        return log.read_text()[-4000:] if log.exists() else ""

    def end(self) -> None:
        return


@dataclass
class Folder(Server):
    """No server: a folder of its own, by whoever runs this."""

    kind: str = "in a folder, as no clean Debian can be had here"
    _home: Path = field(default_factory=Path)

    def __post_init__(self) -> None:
        self._home = self.home

    @property
    def conf(self) -> Path:
        return self._home / "gantry.conf"

    def as_root(self, *arguments: str) -> str:
        return self.operate(*arguments)

    def operate(self, *arguments: str) -> str:
        return command(
            self.program, *arguments, home=str(self.work / "user"), GANTRY_HOME=str(self._home)
        )

    def move_home(self, home: Path) -> None:
        self._home = home

    def boot(self) -> None:
        if self.conf.exists() and (self._home / "keys").exists():
            self.start()

    def start(self) -> None:
        self.operate("up")

    def stop(self) -> None:
        end_control_plane(self._home, signal.SIGTERM)

    def is_up(self) -> bool:
        return self.answers()

    def crash(self) -> None:
        end_control_plane(self._home, signal.SIGKILL)
        self.start()

    def cut_power(self) -> int:
        return kill_all(self.pids)

    def pids(self) -> list[int]:
        """Every process that names the folder of a home, and what it has started."""
        seen = _processes()
        marks = (os.fsencode(self.home), os.fsencode(self.second_home))
        found = {
            process.pid
            for process in seen
            if process.pid != os.getpid() and any(mark in process.text for mark in marks)
        }
        while more := {process.pid for process in seen if process.parent in found} - found:
            found |= more
        return sorted(found)

    def log_tail(self) -> str:
        log = self._home / "control.log"
        return log.read_text()[-4000:] if log.exists() else ""

    def end(self) -> None:
        kill_all(self.pids)


def end_control_plane(home: Path, number: int) -> None:
    """Send the control plane of a home a signal, and wait until it has ended."""
    pid = int(json.loads((home / "control.lock").read_text())["pid"])
    os.kill(pid, number)
    until("the control plane has ended", lambda: pid not in {seen.pid for seen in _processes()})


def kill_all(pids: Callable[[], list[int]]) -> int:
    """SIGKILL to each, until there is none; how many there were."""
    killed = pids()
    for pid in killed:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until("everything is gone", lambda: not pids())
    return len(killed)


@dataclass(frozen=True)
class Process:
    """One that has not ended; `text` is its arguments and its environment."""

    pid: int
    parent: int
    uid: int
    text: bytes


def _processes() -> list[Process]:
    return [seen for entry in Path("/proc").glob("[0-9]*") if (seen := _process(entry)) is not None]


def _process(entry: Path) -> Process | None:
    with suppress(OSError, IndexError):
        state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        if state not in ("Z", "X"):
            text = (entry / "cmdline").read_bytes() + b"\0"
            with suppress(OSError):
                text += (entry / "environ").read_bytes()
            return Process(int(entry.name), int(parent), entry.stat().st_uid, text)
    return None


def _removed(group: Path | None) -> bool:
    """Whether a control group is gone, with those below it; one with a process in it stays."""
    if group is not None and group.exists():
        for folder, _, _ in os.walk(group, topdown=False):
            Path(folder).rmdir()
    return True


def _cgroup_root() -> Path | None:
    """Where control groups of version 2 can be made; `None` where they cannot."""
    for root in _CGROUPS:
        if (root / "cgroup.procs").exists() and (root / "cgroup.controllers").exists():
            probe = root / f"gantry-probe-{os.getpid()}"
            with suppress(OSError):
                probe.mkdir()
                probe.rmdir()
                return root
    return None


def environment(home: str, **more: str) -> dict[str, str]:
    """The variables of a login, and how packages are found."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GANTRY_")}
    return {**kept, "HOME": home, "NO_COLOR": "1", "COLUMNS": "100", **more}


def command(
    *argv: object, check: bool = True, stdin: str = "", cwd: Path = Path("/"), home: str = "/root", **more: str
) -> str:  # fmt: skip
    """What a command says on standard output.

    Raises:
        StepError: it failed, with all that it said.
    """
    done = subprocess.run(
        [str(word) for word in argv], input=stdin, capture_output=True, text=True, cwd=cwd,
        env=environment(home, **more), timeout=_COMMAND_TIMEOUT_S, check=False,
    )  # fmt: skip
    if check and done.returncode != 0:
        line = " ".join(map(str, argv))
        raise StepError(f"{line} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


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


def until(what: str, condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:  # noqa: ANN401 -- whatever the condition answers
    """The first true answer of `condition()`, which may fail meanwhile.

    Raises:
        StepError: there was none in time, with the last failure.
    """
    deadline_s, last = time.monotonic() + patience_s, ""
    while time.monotonic() < deadline_s:
        try:
            if answer := condition():
                return answer
        except (StepError, OSError, http.client.HTTPException) as error:
            last = f": {error}"
        time.sleep(0.3)
    raise StepError(f"{what}: not within {patience_s:.0f} s{last}")


def copy_of(
    tree: Path, target: Path, changes: dict[str, tuple[str, str]], files: dict[str, str]
) -> Path:
    """A tree of Gantry's source as another version has it.

    Parameters:
        changes: file -> what is replaced in it, and by what.
        files: further files.
    """
    shutil.copytree(tree, target, ignore=shutil.ignore_patterns(".git", ".venv", "node_modules"))
    for name, (before, after) in changes.items():
        text = (target / name).read_text()
        assert text.count(before) == 1, (
            f"{name} has no line {before!r} any more: the rehearsal's versions need another"
        )
        (target / name).write_text(text.replace(before, after))
    for name, content in files.items():
        (target / name).write_text(content)
    say(f"  {target.name} is another version of {tree}")
    return target
