"""A clean Debian with a fresh clone of this repository, and a command that runs there. Needs root, debootstrap, git and unshare.

scripts/clean-debian                           scripts/test, as root in /root/gantry
scripts/clean-debian --user                    the same as a plain user with a home of their own
scripts/clean-debian scripts/test --fast       any other command
scripts/clean-debian --cache DIR ...           where the Debian is kept between runs, as a tar
                                               (otherwise in the folder for temporary files)

The Debian has what README asks for and nothing else. It is entered by pivot_root, in mount and process namespaces of its own
on this machine's network, and is deleted afterwards. How packages are found comes from this machine: the
configuration of apt, pip and npm, certificates, and the variables that they read. Where none can be had it ends with 77.
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from environment import ROOT
from running import StepError, say, step, unwinding

INCLUDED = "python3,python3-venv,git,ca-certificates"
PROGRAMS = ("debootstrap", "git", "unshare", "tar", "chroot")
# Exit code where no Debian can be had: no command of its own was run.
NONE_HERE = 77
USER = "ada"
_REMOVALS = 5
_UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private")
# What clients of package indexes read, beside the files below.
_VARIABLES = re.compile(
    r"(PIP|UV|NPM_CONFIG)_.+|(HTTP|HTTPS|NO|ALL)_PROXY|SSL_CERT_(FILE|DIR)|"
    r"(REQUESTS|CURL)_CA_BUNDLE|NODE_EXTRA_CA_CERTS",
    re.IGNORECASE,
)
_FILES = (
    "etc/hosts", "etc/resolv.conf", "etc/pip.conf", "etc/npmrc", "etc/uv/uv.toml",
    "etc/ssl/certs/ca-certificates.crt", "usr/local/share/ca-certificates",
)  # fmt: skip
_HOME_FILES = (".config/pip", ".pip", ".npmrc", ".config/uv")
# Never shown to the Debian, whatever names them.
_OWN_FOLDERS = {Path(name) for name in ("/", "/usr", "/etc", "/bin", "/lib", "/home", "/root", "/tmp")}  # fmt: skip
# Run in the new namespaces: $1 the folder, $2 the user, $3 what is shown read-only, $4... the command.
_ENTER = r"""
set -eu
root=$1 user=$2 shown=$3; shift 3
mount --bind "$root" "$root"
cd "$root"
for folder in $shown; do
    mkdir -p ".$folder"
    mount --rbind "$folder" ".$folder"
    mount -o remount,bind,ro ".$folder"
done
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p .before
pivot_root . .before
exec chroot . /bin/sh -c '
    set -eu
    umount -l /.before
    rmdir /.before
    user=$1; shift
    cd "$HOME/gantry"
    [ "$user" = root ] || exec setpriv --reuid "$user" --regid "$user" --init-groups "$@"
    exec "$@"
' sh "$user" "$@"
"""


def main() -> int:
    arguments = _arguments()
    if os.geteuid() != 0:
        say("scripts/clean-debian needs root: it mounts, and makes namespaces")
        return NONE_HERE
    if shutil.which("debootstrap") is None and shutil.which("apt-get") is not None:
        with suppress(StepError):  # said below
            step("apt-get update", ["apt-get", "update", "-q"])
            step(
                "install debootstrap",
                ["apt-get", "install", "-qy", "--no-install-recommends", "debootstrap"],
            )
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        say(f"missing: {', '.join(missing)} (apt-get install debootstrap git util-linux)")
        return NONE_HERE
    cache = Path(arguments.cache or Path(tempfile.gettempdir()) / "gantry-clean-debian")
    with unwinding(), _folder("gantry-debian-") as place:
        try:
            return _run(place, cache, USER if arguments.user else "root", arguments.command)
        except StepError as error:
            say(f"the clean Debian could not be made: {error}")
            return NONE_HERE


@contextmanager
def _folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A folder while the block runs. Its mounts end with their namespaces; should one be left, it is not entered."""
    place = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        yield place
    finally:
        # What was killed a moment ago may still be writing.
        for _ in range(_REMOVALS):
            if subprocess.call(["rm", "-rf", "--one-file-system", str(place)]) == 0:
                break


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/clean-debian",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--user", action="store_true", help="as a plain user")
    parser.add_argument("--cache", help="folder for the tar of the Debian")
    parser.add_argument("command", nargs=argparse.REMAINDER, default=[])
    found = parser.parse_args()
    found.command = found.command or ["scripts/test"]
    return found


def _run(place: Path, cache: Path, user: str, command: list[str]) -> int:
    place.chmod(0o755)
    root = place / "root"
    root.mkdir()
    step("make namespaces", [*_UNSHARE, "mount", "-t", "tmpfs", "tmpfs", str(root)])  # fmt: skip
    step("unpack Debian", ["tar", "-xf", str(_debian(cache)), "-C", str(root)])
    home = root / "root"
    if user != "root":
        step(
            f"make the user {user}", ["chroot", str(root), "useradd", "-m", "-s", "/bin/bash", user]
        )
        home = root / "home" / user
    _configure(root, home)
    _clone(home / "gantry")
    if user != "root":
        step(
            "give the clone away", ["chroot", str(root), "chown", "-R", f"{user}:", f"/home/{user}"]
        )
    environ = {
        **variables(os.environ),
        "HOME": f"/{home.relative_to(root)}",
        "USER": user,
        "LOGNAME": user,
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "TERM": os.environ.get("TERM", "dumb"),
    }
    named = named_paths(_texts(), os.environ)
    for path in named:
        if path.is_file():
            _copy(path, root / path.relative_to("/"))
    shown = [path for path in named if path.is_dir()]
    for folder in shown:
        say(f"  {folder} of this machine is there, read-only")
    say(f"$ {shlex.join(command)}    ({user} in {environ['HOME']}/gantry)")
    argv = [*_UNSHARE, "/bin/sh", "-c", _ENTER, "sh", str(root), user, " ".join(map(str, shown)), *command]  # fmt: skip
    return run_to_its_end(argv, environ)


def run_to_its_end(argv: list[str], env: Mapping[str, str]) -> int:
    """Run a program in namespaces of its own; its exit code. Whatever ends us, none of its processes is left.

    Parameters:
        argv: begins with `unshare --fork`, which has one child: the first process of the namespace. When that is
            killed, the kernel kills all others, and `unshare` ends after the last of them.
    """
    outside = subprocess.Popen(argv, env=env)
    try:
        return outside.wait()
    finally:
        if outside.poll() is None:
            children = Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text()
            for pid in children.split() or [str(outside.pid)]:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            outside.wait()


def _debian(cache: Path) -> Path:
    """The tar of a Debian that nothing was done with; made when it is not kept yet."""
    sources = _apt_sources()
    suite = sources[0][1] if sources else "stable"
    kept = cache / f"debian-{suite}.tar"
    if kept.exists():
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    with _folder("new-", cache) as fresh:
        # Without a mirror debootstrap knows one.
        mirror = [sources[0][0]] if sources else []
        # In a namespace: what it mounts ends with it, however it ends.
        words = ["unshare", "--mount", "--propagation", "private", "debootstrap", "--variant=minbase", f"--include={INCLUDED}", suite, str(fresh / "root"), *mirror]  # fmt: skip
        step(f"debootstrap {suite}", words)
        new = fresh / "debian.tar"
        step(
            "keep it", ["tar", "--one-file-system", "-cf", str(new), "-C", str(fresh / "root"), "."]
        )
        new.replace(kept)
    return kept


def _apt_sources() -> list[tuple[str, str, str]]:
    """Address, suite and component of each Debian archive that this machine's apt uses; none on another system."""
    if shutil.which("apt-get") is None:
        return []
    form = "$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)"
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = [line.split() for line in done.stdout.splitlines()]
    found = [
        (line[1], line[2], line[3]) for line in lines if len(line) == 4 and line[0] == "Debian"
    ]
    # The suite itself before its updates: `bookworm` before `bookworm-security`.
    return sorted(dict.fromkeys(found), key=lambda source: ("-" in source[1], source[2] != "main"))


def _configure(root: Path, home: Path) -> None:
    """How packages are found on this machine."""
    lines = [f"deb {address} {suite} {component}\n" for address, suite, component in _apt_sources()]
    if lines:
        (root / "etc/apt/sources.list").write_text("".join(lines))
    proxies = subprocess.run(
        ["apt-config", "dump", "Acquire::http", "Acquire::https"], capture_output=True, text=True, check=False
    )  # fmt: skip
    (root / "etc/apt/apt.conf.d/90this-machine").write_text(proxies.stdout)
    for name in _FILES:
        _copy(Path("/", name), root / name)
    for name in _HOME_FILES:
        _copy(Path.home() / name, home / name)


def _copy(source: Path, target: Path) -> None:
    if not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        target.unlink(missing_ok=True)
        shutil.copyfile(source, target)


def _clone(target: Path) -> None:
    step(
        "clone the repository",
        ["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(target)],
    )
    changed = subprocess.run(
        ["git", "-C", str(ROOT), "status", "--porcelain"], capture_output=True, text=True, check=True
    )  # fmt: skip
    if changed.stdout:
        say("! what is not committed is not in the clone")


def _texts() -> Iterator[str]:
    """Configuration that may name folders of this machine."""
    files = [Path("/etc/pip.conf"), Path("/etc/npmrc"), Path.home() / ".npmrc", Path.home() / ".config/uv/uv.toml",
             Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf"]  # fmt: skip
    return (file.read_text(errors="replace") for file in files if file.is_file())


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Those of `environ` by which clients of package indexes are configured."""
    return {name: value for name, value in environ.items() if _VARIABLES.fullmatch(name)}


def named_paths(texts: Iterable[str], environ: Mapping[str, str]) -> list[Path]:
    """Files and folders of this machine that the configuration names, sorted; none that every Debian has."""
    settings = (*texts, *variables(environ).values())
    words = {word for text in settings for word in re.split(r"[\s=,\"']+", text)}
    paths = {
        Path(word.removeprefix("file://")) for word in words if re.match(r"(file://)?/[^/]", word)
    }
    return sorted(
        path
        for path in {_index(path) for path in paths if path.exists()}
        if path not in _OWN_FOLDERS and not path.is_relative_to("/etc/ssl/certs")
    )


def _index(path: Path) -> Path:
    """The folder `simple` of an index of packages lies beside their files."""
    return path.parent if path.name == "simple" else path


if __name__ == "__main__":
    sys.exit(main())
