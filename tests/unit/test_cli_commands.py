"""Commands against a fake platform and a fake control plane: output, errors, exit codes."""

import json
import os
import re
import subprocess
import tarfile
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from gantry.cli.platform import Finding
from gantry.config.load import load_manifest
from gantry.engines.builders.protocol import Detection, Product
from gantry.features.deploys.bodies import DeployBody, DeployEvent, ToolBody
from gantry.features.domains.bodies import DomainBody
from gantry.features.platform.capabilities import CAPABILITIES
from gantry.kernel.bodies import ErrorBody
from gantry.kernel.errors import (
    AccessError,
    ConflictError,
    GantryError,
    IntegrityError,
    PermanentError,
    TransientError,
    UserError,
)
from tests.fakes.api import FakeApi
from tests.support.bodies import (
    NOW,
    SITE,
    broken_status,
    deploy,
    failed,
    rollout,
    steps,
    story_of_failure,
    story_of_success,
)
from tests.support.builders import write_tree
from tests.support.cli import MANIFEST, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "gantry.toml").write_text(MANIFEST)
    (tmp_path / "page.html").write_text("hello")
    (tmp_path / ".env").write_text("SECRET=1")
    return Bench(tmp_path)


def asked(bench: Bench, method: str) -> list[tuple[str, Any]]:
    return [(path, body) for verb, path, body in bench.api.asked if verb == method]


def test_deploy_uploads_follows_and_prints_the_address(bench: Bench) -> None:
    done = bench.run("deploy")
    assert done.code == 0
    assert done.out == f"{SITE}\n"
    assert "left out .env" in done.err
    assert "Deploying smart-sign to production · 3f2a91c Add announcements" in done.err
    assert "build    running" in done.err
    assert "Release 3 is live in production after 15.0 s" in done.err
    assert len(bench.api.sources) == 1
    (path, body), *_ = asked(bench, "POST")
    assert path == "/projects/smart-sign/environments/production/deploys"
    assert body["source_digest"] in bench.api.sources
    assert "sha" not in body["commit"]  # not in a repository


def test_the_commit_goes_along_and_is_cut_to_what_the_api_takes(bench: Bench) -> None:
    subject = "Add " + "announcements " * 60
    for arguments in (("init", "-b", "trunk"), ("add", "."), ("commit", "-m", subject)):
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.test")
        subprocess.run(
            ("git", "-C", str(bench.cwd), *identity, *arguments), check=True, capture_output=True
        )
    assert bench.run("deploy").code == 0
    commit = asked(bench, "POST")[0][1]["commit"]
    assert len(commit["sha"]) == 40
    assert (commit["branch"], commit["author"], commit["dirty"]) == ("trunk", "Ada", False)
    assert commit["message"] == subject.strip()[:500]


def test_what_is_left_out_is_told_with_its_reason(bench: Bench) -> None:
    for number in range(7):
        (bench.cwd / f".env.{number}").write_text("SECRET=1")
    done = bench.run("deploy")
    assert "left out .env (holds variables: set them with gantry env set), .env.0 (" in done.err
    assert done.err.count("holds variables") == 6
    assert " and 2 more\n" in done.err
    (sent,) = bench.api.sources.values()
    with tarfile.open(fileobj=BytesIO(sent)) as archive:
        assert archive.getnames() == ["gantry.toml", "page.html"]


def test_a_product_with_its_own_manifest_sends_the_workspace_around_it(
    bench: Bench, tmp_path: Path
) -> None:
    top = tmp_path / "repo"
    manifest = '[project]\nname = "web"\nroot = "apps/web"\n'
    files = {"package-lock.json": "{}", "packages/ui/a.js": "", "apps/web/gantry.toml": manifest}
    write_tree(top, {**files, "apps/web/.env.example": "TOKEN=\n", "gantry.toml": "other"})
    bench.cwd = top / "apps/web"
    done = bench.run("deploy")
    assert f"packed 5 files of {top}" in done.err
    (sent,) = bench.api.sources.values()
    with tarfile.open(fileobj=BytesIO(sent)) as archive:
        assert {"packages/ui/a.js", "package-lock.json"} < set(archive.getnames())
        member = archive.extractfile("gantry.toml")
        assert member is not None
        assert member.read().decode() == manifest
    assert asked(bench, "POST")[0][0].startswith("/projects/web/")


@pytest.mark.parametrize("moment", ["GET /sources", "PUT /sources"])
@pytest.mark.parametrize("command", ["deploy", "plan"])
def test_ctrl_c_before_a_deploy_begins_says_that_nothing_was_started(
    bench: Bench, command: str, moment: str
) -> None:
    bench.api.refusals = {moment: KeyboardInterrupt()}
    done = bench.run(command)
    assert done.code == 130
    assert done.err.endswith("nothing was started: the source was still on its way\ninterrupted\n")
    assert not asked(bench, "POST")


def test_a_manifest_goes_along_though_it_is_ignored(bench: Bench) -> None:
    write_tree(bench.cwd, {".gitignore": "gantry.toml\n"})
    assert bench.run("deploy").code == 0
    (sent,) = bench.api.sources.values()
    with tarfile.open(fileobj=BytesIO(sent)) as archive:
        assert "gantry.toml" in archive.getnames()


def test_how_much_is_ignored_is_said(bench: Bench) -> None:
    write_tree(bench.cwd, {".gitignore": "dist/\n*.log\n", "dist/a.js": "a" * 2000, "x.log": "b"})
    said = "left out as ignored: 2 files, 2.0 KB; most of it dist/ (2.0 KB), x.log (1 B)"
    assert said in bench.run("deploy").err


def test_an_unchanged_tree_is_not_uploaded_again(bench: Bench) -> None:
    bench.run("deploy")
    again = bench.run("deploy", "--to", "staging")
    assert "already uploaded" in again.err
    assert len(asked(bench, "PUT")) == 1
    assert asked(bench, "POST")[-1][0].endswith("/environments/staging/deploys")


def test_deploy_as_json_prints_one_document(bench: Bench) -> None:
    done = bench.run("deploy", "--json")
    assert DeployBody.model_validate_json(done.out).state == "succeeded"


def test_a_failed_deploy_shows_the_last_lines_and_the_error(bench: Bench) -> None:
    bench.api.story = list(story_of_failure())
    done = bench.run("deploy")
    assert done.code == PermanentError.exit_code
    assert done.out == ""
    assert "last lines of build:\n  line 11\n" in done.err
    assert "line 10\n" not in done.err
    assert "error[build.command-failed]: npm run build ended with exit code 1" in done.err
    assert "Nothing has changed for visitors." in done.err


def _taken_back(api: FakeApi, *numbers: tuple[int, int], of: str = "") -> None:
    """A deploy whose canary had stages with so many requests, and so many that failed."""
    lost = failed(
        steps=steps({"healthy": "done", "rollout": "failed"}, {"rollout": 61.0}), step="rollout"
    )
    api.story = [DeployEvent(event="end", deploy=lost)]
    stage, verdict = rollout().stages[1], rollout().verdict
    assert verdict is not None
    (reason, *_) = verdict.reasons
    stages = [
        stage.model_copy(
            update={
                "kind": "canary",
                "verdict": verdict.model_copy(
                    update={
                        "reasons": (
                            reason.model_copy(
                                update={"numbers": {"candidate_of": seen, "candidate": bad}}
                            ),
                        )
                    }
                ),
            }
        )
        for seen, bad in numbers
    ]
    api.rollout = rollout(deploy=of or lost.id, stages=tuple(stages))


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ([(0, 0)], "No visitor got the new release."),
        ([(250, 6)], "Of 250 requests of visitors that the new release answered, 6 requests failed."),
        ([(250, 1)], "Of 250 requests of visitors that the new release answered, 1 request failed."),
        ([(250, 0)], "Of 250 requests of visitors that the new release answered, no request failed."),
        ([(1_000, 0), (2_500, 1_200)],
         "Of 3,500 requests of visitors that the new release answered, 1,200 requests failed."),
    ],
)  # fmt: skip
def test_after_a_canary_that_was_taken_back_it_is_said_who_noticed(
    bench: Bench, numbers: list[tuple[int, int]], sentence: str
) -> None:
    _taken_back(bench.api, *numbers)
    said = bench.run("deploy").err
    assert sentence in said
    assert "Nothing has changed for visitors" not in said


def test_what_a_canary_was_for_visitors_is_not_guessed(bench: Bench) -> None:
    """Of another deploy's rollout, or of one that cannot be asked for, nothing is said."""
    _taken_back(bench.api, (250, 6), of="dep-other")
    assert "visitor" not in bench.run("deploy").err
    _taken_back(bench.api, (250, 6))
    bench.api.refusals["GET /projects/smart-sign/environments/production/rollout"] = TransientError(
        "control.down", "the control plane ended"
    )
    assert "visitor" not in bench.run("deploy").err


def test_a_deploy_says_what_it_was_built_with(bench: Bench) -> None:
    tools = (ToolBody(name="node", version="22.20.0"), ToolBody(name="pnpm", version="9.15.9"))
    bench.api.first = deploy("succeeded", tools=tools, use_cache=False)
    shown = bench.run("deploys", "show").out
    assert "built with Node 22.20.0, pnpm 9.15.9, without the build cache" in shown
    bench.api.first = deploy("succeeded")
    assert "built" not in bench.run("deploys", "show").out


def test_a_failed_deploy_as_json(bench: Bench) -> None:
    bench.api.story = list(story_of_failure())
    done = bench.run("deploy", "--json")
    assert done.code == PermanentError.exit_code
    body = DeployBody.model_validate_json(done.out)
    assert body.error is not None
    assert body.error.code == "build.command-failed"


@pytest.mark.parametrize(
    ("kind", "code"), [("user", 2), ("transient", 3), ("integrity", 4), ("cancelled", 130)]
)
def test_the_exit_code_is_that_of_the_deploy_s_error(bench: Bench, kind: Any, code: int) -> None:
    error = ErrorBody(kind=kind, code="a.b", message="m")
    ended = deploy("cancelled" if kind == "cancelled" else "failed", error=error)
    bench.api.story = [DeployEvent(event="end", deploy=ended)]
    assert bench.run("deploy").code == code


def test_a_cancelled_deploy_without_an_error(bench: Bench) -> None:
    bench.api.story = [DeployEvent(event="end", deploy=deploy("cancelled"))]
    done = bench.run("deploy")
    assert (done.code, "error[deploy.cancelled]" in done.err) == (130, True)


def test_a_broken_stream_is_joined_again(bench: Bench) -> None:
    story = story_of_success()
    bench.api.story = [*story[:2], httpx.ReadError("the control plane was restarted"), *story[2:]]
    done = bench.run("deploy")
    assert done.code == 0
    assert "is not answering; the deploy continues" in done.err
    assert done.err.count("build    running") == 1


def test_a_control_plane_that_stays_away(bench: Bench) -> None:
    class Gone(FakeApi):
        def handle(self, method: str, target: str, body: bytes) -> Any:
            if target.endswith("/events"):
                raise httpx.ConnectError("refused")
            return super().handle(method, target, body)

    bench.api = Gone()
    bench.clock_moves = True
    done = bench.run("deploy")
    assert done.code == TransientError.exit_code
    assert "error[control.down]" in done.err
    assert "deploy dep-7kq2m9xw4t may still be running" in done.err


def test_ctrl_c_leaves_the_deploy_running(bench: Bench) -> None:
    bench.api.story = [*story_of_success()[:2], KeyboardInterrupt()]
    done = bench.run("deploy")
    assert done.code == 130
    assert "deploy dep-7kq2m9xw4t continues" in done.err
    assert "gantry cancel dep-7kq2m9xw4t" in done.err
    assert not any(path.endswith("/cancel") for path, _ in asked(bench, "POST"))


def test_detach(bench: Bench) -> None:
    done = bench.run("deploy", "--detach")
    assert (done.code, done.out) == (0, "dep-7kq2m9xw4t\n")


def test_deploy_cancel(bench: Bench) -> None:
    assert bench.run("deploy", "--cancel").code == 0
    assert asked(bench, "POST") == [("/deploys/dep-7kq2m9xw4t/cancel", 0)]
    bench.api.first = failed()
    done = bench.run("deploy", "--cancel")
    assert (done.code, "error[deploy.none-running]" in done.err) == (2, True)


def test_purge(bench: Bench) -> None:
    done = bench.run("purge", "/news/*", "--tag", "news", "--environment", "staging")
    assert (done.code, done.err) == (0, "removed 3 cached responses from staging\n")
    assert bench.run("purge", "--all").code == 0
    assert json.loads(bench.run("purge", "--all", "--json").out)["purged"] == 3
    assert asked(bench, "POST")[:2] == [
        (
            "/projects/smart-sign/environments/staging/purge",
            {"paths": ["/news/*"], "tags": ["news"]},
        ),
        ("/projects/smart-sign/environments/production/purge", {"paths": [], "tags": []}),
    ]


def test_purge_never_guesses_how_much(bench: Bench) -> None:
    assert "error[purge.nothing-said]" in bench.run("purge").err
    assert "error[purge.all-and-some]" in bench.run("purge", "/a", "--all").err
    assert asked(bench, "POST") == []


def test_promote_and_rollback(bench: Bench) -> None:
    assert bench.run("promote").code == 0
    assert bench.run("rollback", "--release", "2", "--to", "staging").code == 0
    bodies = [(path, body) for path, body in asked(bench, "POST")]
    assert bodies == [
        ("/projects/smart-sign/environments/production/promote", {"from_environment": "staging"}),
        ("/projects/smart-sign/environments/staging/rollback", {"to_release": 2}),
    ]


def test_a_folder_without_a_manifest(bench: Bench, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = bench.run("deploy", str(empty))
    assert done.code == 2
    assert "error[project.no-manifest]" in done.err
    assert f"hint   gantry init {empty}" in done.err


def test_every_fault_of_the_manifest_is_told_before_anything_is_sent(
    bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "gantry.toml").write_text(
        '[project]\nname = "Smart Sign"\n[biuld]\n[processes.web]\nmemory = "lots"\n'
    )
    for command in ("deploy", "plan"):
        done = bench.run(command)
        assert done.code == 2
        assert "gantry.toml:2" in done.err
        assert "biuld" in done.err
        assert "lots" in done.err
    assert bench.api.asked == []


def test_the_nearest_manifest_above_is_found(bench: Bench, tmp_path: Path) -> None:
    bench.cwd = tmp_path / "app" / "pages"
    bench.cwd.mkdir(parents=True)
    assert bench.run("releases").code == 0
    assert asked(bench, "GET")[0][0].startswith("/projects/smart-sign/")


@pytest.mark.parametrize("text", ["[project", '[project]\nname = ""', "", "project = 3", "\xff"])
def test_a_manifest_without_a_name(bench: Bench, tmp_path: Path, text: str) -> None:
    (tmp_path / "gantry.toml").write_text(text, encoding="latin-1")
    done = bench.run("releases")
    assert (done.code, "error[project.no-name]" in done.err) == (2, True)
    assert bench.run("releases", "--project", "shop").code == 0


@pytest.mark.parametrize(
    "error",
    [
        UserError("a.b", "m", hint="do this", where="there"),
        ConflictError("a.b", "m", hint="do this", where="there"),
        AccessError("a.b", "m", hint="do this", where="there"),
        TransientError("a.b", "m", hint="do this", where="there"),
        PermanentError("a.b", "m", hint="do this", where="there"),
        IntegrityError("a.b", "m", hint="do this", where="there"),
    ],
)
def test_errors_are_shown_the_same_way_everywhere(bench: Bench, error: GantryError) -> None:
    bench.api.refusals["GET /status"] = error
    done = bench.run("status")
    assert done.code == error.exit_code
    assert done.out == ""
    assert done.err == "error[a.b]: m\n  where  there\n  hint   do this\n"
    as_json = bench.run("status", "--json")
    assert as_json.code == error.exit_code
    assert json.loads(as_json.out) == {"error": error.as_dict()}
    assert as_json.err == done.err


@pytest.mark.parametrize(
    "argv",
    [
        ("status",),
        ("releases",),
        ("rollout", "status"),
        ("audit",),
        ("plan",),
        ("logs",),
        ("env", "list"),
        ("token", "list"),
        ("version",),
        ("version", "--features"),
        ("doctor",),
        ("token", "create", "ci"),
        ("cancel", "dep-1"),
        ("env", "set", "A=1"),
    ],
)
def test_json_is_one_document_on_standard_output(bench: Bench, argv: tuple[str, ...]) -> None:
    done = bench.run(*argv, "--json")
    assert done.code == 0
    json.loads(done.out)


def test_up_says_where_to_go(bench: Bench) -> None:
    done = bench.run("up")
    assert done.code == 0
    assert "starting the edge" in done.err
    assert "https://gantry.localhost:8443" in done.err
    again = bench.run("up")
    assert again.code == 0
    assert "already running" in again.err


def test_up_in_the_foreground(bench: Bench) -> None:
    bench.run("up", "--foreground")
    assert bench.platform.done == ["serve"]


def test_up_that_fails(bench: Bench) -> None:
    bench.platform.failures["start"] = UserError("port.taken", "port 8080 is used")
    done = bench.run("up")
    assert (done.code, "error[port.taken]" in done.err) == (2, True)


def test_down(bench: Bench) -> None:
    assert bench.run("down").code == 0
    assert bench.platform.done == ["stop"]


def test_doctor_ends_with_1_when_something_is_bad(bench: Bench) -> None:
    bench.platform.findings = (
        Finding("python", "ok", "3.11.7"),
        Finding("memory", "warn", "only 1 GB", "add memory"),
        Finding("port 8443", "bad", "used by nginx", "export GANTRY_HTTPS_PORT=9443"),
    )
    done = bench.run("doctor")
    assert done.code == 1
    assert "✗ port 8443  used by nginx\n    fix  export GANTRY_HTTPS_PORT=9443" in done.out


def test_env_set_takes_values_from_everywhere(bench: Bench) -> None:
    assert bench.run("env", "set", "A=1", "URL=a=b", "KEY", "-", stdin="s3cret\n").code == 0
    assert asked(bench, "PATCH")[0][1] == {
        "set": {"A": "1", "URL": "a=b", "KEY": "s3cret"},
        "unset": [],
    }
    missing = bench.run("env", "set", "KEY")
    assert (missing.code, "error[env.no-value]" in missing.err) == (2, True)
    assert "error[env.twice]" in bench.run("env", "set", "A=1", "A=2").err
    assert "error[env.empty]" in bench.run("env", "set", "A", "-").err


def test_a_variable_can_take_effect_at_once(bench: Bench) -> None:
    done = bench.run("env", "set", "CACHE=off", "--apply")
    assert done.code == 0
    asked = [(method, path.rpartition("/")[2]) for method, path, _ in bench.api.asked]
    assert ("PATCH", "variables") in asked
    assert ("POST", "redeploy") in asked
    later = Bench(bench.cwd)
    said = later.run("env", "set", "CACHE=off").err
    assert "gantry redeploy --to production" in said
    assert not [path for method, path, _ in later.api.asked if method == "POST"]


def test_a_deploy_says_which_of_its_domains_nobody_can_reach_yet(bench: Bench) -> None:
    record = "Make this record: shop.example.org A 203.0.113.7"
    waiting = DomainBody(
        host="shop.example.org", kind="domain", project="smart-sign", environment="production",
        dns="none", certificate="none", settled=False, advice=(record,),
    )  # fmt: skip
    other = waiting.model_copy(update={"host": "other.example.org", "project": "other"})
    ready = waiting.model_copy(update={"host": "ready.example.org", "settled": True})
    bench.api.domains = (waiting, other, ready)
    done = bench.run("deploy")
    assert done.code == 0
    assert "! shop.example.org: " in done.err
    assert record in done.err
    assert "other.example.org" not in done.err
    assert "ready.example.org" not in done.err


def test_notes_that_nobody_needs_are_not_made(bench: Bench) -> None:
    (bench.cwd / ".env.example").write_text("# optional\nGREETING=hello\nLOG_LEVEL=debug\n")
    for command in ("plan", "deploy"):
        done = bench.run(command)
        assert done.code == 0
        assert "GREETING" not in done.out + done.err
        assert "note" not in done.err


def test_env_values_are_never_shown(bench: Bench) -> None:
    done = bench.run("env", "set", "KEY=s3cret-value")
    assert "s3cret-value" not in done.out + done.err


def test_env_list_says_where_a_variable_comes_from(bench: Bench) -> None:
    rows = [line.split() for line in bench.run("env", "list").out.splitlines()]
    assert ["DATABASE_URL", "postgres"] in rows
    assert ["LOG_LEVEL", "gantry.toml"] in rows
    set_ones = [row for row in rows if row[1:3] == ["env", "set"]]
    assert set_ones
    assert all(row[-1] == "owner" for row in set_ones)


def test_env_unset_and_import(bench: Bench, tmp_path: Path) -> None:
    assert bench.run("env", "unset", "SESSION_SECRET").code == 0
    (tmp_path / "vars.env").write_text("A=1\nB='two words'\n# no\n")
    assert bench.run("env", "import", str(tmp_path / "vars.env")).code == 0
    assert asked(bench, "PATCH")[-1][1]["set"] == {"A": "1", "B": "two words"}
    (tmp_path / "none.env").write_text("# nothing\n")
    assert "error[env.empty]" in bench.run("env", "import", str(tmp_path / "none.env")).err


def test_rollout_commands_say_what_happens_now(bench: Bench) -> None:
    said = {
        "pause": "rollout of release 4: pausing at 25 %",
        "resume": "rollout of release 4: resuming",
        "promote": "rollout of release 4: starting the next stage",
        "abort": "rollout of release 4: aborting, all traffic returns to release 3",
    }
    for wish, sentence in said.items():
        done = bench.run("rollout", wish, "-e", "staging")
        assert (done.code, done.out) == (0, "")
        assert done.err == f"{sentence}; see gantry rollout status\n"
    assert [path for path, _ in asked(bench, "POST")] == [
        f"/projects/smart-sign/environments/staging/rollout/{wish}" for wish in said
    ]
    assert json.loads(bench.run("rollout", "pause", "--json").out)["wish"] == "pause"


def test_rollout_status(bench: Bench) -> None:
    done = bench.run("rollout", "status")
    assert done.code == 0
    assert (
        "Rollout of release 4 from release 3 in production of smart-sign\nrunning  1 min"
        in done.out
    )
    assert json.loads(bench.run("rollout", "status", "--json").out)["candidate_number"] == 4


def test_logs_are_labelled_and_filtered(bench: Bench) -> None:
    done = bench.run("logs")
    at = f"{NOW.astimezone():%H:%M:%S}"
    assert done.out == (
        f"worker.mail.0 r3 │ WARN job done late\n{at} web.0 r3 │ ready on :31001\n{at} web.0 r3 │ GET / 200\n"
    )
    lines = json.loads(bench.run("logs", "--json").out)
    assert [(line["process"], line["level"], line["text"]) for line in lines] == [
        ("worker.mail", "warn", "WARN job done late"),
        ("web", None, "ready on :31001"),
        ("web", None, "GET / 200"),
    ]
    assert len(json.loads(bench.run("logs", "--json", "-n", "1").out)) == 1
    assert json.loads(bench.run("logs", "--json", "-n", "0").out) == []
    silent = Bench(bench.cwd, api=_without_logs())
    said = silent.run("logs", "--process", "mail", "--grep", "x").err
    assert "no log in production of smart-sign of mail with such lines" in said


def test_what_is_looked_for_is_asked_of_the_control_plane(bench: Bench) -> None:
    done = bench.run(
        "logs", "--since", "30m", "--grep", "Error", "--release", "3", "--process", "web"
    )
    assert done.code == 0
    query = bench.api.query
    assert query.pop("since") == [(NOW - timedelta(minutes=30)).isoformat()]
    assert query == {"grep": ["Error"], "release": ["3"], "process": ["web"], "tail": ["200"]}
    assert bench.run("logs", "--level", "warn").code == 0
    assert bench.api.query == {"level": ["warn"], "tail": ["200"]}
    assert bench.run("logs", "--level", "loud").code == 2
    assert bench.run("logs", "--since", "soon").code == 2
    assert "error[logs.no-end]" in bench.run("logs", "-f", "--until", "1h").err


def test_following_logs_survives_a_restart_and_ends_with_ctrl_c(bench: Bench) -> None:
    bench.api.log_breaks = [httpx.ReadError("restart"), KeyboardInterrupt()]
    done = bench.run("logs", "-f", "--tail", "5")
    assert done.code == 0
    assert "connection lost; reconnecting" in done.err
    assert done.out.count("web.0 r3 │ ready on :31001\n") == 2


def test_following_logs_gives_up_when_nobody_answers(bench: Bench) -> None:
    bench.api.refusals["GET /projects/smart-sign/environments"] = TransientError("a.b", "m")
    assert bench.run("logs", "-f").code == 3


def _without_logs() -> FakeApi:
    class Silent(FakeApi):
        def _logs(self, follow: bool) -> Any:
            return 200, [b"[]"]

    return Silent()


def test_past_deploys_are_listed_shown_and_read(bench: Bench) -> None:
    listed = bench.run("deploys", "list")
    assert (listed.code, bench.api.first.id in listed.out) == (0, True)
    assert json.loads(bench.run("deploys", "list", "--json").out)[0]["id"] == bench.api.first.id
    shown = bench.run("deploys", "show").out
    assert f"deploy {bench.api.first.id} to production of smart-sign" in shown
    assert "build" in shown
    logs = bench.run("deploys", "logs", bench.api.first.id)
    assert logs.code == 0
    assert logs.out == "> next build\nCompiled in 5.4 s\n"
    assert "── build" in logs.err
    only = bench.run("deploys", "logs", "--step", "smoke")
    assert (only.out, "nothing was printed by step smoke" in only.err) == ("", True)
    pieces = bench.run("deploys", "logs", "--json").out.splitlines()
    assert {json.loads(piece)["step"] for piece in pieces} == {"build"}
    watched = bench.run("deploys", "watch")
    assert (watched.code, "is live in production" in watched.err) == (0, True)


def test_where_nothing_was_deployed_there_is_nothing_to_read(bench: Bench) -> None:
    class Empty(FakeApi):
        def _route(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> Any:
            return (
                (200, [b"[]"])
                if path.endswith("/deploys")
                else super()._route(method, path, query, body)
            )

    empty = Bench(bench.cwd, api=Empty())
    assert "no deploys to production yet" in empty.run("deploys", "list").err
    refused = empty.run("deploys", "logs", "-e", "staging")
    assert (refused.code, "error[deploy.none]" in refused.err) == (2, True)


def test_destroy_asks_for_the_name(bench: Bench) -> None:
    refused = bench.run("destroy", "-e", "staging", stdin="smart-sign\n")
    assert (refused.code, "error[destroy.not-confirmed]" in refused.err) == (2, True)
    assert asked(bench, "DELETE") == []
    assert bench.run("destroy", "-e", "staging", stdin="smart-sign/staging\n").code == 0
    done = bench.run("destroy", "--yes")
    assert (done.code, done.err) == (0, "smart-sign deleted\n")
    assert [path for path, _ in asked(bench, "DELETE")] == [
        "/projects/smart-sign/environments/staging",
        "/projects/smart-sign",
    ]


def test_destroy_waits_until_it_is_gone_and_not_longer(bench: Bench) -> None:
    assert bench.run("destroy", "--yes").code == 0
    after = [path for path, _ in asked(bench, "GET")]
    assert after == ["/projects/smart-sign", "/projects/smart-sign"]  # going, then gone
    assert bench.api.status.projects == ()


def test_destroy_without_waiting(bench: Bench) -> None:
    done = bench.run("destroy", "-e", "production", "--yes", "--detach")
    assert (done.code, asked(bench, "GET")) == (0, [])
    assert "deleting smart-sign/production: gantry status shows it until it is gone" in done.err
    assert "smart-sign.localhost:8443  being deleted\n" in bench.run("status").out


def test_a_deletion_that_does_not_end_is_left_to_itself(bench: Bench) -> None:
    class Stuck(FakeApi):
        def _project(self, name: str) -> Any:
            return self.status.projects[0]

    bench.api, bench.clock_moves = Stuck(), True
    done = bench.run("destroy", "--yes")
    assert done.code == TransientError.exit_code
    assert "error[destroy.slow]: smart-sign is still being deleted" in done.err


def test_a_question_without_an_answer_is_an_interruption(bench: Bench) -> None:
    assert bench.run("destroy").code == 130
    assert asked(bench, "DELETE") == []


def test_open_prints_addresses(bench: Bench) -> None:
    assert bench.run("open", "--print").out == f"{SITE}\n"
    assert bench.run("open", "--console", "--print").out.endswith("/login?token=once\n")
    done = bench.run("open", "--print", "-e", "staging")
    assert (done.code, "error[environment.unknown]" in done.err) == (2, True)


def test_a_browser_is_started_and_its_chatter_does_not_reach_the_terminal(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    opener, heard = tmp_path / "xdg-open", tmp_path / "heard"
    os.mkfifo(heard)
    opener.write_text(f'#!/bin/sh\necho chatter; echo chatter >&2\necho "$1" > {heard}\n')
    opener.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("DISPLAY", ":0")
    done = bench.run("open")
    assert heard.read_text() == f"{SITE}\n"  # the program has said what it had to say
    assert (done.code, done.out, done.err) == (0, f"{SITE}\n", "")
    os.write(1, b"still here\n")
    assert capfd.readouterr() == ("still here\n", "")


def test_without_a_screen_no_browser_is_started_and_that_is_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    done = bench.run("open")
    assert (done.code, done.out) == (0, f"{SITE}\n")
    assert "no browser could be started here" in done.err


def test_a_token_is_alone_on_standard_output(bench: Bench) -> None:
    assert bench.run("token", "create", "ci", "--role", "viewer").out == "gt-secret\n"
    assert bench.run("token", "revoke", "0123456789ab").code == 0


def test_a_plan_that_is_blocked_ends_with_2(bench: Bench) -> None:
    assert bench.run("plan").code == 0
    blocker = ErrorBody(kind="user", code="variable.missing", message="lacks A")
    bench.api.plan = bench.api.plan.model_copy(update={"blockers": (blocker,)})
    done = bench.run("plan")
    assert (done.code, "error[variable.missing]" in done.err) == (2, True)


def test_version_also_without_a_control_plane(bench: Bench) -> None:
    bench.api.refusals["GET /health"] = TransientError("control.down", "m")
    done = bench.run("version")
    assert (done.code, "is not answering" in done.out) == (0, True)


def test_every_capability_is_shown_below_its_label_without_a_control_plane(bench: Bench) -> None:
    bench.api.refusals["GET /health"] = TransientError("control.down", "m")
    done = bench.run("version", "--features")
    assert done.code == 0
    label = ""
    shown = {}
    for line in done.out.splitlines():
        if line and not line.startswith(" "):
            label = line.split()[0]
        elif line.strip():
            shown[line.strip().split("  ")[0]] = label
    assert shown == {item.name: item.maturity.value for item in CAPABILITIES}
    listed = json.loads(bench.run("version", "--features", "--json").out)
    assert [item["name"] for item in listed] == [item.name for item in CAPABILITIES]


def test_typing_mistakes_are_answered_with_what_was_meant(bench: Bench) -> None:
    done = bench.run("depoly")
    assert done.code == 2
    assert "Did you mean" in done.err
    assert "deploy" in done.err
    assert "--detach" in bench.run("deploy", "--detatch").err
    assert "error[cli.usage]" in bench.run("rollback", "--release", "zero").err
    assert bench.run().code == 2


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("logs staging", "gantry logs --environment staging"),
        ("deploy staging", "gantry deploy --to staging"),
        ("rollback 12", "gantry rollback --release 12"),
        ("rollback staging", "gantry rollback --to staging"),
        ("ps prod", "gantry ps --environment production"),
        ("releases shop", "gantry releases --project shop"),
        ("deploy --prod", "gantry deploy --to production"),
        ("logs --env staging", "gantry logs --environment production"),
        ("logs -a shop", "gantry logs --project NAME"),
        ("env list --staging", "gantry env list --environment staging"),
        ("-v", "gantry version"),
        ("status shop", "gantry status --help"),
        ("deploy --nonsense", "gantry deploy --help"),
    ],
)
def test_what_other_tools_take_is_answered_with_what_does_it_here(
    bench: Bench, typed: str, hint: str
) -> None:
    done = bench.run(*typed.split())
    assert done.code == 2
    assert f"  hint   {hint}\n" in done.err


def test_a_defect_is_one_sentence_and_a_log_file(bench: Bench) -> None:
    bench.platform.failures["doctor"] = ZeroDivisionError("oops")  # type: ignore[assignment]
    done = bench.run("doctor")
    assert done.code == 1
    assert "error[cli.unexpected]" in done.err
    assert "Traceback" not in done.err
    assert "ZeroDivisionError" in (bench.platform.home / "cli.log").read_text()


@pytest.mark.parametrize(
    ("folder", "name"),
    [("My Shop", "my-shop"), ("www", "www-site"), ("gantry", "gantry-site"), ("--", "site")],
)
def test_init_makes_a_name_that_a_project_may_have(
    bench: Bench, tmp_path: Path, folder: str, name: str
) -> None:
    (tmp_path / folder).mkdir()
    printed = bench.run("init", str(tmp_path / folder), "--print")
    assert f'name = "{name}"' in printed.out


def test_init_writes_a_manifest_and_says_why(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "My Shop!"
    folder.mkdir()
    (folder / ".env.example").write_text("SESSION_SECRET=\nLOG_LEVEL=info\n")
    (folder / "vercel.json").write_text('{"regions": ["fra1"]}')
    done = bench.run("init", str(folder))
    assert done.code == 0
    assert "! vercel.json:1: regions: not honoured" in done.err
    assert "because package.json depends on next 16.4.0" in done.err
    assert "SESSION_SECRET" in done.err
    assert 'name = "my-shop"' in (folder / "gantry.toml").read_text()
    again = bench.run("init", str(folder))
    assert (again.code, "error[init.exists]" in again.err) == (2, True)
    assert bench.run("init", str(folder), "--force").code == 0
    assert 'name = "shop"' in bench.run("init", str(folder), "--print", "--name", "shop").out


def _product(folder: str, called: str, framework: str = "nextjs") -> Product:
    detection = Detection(
        framework, ("a file is there",), ("there is no lock file: two builds may",)
    )
    return Product(folder, detection, called)


SHOP = {
    "package.json": '{"workspaces": ["apps/*"]}', "package-lock.json": "{}",
    "apps/web/package.json": '{"dependencies": {"pg": "8", "redis": "5"}, "scripts": {"migrate": "node m.js"}}',
    "apps/web/.env.example": "DATABASE_URL=\nREDIS_URL=\nTOKEN=\n", "backend/Procfile": "web: ./run\nmail: ./mail\n",
    "backend/Dockerfile": "FROM x", "backend/vercel.json": '{"regions": ["fra1"]}',
}  # fmt: skip


def test_init_writes_a_manifest_for_each_product(bench: Bench, tmp_path: Path) -> None:
    bench.cwd = write_tree(tmp_path / "shop", SHOP)
    bench.platform.found = (
        _product("apps/web", "Next.js"),
        _product("backend", "Python", "python"),
    )
    done = bench.run("init")
    assert done.code == 0
    assert done.err.startswith("found apps/web (Next.js), backend (Python)\n")
    web = load_manifest((bench.cwd / "apps/web/gantry.toml").read_text())
    assert (web.project.name, web.project.root) == ("shop-web", "apps/web")
    assert (bool(web.services.postgres), bool(web.services.redis)) == (True, True)
    assert web.release.command == "npm run migrate"
    backend = load_manifest((bench.cwd / "backend/gantry.toml").read_text())
    assert (backend.project.name, backend.project.root) == ("shop-backend", "")
    assert backend.web is not None
    assert backend.web.command == "./run"
    assert backend.processes.worker["mail"].command == "./mail"
    assert done.err.count("there is no lock file") == 1, "the workspace has one, at its top"
    assert "gantry env set TOKEN --project shop-web" in done.err
    assert "! Dockerfile: not honoured; building from a Dockerfile is coming" in done.err
    assert "! vercel.json:1: regions: not honoured" in done.err
    assert "Next: gantry deploy apps/web" in done.err
    again = bench.run("init")
    assert (again.code, "in " + str(bench.cwd / "apps/web") in again.err) == (2, True)
    (tmp_path / "gantry.toml").unlink()
    lost = bench.run("deploy")
    assert "there is one in apps/web, backend" in lost.err
    assert "hint   cd apps/web" in lost.err


def test_init_lists_what_it_proposes_as_json(bench: Bench, tmp_path: Path) -> None:
    bench.cwd = write_tree(tmp_path / "shop", SHOP)
    bench.platform.found = (
        _product("apps/web", "Next.js"),
        _product("backend", "Python", "python"),
    )
    web, backend = json.loads(bench.run("init", "--json").out)["projects"]
    assert (web["name"], web["root"], web["required"]) == ("shop-web", "apps/web", ["TOKEN"])
    assert {item["key"]: (item["value"], item["taken"]) for item in web["proposals"]} == {
        "services.postgres": (True, True),
        "services.redis": (True, True),
        "release.command": ("npm run migrate", True),
    }
    assert all(item["reason"] for item in web["proposals"])
    assert [note.split(":")[0] for note in backend["not_honoured"]] == ["vercel.json", "Dockerfile"]


def test_init_takes_one_name_for_one_product_only(bench: Bench, tmp_path: Path) -> None:
    bench.cwd = write_tree(tmp_path / "shop", SHOP)
    bench.platform.found = (_product("apps/web", "Next.js"), _product("backend", "Python"))
    done = bench.run("init", "--name", "x")
    assert "error[init.several]" in done.err
    assert "hint   gantry init apps/web --name x" in done.err
    assert not (bench.cwd / "backend/gantry.toml").exists()


def test_a_product_of_a_workspace_alone_knows_its_top(bench: Bench, tmp_path: Path) -> None:
    bench.cwd = write_tree(tmp_path / "shop", SHOP) / "apps/web"
    bench.platform.found = (_product("", "Next.js"),)
    done = bench.run("init", "--yes")
    assert "no lock file" not in done.err
    assert load_manifest((bench.cwd / "gantry.toml").read_text()).project.root == "apps/web"


@pytest.mark.parametrize(
    ("answers", "postgres", "redis", "command"),
    [("y\ny\n", True, True, "npm run migrate"), ("\n\n", True, True, "npm run migrate"), ("n\ny\n", False, True, None)],
)  # fmt: skip
def test_init_asks_about_each_service_on_a_terminal(
    bench: Bench, tmp_path: Path, answers: str, postgres: bool, redis: bool, command: str
) -> None:  # fmt: skip
    bench.answers = True
    bench.cwd = write_tree(tmp_path / "shop", SHOP) / "apps/web"
    bench.platform.found = (_product("", "Next.js"),)
    done = bench.run("init", stdin=answers)
    assert done.code == 0
    manifest = load_manifest((bench.cwd / "gantry.toml").read_text())
    assert (bool(manifest.services.postgres), bool(manifest.services.redis)) == (postgres, redis)
    assert manifest.release.command == command


CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\].*?\x1b\\\\")


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize(
    "argv",
    [
        ("status",), ("releases",), ("audit",), ("plan",), ("logs",), ("env", "list"), ("token", "list"),
        ("deploys", "list"), ("deploys", "show"), ("runs",), ("ps",), ("scale",), ("crons", "list"),
        ("version",), ("version", "--features"), ("doctor",), ("rollout", "status"), ("rollout", "abort"), ("up",),
        ("down",), ("purge",),
        ("deploy",), ("deploy", "--detach"), ("deploy", "--cancel"), ("token", "create", "ci"), ("depoly",),
        ("destroy",), ("env", "set", "KEY"), ("open", "--print"), ("cancel", "dep-1"),
    ],
)  # fmt: skip
def test_nothing_is_wider_than_the_terminal_and_nothing_is_cut(
    bench: Bench, argv: tuple[str, ...], width: int
) -> None:
    bench.width, bench.terminal, bench.api.status = width, True, broken_status()
    bench.platform.findings = (
        Finding(
            "memory",
            "warn",
            "only 1.0 GB",
            "a Next.js build takes about 1 GB: " + "add memory " * 9,
        ),
    )
    done = bench.run(*argv)
    for line in (done.out + done.err).splitlines():
        assert len(CONTROL.sub("", line)) <= width, line
    assert "…" not in done.out


def test_every_release_has_its_whole_address_in_a_terminal_of_80_columns(bench: Bench) -> None:
    bench.width, bench.terminal = 80, True
    shown = bench.run("releases").out
    assert "address https://rel-03--smart-sign.localhost:8443" in shown


def test_a_pipe_gets_no_blanks_behind_rows_and_nothing_is_broken(bench: Bench) -> None:
    bench.width = 10_000
    for argv in (
        "status",
        "releases",
        "audit",
        "runs",
        "ps",
        "env list",
        "token list",
        "deploys show",
    ):
        for line in bench.run(*argv.split()).out.splitlines():
            assert line == line.rstrip(), argv
            assert len(line) < 200, argv


def test_an_audit_entry_is_whole_in_a_narrow_terminal(bench: Bench) -> None:
    wide = bench.run("audit").out
    bench.width, bench.terminal = 80, True
    narrow = bench.run("audit").out
    for text in (
        "2026-01-01 11:57:00",
        "set SESSION_SECRET",
        "production of smart-sign",
    ):
        assert text in wide
        assert text in narrow
    assert len(wide.splitlines()) == 2
    assert "set SESSION_SECRET" in wide
    assert not set('{}[]"') & set(wide)


def test_schema_is_json(bench: Bench) -> None:
    assert "project" in json.loads(bench.run("schema").out)["properties"]
