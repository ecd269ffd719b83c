"""`gantry init`: a first gantry.toml for each product of a repository, from what the repository says of itself."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import rich_click as click
from rich.text import Text

from gantry.cli.command import command, directory_argument, json_option, pass_session
from gantry.cli.folder import MANIFEST
from gantry.cli.session import Session
from gantry.config.env_example import read_env_example
from gantry.config.evidence.look import look
from gantry.config.evidence.proposal import Findings, Proposal
from gantry.config.evidence.workspace import workspace_top
from gantry.config.fields import MAX_NAME_LENGTH, project_name_fault
from gantry.config.init import render_manifest, toml_value
from gantry.config.load import ENV_EXAMPLE, examine, source_top
from gantry.config.manifest import Manifest, Services
from gantry.config.references import names_in
from gantry.engines.builders.protocol import Detection, Product
from gantry.kernel.errors import ConflictError, UserError
from gantry.source.env_files import EnvFiles

_LOCKS = ("package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb", "uv.lock")  # fmt: skip
_NO_LOCK = "there is no lock file"
_QUESTIONS = {"services.postgres": "A Postgres database", "services.redis": "A Redis cache"}


@dataclass(frozen=True, slots=True)
class _Draft:
    """A gantry.toml that is to be written.

    Attributes:
        folder: of the product; the file goes there.
        root: the folder in the workspace around it; empty when it stands alone.
        shown: the file as people see it from where they are.
    """

    name: str
    folder: Path
    root: str
    shown: str
    product: Product
    findings: Findings

    @property
    def target(self) -> Path:
        """The file."""
        return self.folder / MANIFEST

    @property
    def text(self) -> str:
        """The file's content."""
        required = _required(self.folder, self.findings)
        return render_manifest(
            self.name, self.product.detection, required, self.findings, root=self.root
        )


@command(
    "init",
    ("for the project in this folder", "gantry init"),
    ("under another name", "gantry init --name shop"),
    ("print it first, without writing", "gantry init --print"),
    ("in a script, with everything that is proposed", "gantry init --yes"),
)
@directory_argument
@click.option("--name", default="", help="Name of the project; default: the folder's.")
@click.option("--force", is_flag=True, help="Replace an existing gantry.toml.")
@click.option("--yes", is_flag=True, help="Take what is proposed without asking.")
@click.option("--print", "only_print", is_flag=True, help="Print it without writing.")
@json_option
@pass_session
def init(
    session: Session, path: Path | None, name: str, force: bool, yes: bool, only_print: bool
) -> None:
    """Write a gantry.toml for the project in PATH (default: here).

    Detects the framework and says how it knows, and proposes what the repository speaks for: services, a release
    command, workers, the build of a Procfile or a vercel.json. On a terminal it asks about each service. A repository
    with several products gets a file for each. Each variable that .env.example names without a value becomes a
    required one: a deploy is refused while one is missing.
    """
    directory = (session.cwd / (path or ".")).resolve()
    if not force and not only_print:
        _refuse_existing([directory / MANIFEST])
    products = session.platform.products(directory)
    drafts = _drafts(directory, products, name)
    if not force and not only_print:
        _refuse_existing([draft.target for draft in drafts])
    if len(drafts) > 1:
        found = ", ".join(f"{draft.product.folder} ({draft.product.called})" for draft in drafts)
        session.say(f"found {found}")
    if not yes and not only_print and session.can_ask:
        drafts = [_confirmed(session, draft) for draft in drafts]
    if only_print:
        texts = [f"# {draft.shown}\n" * (len(drafts) > 1) + draft.text for draft in drafts]
        click.echo("\n".join(texts), nl=False)
        return
    contents = [draft.text for draft in drafts]  # all of them are right before the first is written
    for draft, text in zip(drafts, contents, strict=True):
        draft.target.write_text(text, encoding="utf-8")
    _report(session, drafts)


def _refuse_existing(targets: Sequence[Path]) -> None:
    there = [target for target in targets if target.exists()]
    if there:
        raise ConflictError(
            "init.exists",
            f"there is a {MANIFEST} already"
            + (
                f" in {', '.join(str(target.parent) for target in there)}"
                if len(targets) > 1
                else ""
            ),
            hint="gantry init --print shows what would be written; --force replaces the file",
            where=str(there[0]),
        )


def _drafts(directory: Path, products: Sequence[Product], name: str) -> list[_Draft]:
    if name and len(products) > 1:
        raise UserError(
            "init.several",
            f"there are several products: {', '.join(product.folder for product in products)}",
            hint=f"gantry init {products[0].folder} --name {name}",
        )
    drafts: list[_Draft] = []
    for product in products:
        folder = directory / product.folder if product.folder else directory
        top = workspace_top(folder)
        root = folder.relative_to(top).as_posix() if top != folder else ""
        repository = top if root else directory
        own = _name_of(f"{repository.name}-{folder.name}" if repository != folder else folder.name)
        if own in {draft.name for draft in drafts}:
            own = _name_of(f"{repository.name}-{folder.relative_to(repository)}")
        detection = _with_lock_of(top, product.detection) if root else product.detection
        shown = f"{product.folder}/{MANIFEST}" if product.folder else MANIFEST
        known = replace(product, detection=detection)
        drafts.append(_Draft(name or own, folder, root, shown, known, look(folder, top)))
    return drafts


def _with_lock_of(top: Path, detection: Detection) -> Detection:
    """A workspace has one lock file, at its top."""
    if not any((top / lock).exists() for lock in _LOCKS):
        return detection
    notes = tuple(note for note in detection.notes if not note.startswith(_NO_LOCK))
    return replace(detection, notes=notes)


def _confirmed(session: Session, draft: _Draft) -> _Draft:
    """The draft with those services that people want."""
    session.say(Text.assemble((draft.shown, "bold"), f" for {draft.product.called}"))
    for item in draft.findings.proposals:
        if item.sure and item.key not in _QUESTIONS:
            session.say(f"  {_line(item)}")
            session.say(f"    because {item.reason}", style="dim")
    proposals, refused = [], False
    for item in draft.findings.proposals:
        wanted = item.key not in _QUESTIONS or not item.sure or _wants(session, item)
        refused = refused or (not wanted and item.key == "services.postgres")
        proposals.append(item if wanted else replace(item, sure=False))
    if refused:  # without a database, what needs one is an example
        proposals = [
            replace(item, sure=item.sure and not _needs_a_database(item)) for item in proposals
        ]
    return replace(draft, findings=replace(draft.findings, proposals=tuple(proposals)))


def _needs_a_database(item: Proposal) -> bool:
    if item.key == "release.command":
        return not item.declared
    return item.key.startswith("variables.plain.") and bool(names_in(str(item.value)))


def _wants(session: Session, item: Proposal) -> bool:
    session.say(f"  {item.reason}", style="dim")
    question = f"  {_QUESTIONS[item.key]} for each environment?"
    return bool(click.confirm(question, default=True, err=True))


def _name_of(text: str) -> str:
    """A name that fits into a host name, from a folder's."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    name = name[:MAX_NAME_LENGTH].strip("-") or "site"
    return name if project_name_fault(name) is None else f"{name}-site"


def _required(directory: Path, findings: Findings) -> tuple[str, ...]:
    """Names that .env.example leaves without a value, and that no service brings."""
    file = directory / ENV_EXAMPLE
    if not file.is_file():
        return ()
    found, _ = read_env_example(file.read_bytes(), ENV_EXAMPLE)
    services = {
        key.removeprefix("services."): value
        for key, value in findings.taken.items()
        if key.startswith("services.")
    }
    plain = {key.removeprefix("variables.plain.") for key in findings.taken}
    brought = {*Services.model_validate(services).variables, *plain}
    return tuple(item.name for item in found if item.required and item.name not in brought)


def _to_set(draft: _Draft, manifest: Manifest) -> tuple[str, ...]:
    """Required variables that neither a service nor a committed file brings."""
    committed = EnvFiles(source_top(draft.folder, draft.root)).sent_names(draft.root)
    brought = {*manifest.services.variables, *manifest.variables.plain, *committed}
    return tuple(name for name in manifest.variables.required if name not in brought)


def _report(session: Session, drafts: Sequence[_Draft]) -> None:
    readings = [(draft, *_read_again(draft)) for draft in drafts]
    if session.as_json:
        bodies = [_body(draft, notes, required) for draft, notes, required in readings]
        session.json(json.dumps(bodies[0] if len(bodies) == 1 else {"projects": bodies}))
        return
    for draft, notes, required in readings:
        _say(session, draft, notes, required)
    own = [draft.product.folder for draft in drafts]
    session.say("Next: " + ("gantry deploy" if own == [""] else f"gantry deploy {own[0]}"))


def _read_again(draft: _Draft) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is not honoured, and the variables to set, as a deploy will see them."""
    reading = examine(draft.folder)
    ignored = (note for note in reading.notes if "not honoured" in note or "not in gantry" in note)
    return tuple(ignored), _to_set(draft, reading.manifest)


def _body(draft: _Draft, ignored: tuple[str, ...], required: tuple[str, ...]) -> dict[str, object]:
    detection = draft.product.detection
    return {
        "path": str(draft.target),
        "name": draft.name,
        "root": draft.root,
        "framework": detection.framework,
        "reasons": detection.reasons,
        "notes": (*detection.notes, *ignored),
        "not_honoured": ignored,
        "required": required,
        "proposals": [
            {"key": item.key, "value": item.value, "reason": item.reason, "taken": item.sure}
            for item in draft.findings.proposals
        ],
    }


def _say(
    session: Session, draft: _Draft, ignored: tuple[str, ...], required: tuple[str, ...]
) -> None:
    detection = draft.product.detection
    framework = (detection.framework, "bold")
    session.say(Text.assemble(("✓ ", "bold green"), f"wrote {draft.shown} for ", framework))
    for reason in detection.reasons:
        session.say(f"  because {reason}", style="dim")
    for item in draft.findings.proposals:
        sign = ("+ ", "bold green") if item.sure else ("? ", "bold yellow")
        session.say(Text.assemble("  ", sign, _line(item)))
        example = "" if item.sure else "; an example in the file, take it in if it is right"
        session.say(f"    because {item.reason}{example}", style="dim")
    for note in (*detection.notes, *ignored):
        session.say(Text.assemble(("! ", "bold yellow"), note))
    if required:
        at = f" --project {draft.name}" if draft.product.folder else ""
        session.say(f"Set these variables first; {ENV_EXAMPLE} gives no value for them:")
        session.say(f"  gantry env set {' '.join(required)}{at}   (you are prompted for each)")


def _line(item: Proposal) -> str:
    return f"{item.key} = {toml_value(item.value)}"
