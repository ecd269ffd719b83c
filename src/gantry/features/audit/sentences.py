"""What an entry of the audit log says, in words. Who did it goes before: "Ada" "deployed 1f3a9c2 to production of shop"."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from gantry.features.audit.store import Entry

# What people look for -> what its actions begin with.
SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "deploys": ("deploy", "rollout", "build-cache"),
    "variables": ("variables",),
    "commands": ("run", "cron", "database"),
    "traffic": ("maintenance", "scale", "cache"),
    "access": ("token",),
    "platform": ("environment", "destroy", "platform"),
}
# Who logs in changes nothing: shown when it is asked for.
LOGINS = ("token.login", "token.session")


def sentence_of(entry: Entry) -> str:
    """What somebody did. An action that is not known here is named as it was recorded."""
    worded = _SENTENCES.get(entry.action)
    if worded is None:
        return f"{entry.action} {entry.target}".strip()
    return worded(entry)


def _place(target: str) -> str:
    project, _, environment = target.partition("/")
    if not environment:
        return project
    return f"all of {project}" if environment == "*" else f"{environment} of {project}"


def _listed(names: Iterable[Any]) -> str:
    *others, last = (str(name) for name in names)
    return f"{', '.join(others)} and {last}" if others else last


def _said(template: str) -> Callable[[Entry], str]:
    """A sentence of the entry's `place` and `target`, and of its details, each by its name."""

    def worded(entry: Entry) -> str:
        known = {name: "" if value is None else str(value) for name, value in entry.details.items()}
        return template.format_map(_Known(known, place=_place(entry.target), target=entry.target))

    return worded


class _Known(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "?"


def _deployed(verb: str, preposition: str) -> Callable[[Entry], str]:
    def worded(entry: Entry) -> str:
        commit = str(entry.details.get("commit") or "")[:7]
        what = f"{verb} {commit or 'a folder without commits'}"
        return f"{what} {preposition} {_place(entry.target)}"

    return worded


def _restarted(entry: Entry) -> str:
    process = entry.details.get("process")
    return f"restarted {f'{process} in ' if process else ''}{_place(entry.target)}"


def _aborted(entry: Entry) -> str:
    why = ", to roll back" if entry.details.get("for") == "rollback" else ""
    return f"aborted the rollout in {_place(entry.target)}{why}"


def _varied(entry: Entry) -> str:
    put, removed = entry.details.get("set") or (), entry.details.get("unset") or ()
    changes = (("set", put), ("removed", removed))
    parts = [f"{verb} {_listed(names)}" for verb, names in changes if names]
    return f"{' and '.join(parts) or 'changed no variables'} in {_place(entry.target)}"


def _closed(entry: Entry) -> str:
    allowed = entry.details.get("allowed") or ()
    but = f", but to {_listed(allowed)}" if allowed else ""
    return f"closed {_place(entry.target)} to visitors{but}"


def _purged(entry: Entry) -> str:
    what = [*(entry.details.get("paths") or ()), *(entry.details.get("tags") or ())]
    return (
        f"purged {_listed(what) if what else 'everything'} from the cache of {_place(entry.target)}"
    )


def _scaled(entry: Entry) -> str:
    counts = [f"{process} to {count}" for process, count in entry.details.items()]
    return f"scaled {_listed(counts) if counts else 'nothing'} in {_place(entry.target)}"


def _ran(entry: Entry) -> str:
    detached = " in the background" if entry.details.get("detached") else ""
    return f"ran “{entry.details.get('command', '?')}” in {_place(entry.target)}{detached}"


def _run_ended(entry: Entry) -> str:
    code, detail = entry.details.get("exit_code"), entry.details.get("detail")
    how = detail or (f"exited with {code}" if code is not None else "its end was not seen")
    return f"ended a run in {_place(entry.target)}: {how}"


def _made_token(entry: Entry) -> str:
    until = str(entry.details.get("expires_at") or "")
    day = f", until {datetime.fromisoformat(until):%Y-%m-%d}" if until else ""
    return f"made the token “{entry.target}” with the role {entry.details.get('role', '?')}{day}"


def _lent(entry: Entry) -> str:
    until = str(entry.details.get("until") or "")
    time = f" until {datetime.fromisoformat(until):%Y-%m-%d %H:%M} UTC" if until else ""
    reading = ", to read only" if entry.details.get("read_only") else ""
    return f"opened the database of {_place(entry.target)} to another client{time}{reading}"


_SENTENCES: Mapping[str, Callable[[Entry], str]] = {
    "deploy.deploy": _deployed("deployed", "to"),
    "deploy.promote": _deployed("promoted", "to"),
    "deploy.rollback": _deployed("rolled back to", "in"),
    "deploy.redeploy": _deployed("redeployed", "in"),
    "deploy.restart": _restarted,
    "deploy.cancel": _said("cancelled the deploy {target}"),
    "rollout.pause": _said("paused the rollout in {place}"),
    "rollout.resume": _said("resumed the rollout in {place}"),
    "rollout.promote": _said("began the next stage of the rollout in {place}"),
    "rollout.abort": _aborted,
    "variables.change": _varied,
    "maintenance.on": _closed,
    "maintenance.off": _said("opened {place} to visitors"),
    "cache.purge": _purged,
    "scale.set": _scaled,
    "scale.reset": _said("returned {place} to the numbers of instances in gantry.toml"),
    "run.begin": _ran,
    "run.stop": _said("stopped a run in {place}"),
    "run.end": _run_ended,
    "database.lend": _lent,
    "build-cache.clear": _said("cleared the build cache of {target}"),
    "cron.run": _said("ran the cron {cron} in {place}"),
    "token.login": _said("made a login link"),
    "token.session": _said("logged in to the console"),
    "token.api": _made_token,
    "token.revoke": _said("revoked the token “{target}”"),
    "environment.create": _said("created {place}"),
    "destroy": _said("destroyed {place}"),
    "platform.shutdown": _said("stopped Gantry"),
}
