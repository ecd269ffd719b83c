"""What the audit log says in words: every action that is recorded has a sentence of its own."""

import ast
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import gantry
from gantry.features.accounts.model import TokenKind
from gantry.features.audit.sentences import LOGINS, SUBJECTS, sentence_of
from gantry.features.audit.store import Entry
from gantry.features.deploys.model import DeployKind
from gantry.features.rollouts.model import RolloutCommand
from gantry.features.runs import service as runs
from gantry.web.audit import CHOICES

_SOURCE = Path(gantry.__file__).parent
# What stands in the text of an action -> what it may be.
_MEANT: dict[str, tuple[str, ...]] = {
    "deploy.kind": tuple(DeployKind),
    "kind": tuple(TokenKind),
    "command": tuple(RolloutCommand),
    "RolloutCommand.ABORT": (RolloutCommand.ABORT,),
    "ACTION_BEGIN": (runs.ACTION_BEGIN,),
    "ACTION_END": (runs.ACTION_END,),
    "action": ("scale.set", "scale.reset"),
}


def _recorded() -> set[str]:
    """Every action that the source records."""
    found = set()
    for file in _SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) != "audit.record":
                continue
            (action,) = (word.value for word in node.keywords if word.arg == "action")
            found |= _values(action)
    return found


def _values(action: ast.expr) -> set[str]:
    if isinstance(action, ast.Constant):
        return {str(action.value)}
    if isinstance(action, ast.JoinedStr):
        start, part = action.values
        assert isinstance(start, ast.Constant) and isinstance(part, ast.FormattedValue)
        return {f"{start.value!s}{value}" for value in _MEANT[ast.unparse(part.value)]}
    return set(_MEANT[ast.unparse(action)])


def entry(action: str, target: str = "shop/production", /, **details: Any) -> Entry:
    return Entry(1, datetime(2026, 11, 23, tzinfo=UTC), "ada", action, target, details, "")


def test_every_action_that_is_recorded_has_a_sentence_and_is_found_by_its_subject() -> None:
    recorded = _recorded()
    assert len(recorded) > 20
    known = {subject for subjects in SUBJECTS.values() for subject in subjects}
    for action in recorded:
        # Also when details are missing: entries of older versions are read too.
        sentence = sentence_of(entry(action))
        assert sentence != f"{action} shop/production", f"{action} is shown as a machine's word"
        assert action.partition(".")[0] in known, f"nobody finds {action}: see SUBJECTS"
    assert set(LOGINS) <= recorded
    assert set(SUBJECTS) <= set(CHOICES), "a subject that nobody can choose"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (entry("deploy.deploy", commit="1f3a9c2" + "0" * 33), "deployed 1f3a9c2 to production of shop"),
        (entry("deploy.deploy", commit=""), "deployed a folder without commits to production of shop"),
        (entry("deploy.rollback", commit="1f3a9c2e"), "rolled back to 1f3a9c2 in production of shop"),
        (entry("deploy.restart", process="worker.mail"), "restarted worker.mail in production of shop"),
        (entry("deploy.restart"), "restarted production of shop"),
        (entry("deploy.cancel", "dep-1"), "cancelled the deploy dep-1"),
        (entry("variables.change", set=["A", "B", "C"], unset=["D"]), "set A, B and C and removed D in production of shop"),
        (entry("variables.change", set=[], unset=["D"]), "removed D in production of shop"),
        (entry("maintenance.on", allowed=["192.0.2.7/32"]), "closed production of shop to visitors, but to 192.0.2.7/32"),
        (entry("scale.set", web=3), "scaled web to 3 in production of shop"),
        (entry("run.begin", command="psql", detached=False), "ran “psql” in production of shop"),
        (entry("run.end", exit_code=3, detail=""), "ended a run in production of shop: exited with 3"),
        (entry("rollout.abort", **{"for": "rollback"}), "aborted the rollout in production of shop, to roll back"),
        (
            entry("token.api", "ci", role="developer", expires_at="2027-02-21T12:00:00+00:00"),
            "made the token “ci” with the role developer, until 2027-02-21",
        ),
        (entry("destroy", "shop/*"), "destroyed all of shop"),
        (entry("cron.run", cron="{place}"), "ran the cron {place} in production of shop"),
        (entry("moon.land", "shop/{x}"), "moon.land shop/{x}"),
    ],
)  # fmt: skip
def test_sentences(given: Entry, said: str) -> None:
    assert sentence_of(given) == said
