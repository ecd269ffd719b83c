"""The chain of programs that ends in the program of a specification.

    setsid -> shim.sh -> [pump] -> enter.sh -> [bwrap] -> [setpriv] -> [keeper] -> sh -> the program

Each link but the shim, the pump, bubblewrap and the keeper replaces itself by the next. The environment and the secrets travel in
anonymous memory (memfd), never on a command line or in a file, and nothing before the last link sees the
environment: a variable such as LD_PRELOAD must not reach programs that still have root's rights.
"""

import json
import os
import pwd
import re
import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gantry.engines.runtime import keeper, sandbox
from gantry.engines.runtime.attached import Ends, spawn
from gantry.engines.runtime.folder import ProcessFolder
from gantry.engines.runtime.protocol import Limits, Mount, MountMode, ProcessSpec, Sandbox
from gantry.kernel.errors import UserError

_ID = re.compile(r"[a-z0-9][a-z0-9.-]{0,79}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HERE = Path(__file__).parent
_OWN_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
# When the whole machine runs out of memory, the kernel should prefer a product to the engines that all products need.
_SANDBOX_OOM_ADJUST = 300
NO_PROGRAM = "no-program"
NO_FOLDER = "no-folder"


def check(spec: ProcessSpec) -> None:
    """Refuse what could not be run as it is written.

    Raises:
        UserError: `runtime.bad-spec`.
    """
    fault = ""
    if not _ID.fullmatch(spec.id):
        fault = f"the process id {spec.id!r} is not made of a-z, 0-9, dot and minus"
    elif not spec.argv:
        fault = f"process {spec.id} has no program"
    elif bad := [name for name in spec.env if not _VARIABLE.fullmatch(name)]:
        fault = f"{bad[0]!r} is not the name of an environment variable"
    elif any("\0" in text for text in (*spec.argv, *spec.env.values(), spec.cwd)):
        fault = f"process {spec.id} has a NUL character in its arguments or environment"
    if fault:
        hint = "names of variables are letters, digits and _, such as DATABASE_URL"
        raise UserError("runtime.bad-spec", fault, hint=hint, where=spec.id)


@dataclass(frozen=True, slots=True)
class User:
    """Whom a program becomes."""

    uid: int
    gid: int
    name: str


def user_of(spec: ProcessSpec) -> User | None:
    """Whom the program becomes; `None` to stay who Gantry is.

    Raises:
        UserError: `runtime.no-user` the system has no such user.
    """
    if os.geteuid() != 0:
        return None
    if spec.user is None:
        uid = sandbox.SANDBOX_UID
        return User(uid, uid, "app") if spec.sandbox is not None else None
    try:
        entry = pwd.getpwnam(spec.user)
    except KeyError:
        raise UserError(
            "runtime.no-user",
            f"the system has no user {spec.user!r}",
            hint=f"useradd --system {spec.user}",
            where=spec.id,
        ) from None
    return User(entry.pw_uid, entry.pw_gid, spec.user)


def launch(
    spec: ProcessSpec, folder: ProcessFolder, groups: tuple[Path, ...], ends: Ends | None = None
) -> None:
    """Start the chain and return; the folder tells how it goes on.

    Parameters:
        ends: what the program reads and writes when somebody holds it; else nothing, and its log.

    Raises:
        UserError: `runtime.no-user`.
        OSError: the machine refused.
    """
    user = user_of(spec)
    if spec.sandbox is not None and not sandbox.probe().available:
        spec = _without_sandbox(spec, folder, user)
    with ExitStack() as stack:
        script = stack.enter_context(_memory("environment", _last_link(spec, ends)))
        secrets = stack.enter_context(_memory("secrets", json.dumps(spec.redact)))
        log = stack.enter_context(_opened_log(folder.log))
        chain = (
            *_shim(spec, folder, groups),
            *(_pump(secrets) if spec.redact and ends is None else ()),
            *_enter(spec, groups),
            *_confinement(spec, folder, user),
            *_become(user),
            *("/bin/sh", "-s", "--", *spec.argv),
        )
        # setsid returns at once: the shim belongs to init, in a session of its own.
        if ends is not None:
            if user is not None:
                ends.hand_over(user.uid)
            spawn((_tool("setsid"), "--fork", *chain), _OWN_ENVIRONMENT, script, log, ends)
            return
        subprocess.run(
            (_tool("setsid"), "--fork", *chain),
            stdin=script,
            stdout=log,
            stderr=log,
            env=_OWN_ENVIRONMENT,
            cwd="/",
            pass_fds=(secrets,) if spec.redact else (),
            check=True,
        )


def _shim(spec: ProcessSpec, folder: ProcessFolder, groups: tuple[Path, ...]) -> tuple[str, ...]:
    timeout = "" if spec.timeout_s is None else str(spec.timeout_s)
    kill_group = str(groups[0]) if groups else ""
    grace = str(spec.terminate_s) if spec.timeout_s is not None else ""
    tree = "tree" if spec.whole_tree else ""
    return "/bin/sh", str(_HERE / "shim.sh"), str(folder.path), timeout, grace, tree, kill_group


def _pump(secrets: int) -> tuple[str, ...]:
    return sys.executable, "-I", "-m", "gantry.engines.runtime.pump", str(secrets)


def _enter(spec: ProcessSpec, groups: tuple[Path, ...]) -> tuple[str, ...]:
    adjust = str(_SANDBOX_OOM_ADJUST) if spec.sandbox is not None else ""
    limits = ("" if spec.limits.open_files is None else str(_open_files(spec.limits)), adjust)
    return "/bin/sh", str(_HERE / "enter.sh"), *limits, *map(str, groups), "--"


def _open_files(limits: Limits) -> int:
    assert limits.open_files is not None, "asked for a limit that is not there"
    # Not above what Gantry has itself: even root may lack the right to raise it, as in many containers.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limits.open_files if hard == resource.RLIM_INFINITY else min(limits.open_files, hard)


def _confinement(spec: ProcessSpec, folder: ProcessFolder, user: User | None) -> tuple[str, ...]:
    if spec.sandbox is None:
        # A session of its own, apart from the shim's, makes the tree findable where there are no control groups.
        return (_tool("setsid"),)
    user = user or User(os.getuid(), os.getgid(), "app")
    accounts = folder.path.parent / f".accounts-{user.uid}"
    sandbox.write_accounts(accounts, user.name, user.uid, user.gid)
    support = sandbox.probe()
    mounts = spec.sandbox.mounts if support.overlay else _with_copies(spec.sandbox, folder)
    for mount in mounts:
        sandbox.hand_over(mount, user.uid, user.gid)
    return sandbox.command(replace(spec, sandbox=Sandbox(mounts)), support, accounts, folder.path)


def _with_copies(box: Sandbox, folder: ProcessFolder) -> tuple[Mount, ...]:
    """The mounts with copies in the place of overlays, which not every kernel permits."""
    return tuple(
        Mount(
            sandbox.copied(mount.source, folder.path / f"overlay-{number}"),
            mount.target,
            MountMode.READ_WRITE,
        )
        if mount.mode is MountMode.OVERLAY
        else mount
        for number, mount in enumerate(box.mounts)
    )


def _become(user: User | None) -> tuple[str, ...]:
    if user is None:
        return ()
    identity = (f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups")
    return _tool("setpriv"), *identity, "--bounding-set=-all", "--inh-caps=-all"


def _last_link(spec: ProcessSpec, ends: Ends | None) -> str:
    """The script that sets the environment and becomes the program; it is read from anonymous memory."""
    lines = []
    if spec.sandbox is None:
        lines.append(f"cd {shlex.quote(spec.cwd)} || {{ echo {NO_FOLDER} >&3; exit 126; }}")
    elif spec.limits.processes is not None and os.geteuid() != 0:
        # Counted by user namespace, so it bounds this sandbox only. Shells disagree on the letter.
        n = spec.limits.processes
        lines.append(f"ulimit -u {n} 2>/dev/null || ulimit -p {n} 2>/dev/null")
    lines.append("unset PATH LANG PWD OLDPWD SHLVL")
    lines += [f"export {name}={shlex.quote(value)}" for name, value in spec.env.items()]
    lines += [
        'case "$1" in',
        '*/*) [ -f "$1" ] && [ -x "$1" ] ;;',
        '*) command -v "$1" >/dev/null 2>&1 ;;',
        f"esac || {{ echo {NO_PROGRAM} >&3; exit 127; }}",
        # Of the shell that becomes the program, which is not $$ below a keeper.
        "read -r gantry_stat </proc/self/stat",
        'gantry_report="${gantry_stat%% *} ${gantry_stat##*) }"',
    ]
    # Who holds its terminal or its pipes ends it with them.
    is_kept = spec.whole_tree and ends is None
    if is_kept:
        lines += [
            'read -r gantry_stat <"/proc/$$/stat"',
            'gantry_report="$gantry_report\n$$ ${gantry_stat##*) }"',
        ]
    lines += [
        'printf "%s\\n" "$gantry_report" >&3',
        'exec "$@" 3>&- 4>&- </dev/null' if ends is None else _take_ends(spec, ends),
    ]
    return (
        keeper.kept(lines, boxed=spec.sandbox is not None) if is_kept else "\n".join(lines) + "\n"
    )


def _take_ends(spec: ProcessSpec, ends: Ends) -> str:
    """Becomes the program with its input and output in place, and the terminal its own."""
    closed = "3>&- 4>&- 5<&- 6>&- 7>&-"
    if not ends.terminal:
        return f'exec "$@" <&5 >&6 2>&7 {closed}'
    if spec.sandbox is not None:
        # Without a terminal of its session, Ctrl-C would be a character like any other.
        return f'exec {_tool("setsid")} --ctty -- "$@" <&5 >&6 2>&7 {closed}'
    # Already the leader of a session: the first terminal that it opens becomes the session's.
    return f'exec "$@" 0<>/proc/self/fd/5 >&6 2>&7 {closed}'


def _without_sandbox(spec: ProcessSpec, folder: ProcessFolder, user: User | None) -> ProcessSpec:
    """`spec` for a machine that permits no sandbox: paths inside become paths of the host."""
    assert spec.sandbox is not None, "only sandboxed processes"
    mounts = _with_copies(spec.sandbox, folder)
    if user is not None:
        for mount in mounts:
            sandbox.hand_over(mount, user.uid, user.gid)
    places = {mount.target: str(mount.source) for mount in mounts}
    return replace(
        spec,
        argv=tuple(_translate(word, places) for word in spec.argv),
        env={name: _translate(value, places) for name, value in spec.env.items()},
        cwd=_translate(spec.cwd, places),
        sandbox=None,
    )


def _translate(text: str, places: Mapping[str, str]) -> str:
    """`text`, or each part of it between colons, with paths of a mount's target turned into its source's."""
    return ":".join(_translate_path(part, places) for part in text.split(":"))


def _translate_path(path: str, places: Mapping[str, str]) -> str:
    for target in sorted(places, key=len, reverse=True):
        if path == target or path.startswith(target.rstrip("/") + "/"):
            return places[target] + path.removeprefix(target.rstrip("/"))
    return path


@contextmanager
def _memory(name: str, text: str) -> Iterator[int]:
    handle = os.memfd_create(name)
    try:
        os.write(handle, text.encode())
        os.lseek(handle, 0, os.SEEK_SET)
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _opened_log(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


def _tool(name: str) -> str:
    """The path of a program of util-linux.

    Raises:
        UserError: `runtime.no-tool`.
    """
    path = shutil.which(name, path=_OWN_ENVIRONMENT["PATH"])
    if path is None:
        raise UserError(
            "runtime.no-tool", f"{name} is missing", hint="apt-get install util-linux", where=name
        )
    return path
