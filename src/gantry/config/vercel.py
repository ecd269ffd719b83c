"""`vercel.json`: redirects, rewrites, headers and crons are honoured; everything else is listed.

What Vercel calls a cron is a request to the production deployment; so it becomes a cron process of `production` only.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from gantry.config.documents import read_json
from gantry.config.faults import (
    MISSING_KEY,
    NOT_SUPPORTED,
    WRONG_TYPE,
    Fault,
    ManifestError,
    Problem,
    Source,
)
from gantry.config.fields import TOML, Section, kind_of
from gantry.config.manifest import Cron, HeaderRule, Manifest, Redirect, Rewrite, merge
from gantry.config.routes import MAX_ROUTES
from gantry.config.rules import schedule_fault
from gantry.config.sections import Environment
from gantry.config.typing_faults import problems_of

_CONDITIONS = ("has", "missing")
_INSTEAD = {
    "buildCommand": "set [build] command",
    "installCommand": "set [build] install",
    "outputDirectory": "set [build] output",
    "framework": "set [build] framework",
    "cleanUrls": "pages keep their own paths; a redirect in [routes] does the same for one of them",
    "trailingSlash": "the framework decides it (trailingSlash in next.config)",
    "functions": "every request is answered by the web process; set [processes.web] memory",
    "regions": "the machine that Gantry runs on is the region",
    "env": "set [variables] plain, or gantry env set",
    "build": "set [variables] plain and [build] env",
    "routes": "use redirects, rewrites and headers",
    "images": "the framework optimises images itself",
    "git": "a deploy begins with gantry deploy or a branch of an environment",
}
_SILENT = frozenset({"$schema", "version", "redirects", "rewrites", "headers", "crons"})
_MAX_CRON_NAME = 30

Entry = TypeVar("Entry", bound=Section)


@dataclass(frozen=True, slots=True)
class Vercel:
    """What is honoured of a vercel.json, and sentences about the rest."""

    redirects: tuple[Redirect, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    headers: tuple[HeaderRule, ...] = ()
    crons: Mapping[str, Cron] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_vercel(
    content: bytes, file: str, settled: Collection[str] = ()
) -> tuple[Vercel, tuple[Fault, ...]]:
    """What `content` says, and what is wrong with it.

    Parameters:
        settled: keys that gantry.toml has an answer to, of which nothing needs to be said.
    """
    try:
        data, source = read_json(content, file)
    except ManifestError as error:
        return Vercel(), error.faults
    if not isinstance(data, dict):
        fault = Problem((), f"must be an object, not {kind_of(data)}", code=WRONG_TYPE)
        return Vercel(), (source.fault(fault),)
    reader = _Reader(data, source)
    found = Vercel(
        redirects=reader.entries("redirects", Redirect),
        rewrites=reader.entries("rewrites", Rewrite),
        headers=reader.entries("headers", HeaderRule),
        crons=reader.crons(),
    )
    reader.note_the_rest(settled)
    return (
        Vercel(found.redirects, found.rewrites, found.headers, found.crons, tuple(reader.notes)),
        tuple(source.fault(problem) for problem in reader.problems),
    )


def add_vercel(manifest: Manifest, vercel: Vercel) -> Manifest:
    """`manifest` with the rules and crons of `vercel` behind its own; with equal sources the manifest's stay."""
    own = manifest.routes
    routes = own.model_copy(
        update={
            "redirects": _added(
                own.redirects, vercel.redirects, lambda rule: (rule.host, rule.source)
            ),
            "rewrites": _added(
                own.rewrites, vercel.rewrites, lambda rule: (rule.host, rule.source)
            ),
            "headers": _added(own.headers, vercel.headers, lambda rule: rule.source),
        }
    )
    update: dict[str, Any] = {"routes": routes}
    crons = {name: cron for name, cron in vercel.crons.items() if name not in manifest.crons}
    if crons:
        production = manifest.environments.get("production", Environment())
        imported = {name: cron.model_dump(by_alias=True) for name, cron in crons.items()}
        processes = merge({"cron": imported}, production.processes)
        update["environments"] = {
            **manifest.environments,
            "production": production.model_copy(update={"processes": processes}),
        }
    return manifest.model_copy(update=update)


def _added(
    own: tuple[Entry, ...], more: tuple[Entry, ...], key: Callable[[Entry], object]
) -> tuple[Entry, ...]:
    taken = {key(rule) for rule in own}
    return (*own, *(rule for rule in more if key(rule) not in taken))


class _Reader:
    """Reads one document, and keeps what is wrong and what is left out."""

    def __init__(self, data: Mapping[str, Any], source: Source) -> None:
        self._data = data
        self._source = source
        self.problems: list[Problem] = []
        self.notes: list[str] = []

    def entries(self, key: str, model: type[Entry]) -> tuple[Entry, ...]:
        """The rules below `key` that the edge can carry out."""
        found = []
        for index, item in enumerate(self._list(key)):
            conditions = [
                word
                for word in _CONDITIONS
                if isinstance(item, dict) and word in item and not _says(model, word)
            ]
            if conditions:
                self._note((key, index), f"not honoured: it depends on {' and '.join(conditions)}")
            elif (entry := self._entry((key, index), item, model)) is not None:
                found.append(entry)
        return tuple(found)

    def crons(self) -> dict[str, Cron]:
        """Scheduled requests, named after their paths."""
        found: dict[str, Cron] = {}
        for index, item in enumerate(self._list("crons")):
            cron = self._entry(("crons", index), item, Cron)
            if cron is None or self._lacks(("crons", index), cron):
                continue
            if fault := schedule_fault(cron.schedule):
                self.problems.append(
                    Problem(("crons", index, "schedule"), f"is {cron.schedule!r}, {fault}")
                )
                continue
            found[_cron_name(cron.path or "", found)] = cron
        return found

    def note_the_rest(self, settled: Collection[str]) -> None:
        """One sentence for each key that nothing is done with."""
        for key, value in self._data.items():
            if (
                key in _SILENT
                or key in settled
                or value is None
                or (value is False and key != "trailingSlash")
            ):
                continue
            instead = _INSTEAD.get(key)
            self._note((key,), f"not honoured; {instead}" if instead else "not honoured")

    def _list(self, key: str) -> list[Any]:
        value = self._data.get(key, [])
        if isinstance(value, list) and len(value) <= MAX_ROUTES:
            return value
        if isinstance(value, list):
            self.problems.append(Problem((key,), f"has more than {MAX_ROUTES} items"))
            return []
        self.problems.append(
            Problem((key,), f"must be a list, not {kind_of(value)}", code=WRONG_TYPE)
        )
        return []

    def _entry(self, path: tuple[str | int, ...], item: object, model: type[Entry]) -> Entry | None:
        try:
            return model.model_validate(item, by_alias=True, by_name=False, context=TOML)
        except ValidationError as error:
            for problem in problems_of(error, model):
                where = (*path, *problem.path)
                if problem.code == NOT_SUPPORTED:
                    self._note(where, f"not honoured: {problem.message}")
                else:
                    self.problems.append(
                        Problem(where, problem.message, problem.suggestion, problem.code)
                    )
            return None

    def _lacks(self, path: tuple[str | int, ...], cron: Cron) -> bool:
        missing = [key for key in ("path", "schedule") if not getattr(cron, key)]
        self.problems += [Problem((*path, key), "is missing", code=MISSING_KEY) for key in missing]
        return bool(missing)

    def _note(self, path: tuple[str | int, ...], message: str) -> None:
        self.notes.append(str(self._source.fault(Problem(path, message))))


def _says(model: type[Section], word: str) -> bool:
    """Rules that lead somewhere may depend on the name that the visitor asked for; they look at it themselves."""
    return word == "has" and model in (Redirect, Rewrite)


def _cron_name(path: str, taken: Iterable[str]) -> str:
    """`/api/cron/expire?all=1` -> `api-cron-expire-all-1`."""
    name = re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-")[:_MAX_CRON_NAME].strip("-") or "root"
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name[: _MAX_CRON_NAME - 4].strip('-')}-{number}"
    return unique
