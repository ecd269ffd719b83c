"""Reads a project's files: `gantry.toml`, and beside the product `vercel.json` and `.env.example`."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gantry.config.check import canonical_path, canonical_table, check
from gantry.config.documents import MAX_BYTES, read_toml
from gantry.config.env_example import add_requirements, read_env_example
from gantry.config.evidence.look import not_honoured, not_shared
from gantry.config.faults import Fault, ManifestError, Source
from gantry.config.manifest import Build, Manifest
from gantry.config.references import OWN, bare_names, names_in
from gantry.config.vercel import Vercel, add_vercel, read_vercel
from gantry.kernel.errors import NotFoundError, UserError

__all__ = [
    "ENV_EXAMPLE",
    "MANIFEST",
    "VERCEL",
    "ManifestError",
    "Reading",
    "examine",
    "load_manifest",
    "read_manifest",
    "read_project",
    "source_top",
]

MANIFEST = "gantry.toml"
VERCEL = "vercel.json"
ENV_EXAMPLE = ".env.example"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a project's files say.

    Attributes:
        notes: sentences for people: what is not honoured, and why a variable is required.
    """

    manifest: Manifest
    notes: tuple[str, ...] = ()


def load_manifest(
    text: str | bytes,
    where: str = MANIFEST,
    vercel: bytes | None = None,
    env_example: bytes | None = None,
) -> Manifest:
    """The manifest in `text`, completed by what the other two files say; it wins over both.

    Parameters:
        text: content of gantry.toml.
        where: how reports call it.
        vercel: content of vercel.json, `None` when there is none.
        env_example: content of .env.example, `None` when there is none.

    Raises:
        ManifestError: everything that is wrong with any of the three, in one report.
    """
    return read_manifest(text, where, vercel, env_example).manifest


def read_manifest(
    text: str | bytes,
    where: str = MANIFEST,
    vercel: bytes | None = None,
    env_example: bytes | None = None,
) -> Reading:
    """Like `load_manifest`, with notes."""
    manifest, faults = _own(text, where)
    settled = _settled(manifest.build) if manifest is not None else ()
    imported, vercel_faults = (
        read_vercel(vercel, VERCEL, settled) if vercel is not None else (Vercel(), ())
    )
    wanted, env_faults = (
        read_env_example(env_example, ENV_EXAMPLE) if env_example is not None else ((), ())
    )
    everything = (*faults, *vercel_faults, *env_faults)
    if manifest is None or everything:
        raise ManifestError(everything)
    if imported.crons and manifest.for_environment("production").web is None:
        note = f"{VERCEL}: crons: not honoured: there is no web process that could answer them"
        imported = replace(imported, crons={}, notes=(*imported.notes, note))
    completed = add_requirements(add_vercel(manifest, imported), wanted)
    reasons = tuple(item.sentence(ENV_EXAMPLE) for item in wanted if item.required)
    notes = (*_notes(manifest, where), *_unused_hosts(completed, where), *imported.notes)
    return Reading(completed, (*notes, *reasons))


def read_project(folder: Path) -> Manifest:
    """The manifest of the project in `folder`.

    Raises:
        NotFoundError: `source.no-manifest`.
        ManifestError: everything that is wrong with the project's files.
    """
    return examine(folder).manifest


def examine(folder: Path) -> Reading:
    """Like `read_project`, with notes."""
    text = _content(folder / MANIFEST)
    if text is None:
        raise NotFoundError(
            "source.no-manifest",
            f"there is no {MANIFEST} in {folder}",
            hint=f"gantry init {folder}",
            where=str(folder),
        )
    manifest, _ = _own(text, MANIFEST)
    root = manifest.project.root if manifest is not None else ""
    product = source_top(folder, root) / root
    reading = read_manifest(
        text, MANIFEST, _content(product / VERCEL), _content(product / ENV_EXAMPLE)
    )
    top = source_top(folder, root)
    notes = not_honoured(product, top, reading.manifest)
    alone = not_shared(product, top, reading.manifest)
    return replace(reading, notes=(*reading.notes, *notes, *alone))


def _settled(build: Build) -> tuple[str, ...]:
    """Keys of vercel.json that gantry.toml has an answer to."""
    ours = {
        "buildCommand": build.command,
        "installCommand": build.install,
        "outputDirectory": build.output,
        "framework": build.framework,
    }
    return tuple(key for key, value in ours.items() if value is not None)


def source_top(folder: Path, root: str) -> Path:
    """The folder that is deployed, of a project whose gantry.toml lies in `folder` and names `root`.

    Usually `folder` itself. In a workspace each product may have a gantry.toml of its own, in its own folder: that is
    what `root` ends with, and then the workspace around it is deployed, since its packages are installed from there.
    """
    depth = len(Path(root).parts)
    if not depth or (folder / root).is_dir() or folder.parts[-depth:] != Path(root).parts:
        return folder
    return folder.parents[depth - 1]


def _own(text: str | bytes, file: str) -> tuple[Manifest | None, tuple[Fault, ...]]:
    """What gantry.toml alone says. A document that cannot be read at all is one fault more."""
    try:
        data, source = read_toml(text, file)
    except ManifestError as error:
        return None, error.faults
    table, twice = canonical_table(data)
    lines = {canonical_path(path): line for path, line in source.lines.items()}
    placed = Source(file, lines)
    manifest, problems = check(table)
    faults = tuple(placed.fault(problem) for problem in (*twice, *problems))
    return (None if faults else manifest), faults


def _notes(manifest: Manifest, file: str) -> tuple[str, ...]:
    markers = ("SECRET", "PASSWORD", "TOKEN", "PRIVATE_KEY", "API_KEY")
    secrets = (
        f"{file}: variables.plain.{name}: looks like a secret, and anyone who reads the repository reads it; "
        f"gantry env set {name} keeps it"
        for name, value in manifest.variables.plain.items()
        if any(marker in name.upper() for marker in markers) and not names_in(value)
    )
    known = (*manifest.services.variables, *OWN)
    bare = (
        f"{file}: variables.plain.{name}: ${other} stays as it is written; ${{{other}}} stands for its value"
        for name, value in manifest.variables.plain.items()
        for other in bare_names(value, known)
    )
    return (*secrets, *bare)


def _unused_hosts(manifest: Manifest, file: str) -> Iterator[str]:
    domains = {name for found in manifest.environments.values() for name in found.domains}
    routes = manifest.routes
    hosts = [rule.host for rule in routes.redirects] + [rule.host for rule in routes.rewrites]
    for host in dict.fromkeys(hosts):
        if host is not None and host not in domains:
            yield (
                f"{file}: routes: a rule is for {host}, which is none of the domains; visitors of it come here once "
                "it is among the domains of an environment"
            )


def _content(path: Path) -> bytes | None:
    """The file's content, a little more than allowed at most; `None` when there is none."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(
            "source.unreadable", f"{path} cannot be read: {error.strerror}", where=str(path)
        ) from error
