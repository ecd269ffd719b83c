"""What has to be right before another version may take over. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from gantry.cli.platform import Finding
from gantry.kernel.units import format_size

_SPARE_BYTES = 500_000_000
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Program:
    """Gantry as it is installed in a folder.

    Attributes:
        folder: the virtual environment.
        migrations: of the control plane's database, which this version knows.
    """

    folder: Path
    version: str
    migrations: frozenset[str]


@dataclass(frozen=True, slots=True)
class Observed:
    """The machine, and the platform on it.

    Attributes:
        size_bytes: of the program that is there.
        free_bytes: where the next one is to lie.
        writable: whether this user may put it there.
        deploys: those that have not ended, in words; `None`: the control plane runs, and does not say.
        runs: a control plane runs.
        other_user: who runs the platform, where this user can neither end nor start it; else empty.
        own_database: the control plane's records lie in the embedded Postgres.
    """

    size_bytes: int
    free_bytes: int
    writable: bool
    deploys: tuple[str, ...] | None
    runs: bool
    other_user: str
    own_database: bool


def check_before(present: Program, observed: Observed) -> tuple[Finding, ...]:
    """What is to be known before anything is installed."""
    return (
        _folder(present, observed),
        _disk(observed),
        _control(observed),
        *(_deploys(observed) if observed.runs else ()),
    )


def check_next(
    present: Program, successor: Program, observed: Observed, *, again: bool
) -> tuple[Finding, ...]:
    """What is to be known of the version that lies beside this one now.

    Parameters:
        again: the same version is wanted once more.
    """
    return (
        _version(present, successor, again=again),
        *_migrations(present, successor, observed),
        *(_deploys(observed) if observed.runs else ()),
    )


def _folder(present: Program, observed: Observed) -> Finding:
    if observed.writable:
        return Finding("program", "ok", f"{present.version} in {present.folder}")
    return Finding(
        "program",
        "bad",
        f"this user may not replace {present.folder}",
        "sudo gantry upgrade",
    )


def _disk(observed: Observed) -> Finding:
    needed_bytes = observed.size_bytes + _SPARE_BYTES
    detail = f"{format_size(observed.free_bytes)} free, {format_size(needed_bytes)} needed"
    if observed.free_bytes >= needed_bytes:
        return Finding("disk", "ok", detail)
    return Finding("disk", "bad", detail, "two versions lie beside each other: make room first")


def _control(observed: Observed) -> Finding:
    if observed.other_user:
        return Finding(
            "control plane",
            "bad",
            f"the user {observed.other_user} runs it",
            "sudo gantry upgrade",
        )
    if not observed.runs:
        return Finding("control plane", "ok", "does not run: only the program is replaced")
    return Finding("control plane", "ok", "runs; it is replaced, and sites go on meanwhile")


def _deploys(observed: Observed) -> Iterator[Finding]:
    if observed.deploys is None:
        yield Finding(
            "deploys",
            "warn",
            "the control plane does not say whether one runs",
            "one that runs goes on after the upgrade",
        )
    elif observed.deploys:
        listed = ", ".join(observed.deploys[:_SHOWN])
        more = len(observed.deploys) - _SHOWN
        rest = f" and {more} more" if more > 0 else ""
        yield Finding(
            "deploys",
            "bad",
            f"not yet at their end: {listed}{rest}",
            "wait for them; `gantry deploys list` shows them and `gantry cancel DEPLOY` ends one",
        )
    else:
        yield Finding("deploys", "ok", "none is under way")


def _version(present: Program, successor: Program, *, again: bool) -> Finding:
    change = f"{present.version} → {successor.version}"
    before, after = Version(present.version), Version(successor.version)
    if after < before:
        return Finding(
            "version",
            "bad",
            f"{change} goes back, and data that the newer version wrote does not",
            "restore an export of before: docs/moving.md",
        )
    if after == before and not again:
        return Finding(
            "version",
            "bad",
            f"{successor.version} is installed already",
            "gantry upgrade --again   (if it differs all the same)",
        )
    return Finding("version", "ok", change)


def _migrations(present: Program, successor: Program, observed: Observed) -> Iterator[Finding]:
    missing = present.migrations - successor.migrations
    if missing:
        yield Finding(
            "database",
            "bad",
            f"that version does not know {min(missing)}, which the control plane's database has",
            "it was made from something older: take a later one",
        )
        return
    new = len(successor.migrations - present.migrations)
    if not new:
        yield Finding("database", "ok", "stays as it is")
    elif observed.own_database:
        yield Finding("database", "ok", f"{_migrations_of(new)}; a copy is kept until it runs")
    else:
        yield Finding(
            "database",
            "warn",
            f"{_migrations_of(new)}, in a Postgres of your own: nothing here takes them back",
            "pg_dump it before",
        )


def _migrations_of(number: int) -> str:
    return "1 migration" if number == 1 else f"{number} migrations"
