"""What makes a person look twice before a deploy: the folder beside what is live. Pure, but for the asking."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from click import confirm

from gantry.cli.folder import PRODUCTION
from gantry.cli.session import Session
from gantry.features.releases.bodies import CommitRequest, ReleaseBody
from gantry.kernel.errors import Cancelled, ConflictError


@dataclass(frozen=True, slots=True)
class Tree:
    """What is to be deployed.

    Attributes:
        framework: empty where it is not known.
        processes: kinds that its manifest declares for the environment, crons included.
        is_older: its commit comes before the one that is live.
    """

    commit: CommitRequest
    framework: str
    processes: frozenset[str]
    is_older: bool = False


@dataclass(frozen=True, slots=True)
class Concern:
    """A reason to ask.

    Attributes:
        code: stable, for programs.
        is_grave: without a terminal it is refused, unless `--yes` says that it is meant.
    """

    code: str
    sentence: str
    is_grave: bool = False


def concerns_of(
    tree: Tree, environment: str, live: ReleaseBody | None, origins: Collection[str]
) -> tuple[Concern, ...]:
    """What to ask before `tree` is deployed to `environment`.

    Parameters:
        live: what visitors get there now.
        origins: where the last deploys of the project came from.
    """
    return tuple(_concerns(tree, environment, live, origins))


def _concerns(
    tree: Tree, environment: str, live: ReleaseBody | None, origins: Collection[str]
) -> Iterable[Concern]:
    origin = tree.commit.origin
    if origin and origins and origin not in origins:
        before = ", ".join(sorted(origins))
        yield Concern(
            "deploy.other-origin",
            f"this folder is {origin}; the project was deployed from {before} before",
            is_grave=True,
        )
    if environment != PRODUCTION or live is None:
        return
    if tree.framework and live.framework and tree.framework != live.framework:
        yield Concern(
            "deploy.other-framework",
            f"this is a {tree.framework} product; what is live is made with {live.framework}",
            is_grave=True,
        )
    if gone := sorted(set(live.processes) - tree.processes):
        yield Concern("deploy.fewer-processes", f"{', '.join(gone)} would run no more")
    if tree.is_older:
        yield Concern(
            "deploy.older-commit",
            f"this commit is older than the one that is live, {live.commit.sha[:7]}",
        )
    if tree.commit.dirty:
        yield Concern("deploy.dirty", "the folder has changes that are not committed")


def ask(
    session: Session, concerns: Iterable[Concern], question: str, *, yes: bool, command: str
) -> None:
    """Ask a person; without one, refuse what is grave and name the rest.

    Parameters:
        command: that goes on without asking.

    Raises:
        ConflictError: the code of the first grave concern, where nobody can be asked.
        Cancelled: `cli.declined`.
    """
    found = tuple(concerns)
    if yes or not found:
        return
    if session.as_json or not session.err.is_terminal:
        grave = next((concern for concern in found if concern.is_grave), None)
        if grave is not None:
            raise ConflictError(grave.code, grave.sentence, hint=f"if that is meant: {command}")
        for concern in found:
            session.say(f"note: {concern.sentence}", style="dim")
        return
    for concern in found:
        session.say(f"! {concern.sentence}", style="yellow")
    if not confirm(question, default=False, err=True):
        raise Cancelled("cli.declined", "nothing was started")
