"""Combinations that cannot work, found in a manifest whose values are all well-formed by themselves. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from gantry.config.faults import BAD_VALUE, IMPOSSIBLE, MISSING_KEY, Problem, listed, nearest
from gantry.config.fields import duration_text, label_fault, shown
from gantry.config.manifest import ENVIRONMENTS, Manifest
from gantry.config.processes import Cron, LongRunning
from gantry.config.references import OWN, names_in, reference_fault
from gantry.config.routes import MAX_HEADERS
from gantry.config.sections import POSTGRES_VARIABLES, REDIS_VARIABLES
from gantry.config.toml_lines import KeyPath

WEB_ONLY = {
    ("health",): "only the web process is asked for its health",
    ("smoke",): "only the web process answers paths",
    ("drain", "requests"): "a worker has no visitors; it knows only drain.terminate",
    ("drain", "streams"): "a worker has no visitors; it knows only drain.terminate",
}
"""Keys of a process that mean nothing for a worker, and why."""

_SERVICES = {"postgres": POSTGRES_VARIABLES, "redis": REDIS_VARIABLES}
_MAX_PROCESS_NAME = 30
_CRON_FIELDS = 5
_NAMES = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat"
_PLAIN_CRON = re.compile(rf"(?:[0-9*,/\s-]|{_NAMES})+", re.IGNORECASE)
_CRON_WORDS = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")


def impossible(manifest: Manifest) -> Iterator[Problem]:
    """What cannot work in `manifest`, resolved or not."""
    yield from _web(manifest)
    for name, worker in manifest.processes.worker.items():
        yield from _worker(("processes", "worker", name), name, worker)
    for name, cron in manifest.processes.cron.items():
        yield from _cron(("processes", "cron", name), name, cron, manifest)
    yield from _routes(manifest)
    yield from _aliases(manifest)
    yield from _references(manifest)
    yield from _twice(("variables", "required"), manifest.variables.required)
    both = sorted(set(manifest.variables.required) & set(manifest.variables.optional))
    for name in both:
        yield Problem(("variables", "optional"), f"{name} cannot be required and optional")
    yield from _rollout(manifest)
    if manifest.environment == "production":
        yield from _production(manifest)


def impossible_between(manifest: Manifest) -> Iterator[Problem]:
    """What cannot work between environments."""
    domains: dict[str, str] = {}
    branches: dict[str, str] = {}
    for name, environment in manifest.environments.items():
        where: KeyPath = ("environments", name)
        if name not in ENVIRONMENTS:
            guess = nearest(name, ENVIRONMENTS)
            yield Problem(where, f"unknown environment; there are {listed(ENVIRONMENTS)}", guess)
        for index, domain in enumerate(environment.domains):
            if domain in domains:
                yield Problem(
                    (*where, "domains", index),
                    f"{domain} belongs to {domains[domain]} already; a domain leads to one environment",
                )
            domains.setdefault(domain, name)
        if name == "preview" and environment.domains:
            yield Problem(
                (*where, "domains"),
                "previews are one for each branch and cannot share a domain",
            )
        if environment.branch is not None and environment.branch in branches:
            yield Problem(
                (*where, "branch"),
                f"{environment.branch} belongs to {branches[environment.branch]} already",
            )
        if environment.branch is not None:
            branches.setdefault(environment.branch, name)


def _web(manifest: Manifest) -> Iterator[Problem]:
    web, build = manifest.web, manifest.build
    if web is None:
        return
    if build.framework == "command" and web.command is None:
        yield Problem(
            ("build", "framework"),
            "'command' starts nothing by itself; set command in [processes.web], or web = false in [processes]",
        )
    if web.health.timeout_s > web.health.start_deadline_s:
        yield Problem(
            ("processes", "web", "health", "timeout"),
            f"one answer may take {duration_text(web.health.timeout_s)}, which is longer than the "
            f"whole start_deadline of {duration_text(web.health.start_deadline_s)}",
        )
    if web.drain.streams_s < web.drain.requests_s:
        yield Problem(
            ("processes", "web", "drain", "streams"),
            f"is {duration_text(web.drain.streams_s)}, shorter than requests = "
            f"{duration_text(web.drain.requests_s)}; a stream is a request that lasts longer",
        )


def _aliases(manifest: Manifest) -> Iterator[Problem]:
    postgres, redis = manifest.services.postgres, manifest.services.redis
    if postgres is None or redis is None:
        return
    for index, name in enumerate(redis.aliases):
        if name in postgres.aliases:
            yield Problem(("services", "redis", "as", index), f"{name} belongs to postgres already")


def _references(manifest: Manifest) -> Iterator[Problem]:
    """Plain values that refer to what no process of this environment knows."""
    known = (*manifest.services.variables, *OWN)
    for name, text in manifest.variables.plain.items():
        where: KeyPath = ("variables", "plain", name)
        if (fault := reference_fault(text)) is not None:
            yield Problem(where, fault)
            continue
        # A service may be one of some environments only: each of them is looked at by itself.
        unknown = [other for other in names_in(text) if other not in known]
        if unknown and manifest.environment:
            other = unknown[0]
            service = next((s for s, names in _SERVICES.items() if other in names), None)
            reason = (
                f"needs {service} = true in [services]"
                if service
                else f"is none of {', '.join(sorted(known))}"
            )
            yield Problem(where, f"refers to ${{{other}}}, which {reason}", nearest(other, known))
        if unknown or not names_in(text):
            continue
        if name in manifest.build.env:
            yield Problem(
                where,
                f"refers to ${{{names_in(text)[0]}}} and is in build.env; no service and no address is there while "
                "the product is built",
            )


def _rollout(manifest: Manifest) -> Iterator[Problem]:
    deploy = manifest.deploy
    if deploy.strategy != "canary":
        return  # the stages of one environment may be written for all
    if not deploy.steps and not deploy.mirror_s:
        yield Problem(("deploy", "steps"), "a canary needs at least one stage, or a mirror")
    for number, (before, after) in enumerate(pairwise(deploy.steps), start=1):
        if after.percent <= before.percent:
            yield Problem(
                ("deploy", "steps", number, "percent"),
                f"is {after.percent} after {before.percent}; the shares must rise",
            )
    if manifest.web is None:
        yield Problem(
            ("deploy", "strategy"), "a canary needs a web process; its visitors are divided"
        )


def _production(manifest: Manifest) -> Iterator[Problem]:
    web = manifest.web
    if web is not None and web.instances == 0:
        yield Problem(
            ("processes", "web", "instances"),
            "0 in production would take the site away at the next deploy; use web = false in [processes] "
            "for a project without one",
        )


def _worker(where: KeyPath, name: str, worker: LongRunning) -> Iterator[Problem]:
    yield from _process_name(where, name)
    if worker.command is None:
        yield Problem((*where, "command"), "is missing; a worker has no default", code=MISSING_KEY)
    for keys, why in WEB_ONLY.items():
        outer = worker.model_fields_set & {keys[0]}
        is_set = outer and (len(keys) == 1 or f"{keys[1]}_s" in worker.drain.model_fields_set)
        if is_set:
            yield Problem((*where, *keys), f"does not apply to a worker: {why}")


def _cron(where: KeyPath, name: str, cron: Cron, manifest: Manifest) -> Iterator[Problem]:
    yield from _process_name(where, name)
    if (cron.command is None) == (cron.path is None):
        neither = cron.path is None
        fault = (
            "needs a command or a path" if neither else "has both a command and a path; keep one"
        )
        yield Problem(where, fault, code=MISSING_KEY if neither else IMPOSSIBLE)
    if cron.path is not None and manifest.web is None:
        yield Problem((*where, "path"), "there is no web process that could answer it")
    if not cron.schedule:
        yield Problem(
            (*where, "schedule"),
            "is missing; write it like '*/15 * * * *' or '@daily'",
            code=MISSING_KEY,
        )
    elif fault := schedule_fault(cron.schedule):
        yield Problem((*where, "schedule"), f"is {shown(cron.schedule)}, {fault}", code=BAD_VALUE)


def schedule_fault(schedule: str) -> str:
    """Why the cron expression `schedule` cannot be used; empty when it can."""
    wanted = "five fields: minute, hour, day, month, weekday, like '*/15 * * * *'"
    if schedule.startswith("@"):
        return "" if schedule in _CRON_WORDS else f"which is not one of {listed(_CRON_WORDS)}"
    if len(schedule.split()) != _CRON_FIELDS or len(schedule) > 256:
        return f"which does not have {wanted}"
    if not _PLAIN_CRON.fullmatch(schedule):
        return f"which has more than numbers, names, lists, ranges and steps in its {wanted}"
    # Its import asks the machine, by a program of its own, how wide its numbers are: too slow for every command.
    from croniter import croniter  # noqa: PLC0415
    from croniter.croniter import CroniterBadDateError  # noqa: PLC0415

    if not croniter.is_valid(schedule):
        return f"which is not a cron expression; write {wanted}"
    try:
        croniter(schedule, 0.0).get_next(float)
    except CroniterBadDateError:
        return "which never comes"
    return ""


def _process_name(where: KeyPath, name: str) -> Iterator[Problem]:
    fault = label_fault(name)
    if fault or "--" in name or len(name) > _MAX_PROCESS_NAME:
        why = fault or f"use single hyphens and at most {_MAX_PROCESS_NAME} characters"
        yield Problem(
            where, f"{shown(name)} cannot be the name of a process; {why}", code=BAD_VALUE
        )


def _routes(manifest: Manifest) -> Iterator[Problem]:
    routes = manifest.routes
    lists: Mapping[str, Iterable[str]] = {
        "redirects": (f"{rule.host or ''}{rule.source}" for rule in routes.redirects),
        "rewrites": (f"{rule.host or ''}{rule.source}" for rule in routes.rewrites),
    }
    for name, sources in lists.items():
        yield from _twice(("routes", name), sources, key="source")
    headers = sum(len(rule.headers) for rule in routes.headers)
    if headers > MAX_HEADERS:
        yield Problem(
            ("routes", "headers"),
            f"has {headers} headers in all; the limit is {MAX_HEADERS}. "
            "Join rules, or set the headers in the product",
        )


def _twice(where: KeyPath, values: Iterable[str], key: str = "") -> Iterator[Problem]:
    seen: Counter[str] = Counter()
    for index, value in enumerate(values):
        if seen[value]:
            path = (*where, index, key) if key else (*where, index)
            yield Problem(path, f"{shown(value)} is there already; only the first would count")
        seen[value] += 1
