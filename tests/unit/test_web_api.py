"""The API's endpoints on a real database."""

import html
import json
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from gantry.cache.policy import Lifetime
from gantry.cache.store import Key, StoredAnswer
from gantry.engines.database.protocol import Database
from gantry.engines.edge.protocol import EdgeConfig, Site
from gantry.engines.probes.protocol import ProbeResult
from gantry.features.accounts.bodies import TokenBody
from gantry.features.accounts.model import Role
from gantry.features.audit import store as audit
from gantry.features.audit.bodies import AuditBody
from gantry.features.builds.bodies import SourceBody
from gantry.features.deploys.bodies import DeployBody, PlanBody
from gantry.features.deploys.model import DeployKind
from gantry.features.deploys.pipeline import steps_of
from gantry.features.instances.model import Health
from gantry.features.platform.bodies import (
    CapabilityBody,
    EnvironmentBody,
    HealthBody,
    ProjectBody,
    StatusBody,
)
from gantry.features.platform.capabilities import CAPABILITIES
from gantry.features.projects import store as projects
from gantry.features.releases.bodies import ReleaseBody
from gantry.features.releases.model import Release
from gantry.features.rollouts import store as rollouts
from gantry.features.rollouts.bodies import CandidateBody
from gantry.features.rollouts.model import Stage, StageKind
from gantry.features.routes.bodies import PurgeBody
from gantry.kernel.bodies import ErrorBody
from gantry.kernel.errors import PermanentError
from gantry.web.app import create_app
from tests.fakes.probes import Asked
from tests.support.console_seed import CHANGES, Seeder, seed
from tests.support.names import BAD
from tests.support.web import MANIFEST, START, House, client, upload

_DIGEST = "a" * 64
_ENV = "/api/v1/projects/smart-sign/environments/production"
_STAGING = "/api/v1/projects/smart-sign/environments/staging"


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path)


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    token = await house.token(Role.OWNER)
    async with client(create_app(house.services), token=token) as opened:
        yield opened


def _error(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) == {"error"}
    return ErrorBody.model_validate(body["error"]).model_dump()


async def test_health_needs_nobody(house: House) -> None:
    async with client(create_app(house.services)) as anyone:
        body = HealthBody.model_validate((await anyone.get("/api/v1/health")).json())
    assert body.pid > 0


async def test_a_deploy_is_queued_and_the_reactor_woken(
    house: House, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    digest, archive = upload(tmp_path / "tree", {"gantry.toml": MANIFEST})
    uploaded = await http.put(f"/api/v1/sources/{digest}", content=archive)
    assert SourceBody.model_validate(uploaded.json()).size_bytes == len(MANIFEST)
    assert (await http.head(f"/api/v1/sources/{digest}")).status_code == 200
    commit = {"sha": "abc123", "message": "First", "branch": "main"}
    request = {"source_digest": digest, "commit": commit}
    answer = await http.post(f"{_ENV}/deploys", json=request)
    assert answer.status_code == 202
    deploy = DeployBody.model_validate(answer.json())
    assert (deploy.state, deploy.queue_position, deploy.requested_by) == ("queued", 0, "owner")
    assert deploy.url == "https://smart-sign.localhost:8443"
    assert [step.name for step in deploy.steps] == list(steps_of(DeployKind.DEPLOY))
    assert {step.state for step in deploy.steps} == {"waiting"}
    assert house.woken == 1
    second = DeployBody.model_validate((await http.post(f"{_ENV}/deploys", json=request)).json())
    assert second.queue_position == 1
    listed = (await http.get(f"{_ENV}/deploys")).json()
    assert {each["id"] for each in listed} == {deploy.id, second.id}
    assert (await http.get(f"/api/v1/deploys/{deploy.id}")).json()["id"] == deploy.id
    cancelled = await http.post(f"/api/v1/deploys/{deploy.id}/cancel")
    assert (cancelled.status_code, cancelled.json()["cancel_requested"]) == (202, True)


async def test_what_is_not_there_is_404_with_a_hint(http: httpx.AsyncClient) -> None:
    for path, code in {
        f"/api/v1/sources/{_DIGEST}": "source.unknown",
        "/api/v1/projects/nope": "project.unknown",
        f"{_ENV}/releases": "project.unknown",
        f"{_ENV}/variables": "project.unknown",
        f"{_ENV}/logs": "project.unknown",
        f"{_ENV}/logs?follow=true": "project.unknown",
        f"{_ENV}/deploys": "project.unknown",
        "/api/v1/deploys/dep-nope": "deploy.unknown",
        "/api/v1/deploys/dep-nope/events": "deploy.unknown",
        "/api/v1/nope": "path.unknown",
    }.items():
        error = _error(await http.get(path), 404)
        assert (error["code"], error["kind"]) == (code, "user"), path
        assert error["hint"], path


async def test_bad_requests_name_the_field(http: httpx.AsyncClient) -> None:
    error = _error(await http.post(f"{_ENV}/deploys", json={"source_digest": "zz"}), 400)
    assert (error["code"], error["where"]) == ("request.invalid", "source_digest")
    error = _error(await http.post(f"{_ENV}/deploys", json={"source_digest": _DIGEST, "x": 1}), 400)
    assert error["where"] == "x"
    error = _error(await http.get(f"{_ENV}/releases?limit=0"), 400)
    assert error["where"] == "limit"
    json = {"Content-Type": "application/json"}
    error = _error(await http.post(f"{_ENV}/deploys", content=b"{", headers=json), 400)
    assert "not JSON" in error["message"]
    error = _error(await http.post(f"{_ENV}/deploys", json={"source_digest": _DIGEST}), 400)
    assert error["code"] == "source.unknown"
    assert _error(await http.put("/api/v1/status"), 405)["code"] == "method.unknown"
    assert _error(await http.put(f"/api/v1/sources/{_DIGEST}", content=b"broken"), 400)["code"] == (
        "source.bad-archive"
    )


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v1/deploys/%00", None),
        ("POST", "/api/v1/deploys/%00/cancel", None),
        ("PATCH", f"{_ENV}/variables", {"unset": ["a\0"]}),
        ("POST", f"{_ENV}/promote", {"from_environment": "a\0"}),
        ("POST", f"{_ENV}/purge", {"paths": ["/a\0"]}),
        ("POST", f"{_ENV}/deploys", {"source_digest": _DIGEST, "commit": {"message": "a\0b"}}),
        ("POST", "/api/v1/tokens", {"label": "a\0"}),
    ],
)
async def test_a_text_that_no_database_holds_is_refused(
    house: House,
    http: httpx.AsyncClient,
    tmp_path: Path,
    method: str,
    path: str,
    body: dict[str, Any] | None,
) -> None:
    await seed(house, START)
    if body is not None and "source_digest" in body:
        digest, archive = upload(tmp_path / "tree", {"gantry.toml": MANIFEST})
        await http.put(f"/api/v1/sources/{digest}", content=archive)
        body = {**body, "source_digest": digest}
    error = _error(await http.request(method, path, json=body), 400)
    assert (error["code"], "NUL" in error["hint"]) == ("state.bad-value", True)
    assert (await http.get("/deploys/%00")).status_code in (400, 401)


async def test_bodies_are_bounded_declared_or_not(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 1_000_000

    json = {"Content-Type": "application/json"}
    for content in (b" " * 4_000_001, chunks()):
        answer = await http.patch(f"{_ENV}/variables", content=content, headers=json)
        assert _error(answer, 413)["code"] == "request.too-large"
    # Snapshots may be larger, and have a bound of their own.
    digest, archive = upload(tmp_path / "tree", {"photo": random.Random(1).randbytes(4_100_000)})
    assert len(archive) > 4_000_000
    assert (await http.put(f"/api/v1/sources/{digest}", content=archive)).is_success
    monkeypatch.setattr("gantry.web.sources.MAX_UPLOAD_BYTES", 3_000_000)
    for content in (b" " * 3_000_001, chunks()):
        answer = await http.put(f"/api/v1/sources/{_DIGEST}", content=content)
        assert _error(answer, 413)["code"] == "request.too-large"


async def test_a_defect_is_logged_and_not_shown(
    house: House, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_where: str, **_more: str) -> PlanBody:
        raise RuntimeError("secret detail")

    object.__setattr__(house.services, "plan", broken)
    error = _error(await http.post(f"{_ENV}/plan", json={"source_digest": _DIGEST}), 500)
    assert error["code"] == "internal"
    assert "secret detail" not in str(error)
    assert error["where"] in caplog.text
    assert "secret detail" in caplog.text


async def test_variables_go_in_and_never_come_out(http: httpx.AsyncClient) -> None:
    changed = await http.patch(f"{_ENV}/variables", json={"set": {"A": "hidden-value", "B": "2"}})
    assert changed.is_success, changed.text
    assert [each["name"] for each in changed.json()] == ["A", "B"]
    assert "hidden-value" not in changed.text
    left = await http.patch(f"{_ENV}/variables", json={"unset": ["A"]})
    assert [each["name"] for each in left.json()] == ["B"]
    assert "hidden-value" not in (await http.get(f"{_ENV}/variables")).text
    bad = await http.patch(f"{_ENV}/variables", json={"set": {"PORT": "1"}, "unset": ["B"]})
    assert _error(bad, 400)["code"] == "variable.reserved"
    assert len((await http.get(f"{_ENV}/variables")).json()) == 1


async def test_variables_that_nobody_set_say_where_they_come_from(
    house: House, http: httpx.AsyncClient
) -> None:
    await seed(house, START)
    adds = {
        "project": {"name": "smart-sign"},
        "services": {"postgres": {"as": ["POSTGRES_URL"]}, "redis": {}},
        "variables": {"plain": {"LOG_LEVEL": "info", "MAIL_FROM": "a@b.c"}},
    }
    async with house.database.transaction() as session:
        await session.execute(
            "UPDATE releases SET manifest = manifest || %(adds)s::jsonb", {"adds": json.dumps(adds)}
        )
    found = (await http.get(f"{_ENV}/variables/provided")).json()
    postgres = (
        "DATABASE_URL",
        "PGDATABASE",
        "PGHOST",
        "PGPASSWORD",
        "PGPORT",
        "PGUSER",
        "POSTGRES_URL",
    )
    assert {entry["name"]: entry["source"] for entry in found} == {
        **dict.fromkeys(postgres, "postgres"),
        "REDIS_URL": "redis",
        "LOG_LEVEL": "gantry.toml",
    }, "MAIL_FROM was set, and that wins"


async def test_a_plan_says_which_variables_a_service_sets(
    house: House, http: httpx.AsyncClient
) -> None:
    text = MANIFEST.decode() + '\n[services]\nredis = { as = ["KV_URL"] }\n'
    digest = house.sources.add({"gantry.toml": text}).digest
    answer = await http.post(f"{_ENV}/plan", json={"source_digest": digest})
    changes = PlanBody.model_validate(answer.json()).changes
    assert [(change.name, change.after) for change in changes if change.what == "service"] == [
        ("redis", "sets REDIS_URL, KV_URL")
    ]


async def test_a_plan_says_what_a_deploy_would_change(
    house: House, http: httpx.AsyncClient
) -> None:
    digest = house.sources.add({"gantry.toml": MANIFEST.decode()}).digest
    answer = await http.post(f"{_ENV}/plan", json={"source_digest": digest})
    plan = PlanBody.model_validate(answer.json())
    assert (plan.project, plan.environment) == ("smart-sign", "production")
    assert [(change.what, change.action) for change in plan.changes] == [
        ("host", "create"), ("build", "create"), ("release", "create"),
    ]  # fmt: skip
    assert (await http.get("/api/v1/projects")).json() == [], "nothing was made"
    assert house.woken == 0


async def test_destroying_is_an_intent(house: House, http: httpx.AsyncClient) -> None:
    await http.patch(f"{_ENV}/variables", json={"set": {"A": "b"}})
    assert (await http.delete(_ENV)).status_code == 202
    assert (await http.delete("/api/v1/projects/smart-sign")).status_code == 202
    assert _error(await http.delete("/api/v1/projects/nothing"), 404)["code"] == "project.unknown"
    assert house.woken >= 2
    async with house.database.transaction() as session:
        (environment,) = await projects.list_environments(session, "smart-sign")
        entries = await audit.latest(session, limit=2)
    assert (environment.removing, environment.removal_requested_by) == (True, "owner")
    targets = [(entry.action, entry.target) for entry in entries]
    assert targets == [("destroy", "smart-sign/*"), ("destroy", "smart-sign/production")]
    refused = await http.post(f"{_ENV}/deploys", json={"source_digest": _DIGEST})
    assert refused.status_code in (400, 409)


async def test_capabilities_are_those_of_the_list(http: httpx.AsyncClient) -> None:
    answered = (await http.get("/api/v1/capabilities")).json()
    bodies = [CapabilityBody.model_validate(item) for item in answered]
    assert bodies == [CapabilityBody.of(item) for item in CAPABILITIES]
    page = html.unescape((await http.get("/capabilities")).text)
    assert [item.name for item in CAPABILITIES if item.sentence not in page] == []


async def test_shutting_down_is_in_the_audit_log(house: House, http: httpx.AsyncClient) -> None:
    assert (await http.post("/api/v1/shutdown")).status_code == 202
    assert house.shut_down
    entries = (await http.get("/api/v1/audit?limit=1")).json()
    assert AuditBody.model_validate(entries[0]).action == "platform.shutdown"


async def test_tokens_are_shown_once(house: House, http: httpx.AsyncClient) -> None:
    made = await http.post("/api/v1/tokens", json={"label": "laptop", "role": "viewer", "days": 7})
    token = TokenBody.model_validate(made.json())
    assert made.status_code == 201
    assert token.token
    listed = {each["id"]: each for each in (await http.get("/api/v1/tokens")).json()}
    assert listed[token.id]["token"] == ""
    async with client(create_app(house.services), token=token.token) as laptop:
        assert (await laptop.get("/api/v1/projects")).status_code == 200
        assert (await http.delete(f"/api/v1/tokens/{token.id}")).status_code == 204
        assert (await laptop.get("/api/v1/projects")).status_code == 401
    assert _error(await http.delete("/api/v1/tokens/nope"), 404)["code"] == "token.unknown"
    too_long = await http.post("/api/v1/tokens", json={"label": "x", "days": 4000})
    assert _error(too_long, 400)["where"] == "days"


async def test_a_login_link_points_at_the_console(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/v1/login-links")
    assert answer.json()["url"].startswith("https://gantry.localhost:8443/login?token=")


async def test_status_shows_everything_and_who_answers(
    house: House, http: httpx.AsyncClient
) -> None:
    await seed(house, START)
    plain = StatusBody.model_validate((await http.get("/api/v1/status")).json())
    assert house.prober.asked == []
    assert [project.name for project in plain.projects] == ["landing-page", "smart-sign"]
    production = plain.projects[1].environments[0]
    assert production.live is not None
    assert (production.name, production.live.number, production.reached) == ("production", 4, None)
    assert [each.state for each in production.instances] == ["healthy", "healthy"]
    assert production.services == ("postgres", "redis")
    headers = {"x-gantry-release": production.live.id}
    house.prober.answers["smart-sign.localhost"] = ProbeResult(200, 0.02, headers=headers)
    status = StatusBody.model_validate((await http.get("/api/v1/status?probe=true")).json())
    reached = status.projects[1].environments[0].reached
    assert reached is not None
    assert (reached.release, reached.release_number) == (production.live.id, 4)
    assert Asked("https://127.0.0.1:8443/", "smart-sign.localhost", {}) in house.prober.asked
    # Development has no live release: there is nobody to ask.
    assert len(house.prober.asked) == 3
    # Staging's probe found nobody: that is worth a warning, in words.
    assert any("connection refused" in warning for warning in status.warnings)


async def test_an_old_release_that_answers_is_named(house: House, http: httpx.AsyncClient) -> None:
    await seed(house, START)
    releases = [
        ReleaseBody.model_validate(each) for each in (await http.get(f"{_ENV}/releases")).json()
    ]
    old = releases[1]
    answer = ProbeResult(200, 0.02, headers={"x-gantry-release": old.id})
    house.prober.answers["smart-sign.localhost"] = answer
    status = StatusBody.model_validate((await http.get("/api/v1/status?probe=true")).json())
    reached = status.projects[1].environments[0].reached
    assert reached is not None
    assert reached.release_number == old.number
    assert any(f"a request reached {old.id}" in warning for warning in status.warnings)


async def _in_a_rollout(house: House, stage: Stage) -> tuple[Release, Release]:
    """A project with a live release and a candidate, which answers the public port."""
    seeder = Seeder(house, START)
    environment = await seeder.environment("shop", "production", age=timedelta(days=2))
    live = await seeder.release(environment, CHANGES[0], ago=timedelta(days=1))
    await seeder.instance(live, 0, age=timedelta(days=1))
    candidate = await seeder.canary(environment, CHANGES[1], stage)
    answer = ProbeResult(200, 0.02, headers={"x-gantry-release": candidate.id})
    house.prober.answers["shop.localhost"] = answer
    return live, candidate


async def _production(http: httpx.AsyncClient) -> tuple[EnvironmentBody, tuple[str, ...]]:
    answer = await http.get("/api/v1/status?probe=true")
    status = StatusBody.model_validate(answer.json())
    return status.projects[0].environments[0], status.warnings


async def test_a_candidate_that_has_visitors_may_answer(
    house: House, http: httpx.AsyncClient
) -> None:
    live, candidate = await _in_a_rollout(house, Stage(StageKind.CANARY, 25, 60.0))
    body, warnings = await _production(http)
    assert body.candidate == CandidateBody(
        release=candidate.id,
        release_number=2,
        percent=25,
        sentence="release 2 gets 25 % of the visitors",
    )
    assert body.reached is not None
    assert (body.reached.release_number, body.reached.expected) == (2, True)
    assert warnings == ()
    answer = ProbeResult(200, 0.02, headers={"x-gantry-release": live.id})
    house.prober.answers["shop.localhost"] = answer
    body, _ = await _production(http)
    assert body.reached is not None
    assert (body.reached.release_number, body.reached.expected) == (1, True)


async def test_a_candidate_that_gets_copies_only_may_not(
    house: House, http: httpx.AsyncClient
) -> None:
    _, candidate = await _in_a_rollout(house, Stage(StageKind.MIRROR, 0, 60.0))
    body, warnings = await _production(http)
    assert body.candidate is not None
    assert body.candidate.sentence == "release 2 gets copies of requests"
    assert body.reached is not None
    assert not body.reached.expected
    assert any(f"a request reached {candidate.id}" in warning for warning in warnings)


async def test_a_rollout_that_was_taken_back_explains_no_answer(
    house: House, http: httpx.AsyncClient
) -> None:
    await _in_a_rollout(house, Stage(StageKind.CANARY, 25, 60.0))
    async with house.database.transaction() as session:
        (rollout,) = await rollouts.list_open(session)
        await rollouts.abort(session, rollout.id, "it was slow", at=START)
    body, warnings = await _production(http)
    assert body.candidate is None
    assert len(warnings) == 1


async def test_parts_that_do_not_run_are_warned_of(house: House, http: httpx.AsyncClient) -> None:
    await house.edge.start()
    with pytest.raises(PermanentError):
        await house.edge.apply(EdgeConfig(sites=(Site((), None),)))
    house.machine.serve("assets")
    house.machine.kill("assets")
    warnings = (await http.get("/api/v1/status")).json()["warnings"]
    assert warnings == [
        "assets does not run: exited: 137",
        "the edge refused its last configuration: a site has no host",
    ]


async def test_instances_tell_how_they_stand(house: House, http: httpx.AsyncClient) -> None:
    await seed(house, START)
    project = ProjectBody.model_validate((await http.get("/api/v1/projects/smart-sign")).json())
    staging = next(each for each in project.environments if each.name == "staging")
    states = {each.slot: each for each in staging.instances}
    assert states[1].state == "backing-off"
    assert (states[1].restarts, states[1].message) == (3, "ran out of memory: it may hold 512 MB")
    pid = house.machine.processes[states[0].id].pid
    assert (states[0].state, states[0].pid) == ("healthy", pid)
    house.health[states[0].id] = Health(
        healthy=False, failures=3, message="/api/health: status 500"
    )
    project = ProjectBody.model_validate((await http.get("/api/v1/projects/smart-sign")).json())
    again = next(each for each in project.environments if each.name == "staging").instances
    unhealthy = next(each for each in again if each.slot == 0)
    assert (unhealthy.state, unhealthy.message) == ("unhealthy", "/api/health: status 500")
    house.machine.processes.clear()
    project = ProjectBody.model_validate((await http.get("/api/v1/projects/smart-sign")).json())
    gone = next(each for each in project.environments if each.name == "staging").instances
    assert {each.state for each in gone} == {"unhealthy", "backing-off"}
    assert all(each.pid is None and each.memory_bytes == 0 for each in gone)


async def test_releases_promotions_and_rollbacks(house: House, http: httpx.AsyncClient) -> None:
    await seed(house, START)
    releases = [
        ReleaseBody.model_validate(each) for each in (await http.get(f"{_ENV}/releases")).json()
    ]
    assert [(each.number, each.live, each.can_roll_back_to) for each in releases] == [
        (4, True, False), (3, False, True), (2, False, True), (1, False, True),
    ]  # fmt: skip
    back = await http.post(f"{_ENV}/rollback", json={})
    assert back.status_code == 202, back.text
    body = DeployBody.model_validate(back.json())
    assert (body.kind, body.release_number) == ("rollback", 3)
    assert [step.name for step in body.steps] == ["start", "healthy", "switch", "drain"]
    assert body.release_url.endswith(".localhost:8443")
    refused = await http.post(f"{_ENV}/rollback", json={"to_release": 4})
    assert _error(refused, 409)["code"] == "rollback.already-live"
    promoted = await http.post(f"{_ENV}/promote", json={"from_environment": "staging"})
    assert DeployBody.model_validate(promoted.json()).kind == "promote"
    same = await http.post(f"{_STAGING}/promote", json={})
    assert _error(same, 400)["code"] == "promote.same-environment"


async def test_what_lacks_required_variables_is_not_queued(
    house: House, http: httpx.AsyncClient
) -> None:
    await seed(house, START)
    before = (await http.get(f"{_ENV}/deploys")).json()
    house.sources.rewrite(".env.example", "STRIPE_KEY=\nLOG_LEVEL=info\n")
    digest = next(iter(house.machine.snapshots))
    for answer in (
        await http.post(f"{_ENV}/promote", json={"from_environment": "staging"}),
        await http.post(f"{_ENV}/deploys", json={"source_digest": digest}),
    ):
        error = _error(answer, 400)
        assert error["code"] == "variable.missing"
        assert error["message"] == "production of smart-sign lacks required variables: STRIPE_KEY"
        assert error["hint"] == "gantry env set STRIPE_KEY -e production"
    assert (await http.get(f"{_ENV}/deploys")).json() == before
    # A release that was live has what it needed then.
    assert (await http.post(f"{_ENV}/rollback", json={})).status_code == 202
    changed = await http.patch(f"{_ENV}/variables", json={"set": {"STRIPE_KEY": "sk-1"}})
    assert changed.status_code == 200
    promoted = await http.post(f"{_ENV}/promote", json={"from_environment": "staging"})
    assert promoted.status_code == 202


@pytest.mark.parametrize("name", BAD)
async def test_no_call_makes_a_project_of_a_bad_name(
    house: House, http: httpx.AsyncClient, name: str
) -> None:
    digest = house.sources.add({"gantry.toml": f'[project]\nname = "{name}"\n'}).digest
    base = f"/api/v1/projects/{quote(name, safe='').replace('.', '%2E')}/environments/production"
    bodies = {
        "variables": ("PATCH", {"set": {"A": "b"}}),
        "deploys": ("POST", {"source_digest": digest}),
        "plan": ("POST", {"source_digest": digest}),
        "promote": ("POST", {"from_environment": "staging"}),
        "rollback": ("POST", {}),
        "cache/purge": ("POST", {}),
        "rollout/pause": ("POST", {}),
    }
    codes = {}
    for path, (method, body) in bodies.items():
        answer = await http.request(method, f"{base}/{path}", json=body)
        assert 400 <= answer.status_code < 500, (path, answer.text)
        codes[path] = _error(answer, answer.status_code)["code"]
    if name and "/" not in name:  # else it is another path, which is not there
        making = {codes[path] for path in ("variables", "deploys", "plan", "promote")}
        assert making == {"project.bad-name"}
    assert (await http.get("/api/v1/projects")).json() == []


async def test_an_environment_of_another_name_is_refused(http: httpx.AsyncClient) -> None:
    path = "/api/v1/projects/smart-sign/environments/prod/variables"
    error = _error(await http.patch(path, json={"set": {"A": "b"}}), 400)
    assert error["code"] == "environment.bad-name"
    assert error["hint"] == "use one of development, staging, production"


@pytest.mark.own_database
async def test_a_project_of_a_bad_name_from_before_can_be_seen_and_destroyed(
    house: House, http: httpx.AsyncClient
) -> None:
    async with house.database.transaction() as session:
        await session.execute("ALTER TABLE projects DROP CONSTRAINT projects_name")
    await Seeder(house, START).environment("gantry", "production", age=timedelta(days=1))
    assert (await http.get("/api/v1/projects/gantry")).status_code == 200
    status = StatusBody.model_validate((await http.get("/api/v1/status")).json())
    (warning,) = [each for each in status.warnings if each.startswith("gantry:")]
    assert "gantry destroy --project gantry" in warning
    assert (await http.delete("/api/v1/projects/gantry")).status_code == 202
    async with house.database.transaction() as session:
        (ending,) = await projects.list_environments(session, "gantry")
    assert ending.removal_requested_by == "owner"


async def test_a_failed_deploy_carries_its_error(house: House, http: httpx.AsyncClient) -> None:
    ids = await seed(house, START)
    body = DeployBody.model_validate((await http.get(f"/api/v1/deploys/{ids['failed']}")).json())
    assert body.state == "failed"
    assert body.error is not None
    assert body.error.code == "build.command-failed"
    assert [step.state for step in body.steps][:3] == ["done", "failed", "waiting"]
    assert body.elapsed_s == pytest.approx(19.0, abs=0.5)
    again = await http.post(f"/api/v1/deploys/{ids['failed']}/cancel")
    assert _error(again, 409)["code"] == "deploy.ended"


async def test_the_description_explains_every_endpoint(http: httpx.AsyncClient) -> None:
    document = (await http.get("/api/openapi.json")).json()
    tags = {tag["name"] for tag in document["tags"]}
    assert {"token", "session"} <= set(document["components"]["securitySchemes"])
    for path, methods in document["paths"].items():
        assert path.startswith("/api/v1/"), "the console's pages are no API"
        for method, operation in methods.items():
            name = f"{method} {path}"
            assert operation["summary"], name
            assert operation["description"], name
            assert set(operation["tags"]) <= tags, name
            for parameter in operation.get("parameters", ()):
                assert parameter.get("description"), f"{name}: {parameter['name']}"
            is_public = path in ("/api/v1/health", "/api/v1/login")
            assert is_public or operation["security"], name


async def test_every_answer_carries_the_security_headers(http: httpx.AsyncClient) -> None:
    for path in ("/api/v1/health", "/login", "/nope", "/static/app.css", "/api/v1/nope"):
        headers = (await http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff", path
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    assert (await http.get("/api/v1/projects")).headers["cache-control"] == "no-store"
    kept = await http.get("/static/app.css?v=1")
    assert "immutable" in kept.headers["cache-control"]


async def test_purging_is_of_one_environment_and_leaves_a_trace(
    house: House, http: httpx.AsyncClient
) -> None:
    await seed(house, START)
    await house.edge_cache.stop()  # forgets what the seed put there
    await house.edge_cache.start()
    releases = (await http.get(f"{_ENV}/releases")).json()
    live = next(one["id"] for one in releases if one["live"])
    kept = StoredAnswer(200, (), b"page", Lifetime(60), 0.0, tags=frozenset({"news"}))
    for backend in (live, "r-of-another"):
        house.edge_cache.visit(Key(backend, "shop", "/news"), kept)
    nothing = await http.post(f"{_ENV}/purge", json={"paths": ["/other"], "tags": ["old"]})
    assert PurgeBody.model_validate(nothing.json()).purged == 0
    answer = await http.post(f"{_ENV}/purge", json={})
    assert PurgeBody.model_validate(answer.json()).purged == 1
    assert (await house.edge_cache.status()).total.entries == 1
    trail = (await http.get("/api/v1/audit")).json()
    assert [one["action"] for one in trail[:2]] == ["cache.purge", "cache.purge"]


async def test_where_nothing_is_kept_a_purge_says_so_whether_a_cache_runs_or_not(
    house: House, http: httpx.AsyncClient
) -> None:
    await seed(house, START)
    async with house.database.transaction() as session:
        await session.execute("UPDATE releases SET manifest = manifest - 'routes'")
    await house.edge_cache.stop()
    refused = _error(await http.post(f"{_ENV}/purge", json={"paths": ["/x"]}), 400)
    assert refused["code"] == "purge.nothing-kept"
    assert "production of smart-sign" in refused["message"]
    actions = [entry["action"] for entry in (await http.get("/api/v1/audit")).json()]
    assert "cache.purge" not in actions


@pytest.mark.parametrize(
    ("request_body", "code"),
    [
        ({"paths": ["news"]}, "purge.bad-path"),
        ({"paths": ["/a*b"]}, "purge.bad-path"),
        ({"paths": ["/a?b"]}, "purge.bad-path"),
        ({"tags": ["a,b"]}, "purge.bad-tag"),
        ({"tags": [""]}, "purge.bad-tag"),
        ({"paths": [f"/{n}" for n in range(200)], "tags": ["t"] * 100}, "purge.too-many"),
    ],
)
async def test_bad_purges(
    house: House, http: httpx.AsyncClient, request_body: dict[str, Any], code: str
) -> None:
    await seed(house, START)
    assert _error(await http.post(f"{_ENV}/purge", json=request_body), 400)["code"] == code
    await house.edge_cache.stop()
    late = _error(await http.post(f"{_ENV}/purge", json={}), 503)
    assert late["code"] == "cache.unreachable"
