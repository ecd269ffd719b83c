"""From a finished build to the artifact's folder."""

import os
import shlex
import shutil
import stat
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from gantry.engines.builders.confine import owner
from gantry.engines.builders.failures import BuildFailed
from gantry.engines.builders.next_address import UNKNOWN, show_visitors_address
from gantry.engines.builders.next_cache import NOT_SHARED, share_cache
from gantry.engines.builders.plan import BuildPlan
from gantry.engines.builders.publish import publish
from gantry.engines.builders.workspace import inside
from gantry.kernel.commands import argv_of
from gantry.kernel.trees import copy_tree, entries, give, link_tree, remove_tree
from gantry.kernel.units import format_size

_NEVER = (".git", ".turbo")
_PACKAGES = frozenset({"node_modules", ".venv"})
_MAX_NAMED = 6
_FOLDER_MODE = 0o755


def collect(plan: BuildPlan, work: Path, root: str, target: Path, largest_bytes: int) -> BuildPlan:
    """Fill `target`; returns the plan with what was found out on the way: how it starts, where its assets are.

    Raises:
        BuildFailed: `build.no-output`, `build.no-start`, `build.output-too-large`.
    """
    match plan.collect.method:
        case "next":
            return _collect_next(plan, work, root, target, largest_bytes)
        case "folder":
            _collect_folder(plan, work / root, target, largest_bytes)
            return _find_start(plan, target)
        case "tree":
            collect_tree(work, target, largest_bytes)
            return _find_start(plan, target / plan.folder)


def collect_workspace(
    plan: BuildPlan, work: Path, root: str, target: Path, largest_bytes: int
) -> None:
    """What commands of the manifest run in: everything but a copy of what serves already.

    Raises:
        BuildFailed: `build.output-too-large`.
    """
    served = plan.collect.method == "next"
    standalone = (work / root / plan.collect.sources[0] / "standalone",) if served else ()
    collect_tree(work, target, largest_bytes, without=standalone)


def collect_tree(
    work: Path, target: Path, largest_bytes: int, *, without: Collection[Path] = ()
) -> None:
    """Everything as it was built, but histories and caches; packages of the store are linked.

    Parameters:
        without: further folders that are left out.

    Raises:
        BuildFailed: `build.output-too-large`.
    """
    _check_size(work, largest_bytes)
    others = {str(folder) for folder in without}

    def left_out(folder: str) -> bool:
        _, *parents, name = folder.removeprefix(str(work)).split("/")
        if not _PACKAGES.isdisjoint(parents):
            return False
        return name in _NEVER or (name == "cache" and parents[-1:] == [".next"]) or folder in others

    link_tree(work, target, owner=None, writer=owner(), left_out=left_out)


def _find_start(plan: BuildPlan, product: Path) -> BuildPlan:
    """The plan with the first way to start it whose file is there."""
    if plan.web or not plan.starts:
        return plan
    for start in plan.starts:
        if not start.file:
            return replace(plan, web=argv_of(start.command))
        for place in sorted(product.glob(start.file)):
            if place.is_file() and inside(product, str(place.relative_to(product))):
                command = start.command.format(shlex.quote(str(place.relative_to(product))))
                return replace(plan, web=argv_of(command))
    files = ", ".join([start.file for start in plan.starts][:_MAX_NAMED])
    raise BuildFailed(
        "build.no-start",
        f"the build left nothing to start: looked for {files} and others",
        hint='[processes.web] command = "..." in gantry.toml says what to start',
    )


def _collect_next(
    plan: BuildPlan, work: Path, root: str, target: Path, largest_bytes: int
) -> BuildPlan:
    product = work / root
    folder = plan.collect.sources[0]
    standalone = _existing(product, f"{folder}/standalone")
    server = _find_server(standalone, root) if standalone is not None else None
    if standalone is None or server is None:
        raise BuildFailed(
            "build.no-output",
            f"the build wrote no {folder}/standalone/server.js",
            hint='set output: "standalone" in next.config, and leave distDir as it is',
        )
    _check_size(standalone, largest_bytes)
    copy_tree(standalone, target)
    notes = plan.notes if show_visitors_address(target) else (*plan.notes, UNKNOWN)
    notes = notes if share_cache(target / server) else (*notes, NOT_SHARED)
    home = target / server.parent
    for source, place in (("public", "public"), (f"{folder}/static", f"{folder}/static")):
        found = _existing(product, source)
        if found is not None:
            _check_size(found, largest_bytes)
            copy_tree(found, home / place)
    _drop_links(home / folder / "static")
    assets = {prefix: (server.parent / name).as_posix() for prefix, name in plan.assets.items()}
    home_folder = "" if server.parent == Path() else server.parent.as_posix()
    return replace(plan, web=("node", server.name), folder=home_folder, assets=assets, notes=notes)


def _find_server(standalone: Path, root: str) -> Path | None:
    """`server.js`, relative: Next.js repeats the product's place below the folder that it took for the top."""
    for place in (Path(root) / "server.js", Path("server.js")):
        if (standalone / place).is_file():
            return place
    found = [path for path in standalone.rglob("server.js") if "node_modules" not in path.parts]
    return min(found, key=lambda path: len(path.parts)).relative_to(standalone) if found else None


def _collect_folder(plan: BuildPlan, product: Path, target: Path, largest_bytes: int) -> None:
    for source in _sources(plan, product):
        _check_size(source, largest_bytes)
        if plan.collect.published:
            publish(source, target, whole=source == product)
        else:
            copy_tree(source, target)
            if source == product:
                for left_out in (*_PACKAGES, *_NEVER):
                    remove_tree(target / left_out)
        for folder in plan.assets.values():
            _drop_links(target / folder)
        return
    names = ", ".join(name or "the folder itself" for name in plan.collect.sources)
    needs = f" with an {plan.collect.needs}" if plan.collect.needs else ""
    raise BuildFailed(
        "build.no-output",
        f"the build left no output: looked for {names}{needs}",
        hint='set [build] output = "..." in gantry.toml to the folder that the build writes',
    )


def _sources(plan: BuildPlan, product: Path) -> Iterator[Path]:
    """Folders that have what is needed, in the order of the plan."""
    for name in plan.collect.sources:
        places = sorted(product.glob(name)) if "*" in name else [product / name]
        for place in places:
            source = _existing(product, str(place.relative_to(product)) if place != product else "")
            if source is not None and (
                not plan.collect.needs or (source / plan.collect.needs).is_file()
            ):
                yield source


def _existing(product: Path, name: str) -> Path | None:
    place = inside(product, name)
    return place if place is not None and place.is_dir() else None


def _check_size(folder: Path, largest_bytes: int) -> None:
    size_bytes = sum(entry.size_bytes for entry in entries(folder))
    if size_bytes > largest_bytes:
        raise BuildFailed(
            "build.output-too-large",
            f"the output has {format_size(size_bytes)}, more than the {format_size(largest_bytes)} that are kept",
            hint='leave out what is not served: [build] output = "..." in gantry.toml',
        )


def _drop_links(folder: Path) -> None:
    """Assets are also read outside of the sandbox, where a link could lead anywhere."""
    for path, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if Path(path, name).is_symlink():
                Path(path, name).unlink()


def set_modes(target: Path, user: int | None) -> None:
    """Plain modes and one owner. Files with several names belong to the package store and stay read-only.

    An instance may write below `/app`, into an overlay that is forgotten: so its user must own the folders.
    """
    for folder, _, files in os.walk(target):
        Path(folder).chmod(_FOLDER_MODE)
        give(Path(folder), user)
        for name in files:
            path = Path(folder, name)
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                path.chmod(0o755 if status.st_mode & stat.S_IXUSR else 0o644)
                give(path, user)


def free_bytes(folder: Path) -> int:
    """Free space where `folder` is, or will be."""
    place = folder
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free
