"""The build runner: `python -m gantry.engines.builders.run JOB.json`. A process of its own, so that a build survives the
control plane; the commands of the product run below it in a sandbox. It writes its outcome by a rename, last.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gantry.engines.builders import confine
from gantry.engines.builders.collect import collect, collect_tree, collect_workspace, set_modes
from gantry.engines.builders.failures import BuildFailed, Tail, Unseen, explain
from gantry.engines.builders.job import Job, Secrets
from gantry.engines.builders.plan import APP, BuildPlan, Phase, own_programs
from gantry.engines.builders.registry import Registry
from gantry.engines.builders.shelf import Shelf
from gantry.engines.builders.starting import programs_of
from gantry.engines.builders.tool_store import ToolStore
from gantry.engines.builders.tree import Tree, read_package
from gantry.engines.builders.workspace import Caches, PackageStore, prepare
from gantry.engines.runtime import sandbox
from gantry.engines.runtime.protocol import Mount, MountMode
from gantry.kernel.commands import joined
from gantry.kernel.errors import TransientError
from gantry.kernel.files import replace_file
from gantry.kernel.redact import Redactor
from gantry.kernel.trees import remove_tree
from gantry.kernel.units import format_duration, format_size

_NICENESS = 10
# Removing packages asks nobody anything and takes seconds; what takes longer is not worth it.
_PRUNE_TIMEOUT_S = 120.0
_NPM_TARGET = "/opt/gantry/npm"


class Runner:
    """One task from its beginning to its outcome."""

    def __init__(self, job: Job, secrets: Secrets, write: Callable[[str], None]) -> None:
        mask = Redactor((*secrets.masked,))
        self._job = job
        self._secrets = secrets
        self._line = write
        self._mask = mask
        self._owner = confine.owner()
        self._deadline_s = time.monotonic() + job.timeout_s
        name = job.plan.packages.folder if job.plan.packages is not None else "node_modules"
        self._store = PackageStore(job.caches / "packages", self._owner, name)
        self._caches = Caches(job.caches, job.work / job.root, self._owner)
        self._shelf = Shelf(job.artifacts)
        self._shared: tuple[Mount, ...] | None = None
        self.phases: dict[str, float] = {}

    def run(self) -> dict[str, object]:
        """Do the task; returns the outcome."""
        try:
            _check_sandbox()
            self._job.caches.mkdir(mode=0o700, parents=True, exist_ok=True)
            record = self._test() if self._job.task == "test" else self._build()
        except BuildFailed as failure:
            self._write(f"==> failed: {failure.message.splitlines()[0]}")
            outcome = {"code": failure.code, "message": failure.message, "hint": failure.hint}
            return {name: self._mask(text) for name, text in outcome.items()} | {
                "phases": self.phases
            }
        return {"artifact": record, "phases": self.phases}

    def _build(self) -> dict[str, object]:
        job = self._job
        for reason in job.plan.reasons:
            self._write(f"    {reason}")
        with self._timed("prepare", "copy of the source"):
            prepare(job.source, job.work, self._owner)
        self._fetch_tools()
        self._install()
        taken = [cache for cache in job.plan.caches if not cache.shared]
        for cache in taken:
            self._caches.take(cache)
        for phase in job.plan.phases:
            if phase.name != "install":
                self._phase(phase)
        with self._timed("collect", "artifact"):
            record = self._collect()
        for cache in taken:
            self._caches.give_back(cache)
        self._write(f"==> artifact {str(record['digest'])[:12]}: {record['files']} files, "
                    f"{format_size(float(str(record['size_bytes'])))}")  # fmt: skip
        return record

    def _fetch_tools(self) -> None:
        """What the product asks for and Gantry does not come with; before anything of the product runs."""
        job, secrets = self._job, self._secrets
        store = ToolStore(job.tools, job.own_node)
        missing = store.missing(job.plan.versions, job.own_node_version)
        if not missing:
            return
        with self._timed("tools", ", ".join(missing)):
            registry = Registry(secrets.install_env, secrets.npmrc, secrets.npmrc_global, ())
            try:
                store.fetch(job.plan.versions, job.own_node_version, registry)
            except TransientError as error:
                raise BuildFailed(error.code, error.message, hint=error.hint) from error

    def _install(self) -> None:
        install = next((phase for phase in self._job.plan.phases if phase.name == "install"), None)
        packages = self._job.plan.packages
        if install is None:
            return
        if packages is None:
            self._phase(install)
            return
        with self._timed("packages", "packages that are kept"):
            restored = self._store.restore(packages.key, self._job.work)
        if not restored:
            self._phase(install)
            with self._timed("keep", "packages for the next build"):
                self._store.adopt(packages.key, self._job.work)
        elif packages.scripts:
            self._phase(
                Phase("install", "the product's install scripts", packages.scripts, install.env)
            )

    def _collect(self) -> dict[str, object]:
        job = self._job
        staging = self._shelf.staging(job.id)
        try:
            target = staging / "app"
            plan = collect(job.plan, job.work, job.root, target, job.artifact_bytes)
            set_modes(target, self._owner)
            plan = self._prune(plan, target)
            if plan.collect.workspace:
                whole = staging / "workspace"
                collect_workspace(plan, job.work, job.root, whole, job.artifact_bytes)
                set_modes(whole, self._owner)
            return dict(self._shelf.keep(staging, plan, job.key, job.root))
        finally:
            remove_tree(staging)

    def _prune(self, plan: BuildPlan, target: Path) -> BuildPlan:
        """Remove packages of development, unless the product's start needs one of them or it cannot be done offline."""
        prune = plan.collect.prune
        if prune is None:
            return plan
        product = target / plan.folder
        package = read_package(Tree(product))
        needed = self._programs(target, product) & programs_of(joined(plan.web), package)
        deadline_s = self._deadline_s
        self._deadline_s = min(deadline_s, time.monotonic() + _PRUNE_TIMEOUT_S)
        try:
            self._phase(prune, place=target)
            gone = needed - self._programs(target, product)
            why = f"{', '.join(sorted(gone))} starts the product" if gone else ""
        except BuildFailed as failure:
            why = failure.message.splitlines()[0]
        self._deadline_s = deadline_s
        if why:
            self._write(f"    development packages stay: {why}")
            remove_tree(target)
            collect_tree(self._job.work, target, self._job.artifact_bytes)
        set_modes(target, self._owner)
        # What is served has all there is: commands need no second tree.
        return replace(plan, collect=replace(plan.collect, workspace=False)) if why else plan

    @staticmethod
    def _programs(*folders: Path) -> frozenset[str]:
        """Programs of installed packages."""
        found = [folder / "node_modules/.bin" for folder in folders]
        return frozenset(
            path.name for folder in found if folder.is_dir() for path in folder.iterdir()
        )

    def _test(self) -> dict[str, object] | None:
        if not self._job.work.is_dir():
            raise BuildFailed(
                "test.no-build",
                "the folder of the build is gone, so its tests cannot run",
                hint="deploy again: it is built anew",
            )
        self._phase(Phase("test", self._job.test, self._job.test))
        self._shelf.set_tested(self._job.key)
        return None

    def _phase(self, phase: Phase, place: Path | None = None) -> None:
        job, tail = self._job, Tail()
        with self._timed(phase.name, phase.label):
            folders = self._npm_settings() if phase.name == "install" else ()
            command = confine.Command(
                script=phase.command,
                cwd=APP if phase.top or not job.root else f"{APP}/{job.root}",
                env=self._environment(phase),
                mounts=(Mount(place or job.work, APP, MountMode.READ_WRITE), *self._mounts(phase), *folders),
                network=phase.network,
                memory_bytes=job.memory_bytes,
                processes=job.processes,
                reserve_bytes=job.reserve_bytes,
                deadline_s=self._deadline_s,
            )  # fmt: skip

            def line(text: str) -> None:
                tail.add(text)
                self._write(text)

            try:
                ended = confine.run(command, job.folder, line)
            finally:
                remove_tree(job.folder / "npm")
        if ended.exit_code or ended.timed_out or ended.out_of_memory or ended.disk_full:
            raise explain(
                phase.name,
                phase.label,
                ended,
                tail,
                memory_bytes=job.memory_bytes,
                timeout_s=job.timeout_s,
                unseen=Unseen(job.withheld, job.of_services),
            )

    def _mounts(self, phase: Phase) -> tuple[Mount, ...]:
        job = self._job
        home = job.folder / "home"
        home.mkdir(exist_ok=True)
        if self._owner is not None:
            os.chown(home, self._owner, self._owner)
        mounts = [*job.mounts, Mount(home, "/home/gantry", MountMode.READ_WRITE)]
        if phase.name == "install":
            mounts += [Mount(folder, str(folder)) for folder in job.folders]
        return (*mounts, *self._shared_caches())

    def _shared_caches(self) -> tuple[Mount, ...]:
        if self._shared is None:
            self._shared = tuple(
                Mount(self._caches.shared(cache), cache.target, MountMode.READ_WRITE)
                for cache in self._job.plan.caches
                if cache.shared
            )
        return self._shared

    def _environment(self, phase: Phase) -> dict[str, str]:
        job = self._job
        env = {
            "LANG": "C.UTF-8",
            "HOME": "/home/gantry",
            "CI": "1",
            "NO_COLOR": "1",
            "GANTRY_PYTHON": job.python,
            **(self._secrets.install_env if phase.name == "install" else {}),
            **job.plan.build_env,
            **self._secrets.env,
            **phase.env,
            "PATH": f"{own_programs(job.root)}:{job.path}",
        }
        if phase.name == "install":
            env |= {"NPM_CONFIG_USERCONFIG": f"{_NPM_TARGET}/npmrc",
                    "NPM_CONFIG_GLOBALCONFIG": f"{_NPM_TARGET}/npmrc-global"}  # fmt: skip
        return env

    def _npm_settings(self) -> tuple[Mount, ...]:
        """The machine's npm settings, for the time of the installation, readable by its user only."""
        folder = self._job.folder / "npm"
        folder.mkdir(mode=0o700, exist_ok=True)
        texts = {"npmrc": self._secrets.npmrc, "npmrc-global": self._secrets.npmrc_global}
        for name, text in texts.items():
            replace_file(folder / name, text)
            if self._owner is not None:
                os.chown(folder / name, self._owner, self._owner)
        if self._owner is not None:
            os.chown(folder, self._owner, self._owner)
        return (Mount(folder, _NPM_TARGET),)

    def _write(self, line: str) -> None:
        self._line(self._mask(line))

    def _timed(self, name: str, label: str) -> "_Timed":
        return _Timed(self, name, label)

    def began(self, name: str, label: str) -> None:
        """Mark the log."""
        self._write(f"==> {name} ({label})")

    def took(self, name: str, seconds: float) -> None:
        """Mark the log, and keep the time for the outcome."""
        self.phases[name] = round(self.phases.get(name, 0.0) + seconds, 3)
        self._write(f"    {name}: {format_duration(seconds)}")


class _Timed:
    """Measures a phase."""

    def __init__(self, runner: Runner, name: str, label: str) -> None:
        self._runner, self._name, self._label = runner, name, label
        self._began_s = 0.0

    def __enter__(self) -> None:
        self._runner.began(self._name, self._label)
        self._began_s = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._runner.took(self._name, time.monotonic() - self._began_s)


def main(argv: list[str]) -> int:
    """Run the job in the file that `argv` names; 0 when the outcome is good."""
    _step_back()
    path = Path(argv[0])
    job = Job.read(path)
    job.outcome.unlink(missing_ok=True)
    secrets = Secrets.take(path.with_suffix(".secrets"))
    # Only free disk space may be missing here; everything else ends in an outcome.
    try:
        outcome = Runner(job, secrets, _print).run()
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        outcome = {"code": f"{job.task}.machine-failed", "message": f"the machine refused: {error.strerror}{where}",
                   "hint": "gantry doctor checks disk space, memory and permissions", "phases": {}}  # fmt: skip
        _print(f"==> failed: {outcome['message']}")
    replace_file(job.outcome, json.dumps(outcome))
    return 1 if outcome.get("code") else 0


def _check_sandbox() -> None:
    if refusal := sandbox.refusal():
        raise BuildFailed("build.no-sandbox", refusal, hint=sandbox.fix())


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _step_back() -> None:
    """What serves goes before what builds: everything below this process is nice to others."""
    with suppress(OSError):
        os.nice(_NICENESS)
    with suppress(OSError):  # longer turns, fewer of them
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    if ionice := shutil.which("ionice"):
        # Last in the queue, where the disk's scheduler knows priorities.
        command = (ionice, "--class", "2", "--classdata", "7", "--pid", str(os.getpid()))
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
