"""Everything that a repository says of itself, put together; and what of it a gantry.toml leaves out."""

from pathlib import Path
from typing import Any

from gantry.config.check import check
from gantry.config.evidence.background import find_workers
from gantry.config.evidence.files import Files
from gantry.config.evidence.migrations import find_migrations
from gantry.config.evidence.packages import read_packages
from gantry.config.evidence.platforms import find_declared
from gantry.config.evidence.proposal import Findings, Proposal, joined
from gantry.config.evidence.service_names import wanted_by
from gantry.config.evidence.services import find_services, with_names
from gantry.config.manifest import Manifest
from gantry.kernel.units import counted

_NEXT_CONFIGS = ("next.config.ts", "next.config.mjs", "next.config.js", "next.config.mts")


def look(folder: Path, top: Path) -> Findings:
    """What the product in `folder` says of itself.

    Parameters:
        top: of the workspace around it; else `folder`.
    """
    files = Files(folder, top)
    packages = read_packages(files)
    declared = find_declared(files, packages)
    wanted = wanted_by(files, packages)
    found = joined((declared, find_services(files, packages, wanted)))
    services = with_names(found, packages, wanted)
    migrations = find_migrations(
        files, packages, has_database="services.postgres" in services.taken
    )
    return _possible(joined((services, migrations, find_workers(files, packages))))


def not_honoured(folder: Path, top: Path, manifest: Manifest) -> tuple[str, ...]:
    """A sentence for each thing that another platform's file says and that `manifest` does not."""
    files = Files(folder, top)
    declared = _possible(find_declared(files, read_packages(files)))
    missing = [
        f"{item.reason.removesuffix(' says so')}: not in gantry.toml; set {_line(item)}"
        for item in declared.proposals
        # Of vercel.json it is said where its other keys are read.
        if not item.reason.startswith("vercel.json:") and not _has(manifest, item)
    ]
    return (*declared.notes, *missing)


def not_shared(folder: Path, top: Path, manifest: Manifest) -> tuple[str, ...]:
    """A sentence where instances of Next.js would show different pages, because each has a cache of its own."""
    files = Files(folder, top)
    if not read_packages(files).first("next"):
        return ()
    if any("cacheHandler" in files.text(name) for name in _NEXT_CONFIGS):
        return ()  # the product brings one of its own
    notes = []
    for name in sorted({"production", *manifest.environments}):
        found = manifest.for_environment(name)
        if found.web is not None and found.web.instances > 1 and not found.services.redis:
            notes.append(
                f"{name} has {counted(found.web.instances, 'instance')}, and without Redis each keeps a cache of its own: what "
                "Next.js makes anew (revalidatePath, revalidate) is seen at one of them; set [services] redis = true"
            )
    return tuple(notes)


def _possible(findings: Findings) -> Findings:
    """Without what gantry.toml would refuse: other platforms take other values."""
    kept, notes = [], list(findings.notes)
    for item in findings.proposals:
        # A plain value may refer to what a service sets.
        data: dict[str, Any] = {"project": {"name": "a"}, "services": {"postgres": True}}
        table = data
        *tables, key = item.key.split(".")
        for name in tables:
            table = table.setdefault(name, {})
        table[key] = item.value
        _, problems = check(data)
        if not problems:
            kept.append(item)
        elif item.declared:
            where = item.reason.removesuffix(" says so")
            notes.append(f"{where}: not honoured; {item.key} {problems[0].message}")
    return Findings(tuple(kept), tuple(notes))


def _line(item: Proposal) -> str:
    table, _, key = item.key.rpartition(".")
    value = "true" if item.value is True else f"{item.value!r}"
    return f"[{table}] {key} = {value}"


def _has(manifest: Manifest, item: Proposal) -> bool:
    """Whether the manifest says something about the key, whatever it says."""
    production = manifest.for_environment("production")
    table, _, name = item.key.rpartition(".")
    if table == "services":
        return bool(getattr(production.services, name))
    if table == "build":
        return getattr(production.build, name) is not None
    if table == "release":
        return production.release.command is not None
    if table == "variables.plain":
        return name in production.variables.plain or name in production.variables.optional
    if item.key == "processes.web.health.path":
        return production.web is None or production.web.health.path != "/"
    if table == "processes.web":
        return production.web is None or production.web.command is not None
    commands = {worker.command for worker in production.processes.worker.values()}
    crons = {cron.command for cron in production.crons.values()}
    return table.rpartition(".")[2] in production.processes.worker or item.value in commands | crons
